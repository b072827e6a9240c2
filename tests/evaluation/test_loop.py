"""evaluate(): every sample once in batches of any size; the numbers of plain loops."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import Subset
from torch_geometric.loader import DataLoader

from pyg_srgnn.baselines import BASELINES, SessionPopularity
from pyg_srgnn.data import SessionLoader, Sessions, Vocabulary
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.evaluation.loop import (
    assert_row_independent,
    evaluate,
    evaluate_rows,
)
from pyg_srgnn.evaluation.metrics import ranks
from pyg_srgnn.functional.topk import rows_at_once
from pyg_srgnn.nn import SRGNN, GRU4Rec, ModelMixture
from tests.reference import metrics as reference
from tests.reference.names import random_sessions, randomise

ITEMS = 30
LISTS = random_sessions(25, ITEMS, seed=3, longest=12)
TIES = ("conservative", "median", "standard")


class Clicks(SessionDataset):
    """A dataset without raw files."""

    name = "clicks"

    def read(self):
        training, test = Sessions.from_lists(LISTS[::-1]), Sessions.from_lists(LISTS)
        return training, test, Vocabulary(range(ITEMS))


class Recorder:
    """Scores as another scorer does and keeps the samples that it was shown."""

    def __init__(self, scorer):
        self.scorer = scorer
        self.samples = []
        self.sizes = []

    def scores(self, data):
        self.sizes.append(data.num_graphs)
        for graph in data.to_data_list():
            self.samples.append((*graph.x[graph.alias_index].tolist(), int(graph.y)))
        return self.scorer.scores(data)


class Constant:
    """Gives every item the same score."""

    def scores(self, data):
        return torch.zeros(data.num_graphs, ITEMS)


class Rounded:
    """Few different scores, so that many items tie; some are negative."""

    def __init__(self, scorer):
        self.scorer = scorer

    def scores(self, data):
        return self.scorer.scores(data).mul(2).round()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Clicks(tmp_path_factory.mktemp("clicks"), "test")


@pytest.fixture(scope="module")
def model():
    return randomise(SRGNN(ITEMS, 6).double()).eval()


def prefixes():
    return [(*s[:cut], s[cut]) for s in LISTS for cut in range(1, len(s))]


def same(found, expected, tolerance=1e-12):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=tolerance), name


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_every_sample_once(dataset, model, batch_size):
    recorder = Recorder(model)
    evaluate(recorder, SessionLoader(dataset, batch_size), ITEMS)
    assert recorder.samples == prefixes()


@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_loaders_of_pyg(dataset, model, batch_size):
    wanted, of_row = evaluate_rows(model, SessionLoader(dataset, 1000), ITEMS)
    found, by_pyg = evaluate_rows(model, DataLoader(dataset, batch_size), ITEMS)
    assert torch.equal(by_pyg, of_row)
    same(found, wanted)
    with pytest.raises(TypeError, match=r"got one of Subset.*dataset\[indices\]"):
        evaluate(model, DataLoader(Subset(dataset, [0, 1])), ITEMS)


def test_trap_the_last_evaluation_batch_padded(dataset, model):
    """A last batch filled up with repeated samples counts those twice."""
    size = next(n for n in range(7, 50) if len(dataset) % n not in (0, n - 1))
    recorder = Recorder(model)
    found = evaluate(recorder, SessionLoader(dataset, size), ITEMS)
    assert recorder.sizes[-1] == len(dataset) % size
    assert sum(recorder.sizes) == len(dataset)

    padding = list(range(size - len(dataset) % size))
    padded = evaluate(model, SessionLoader(dataset[[*range(len(dataset)), *padding]], size), ITEMS)
    assert padded["mrr@20"] != pytest.approx(found["mrr@20"], abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("scorer", ["model", "rounded"])
def test_batch_size_and_order_do_not_matter(dataset, model, scorer):
    scorer = model if scorer == "model" else Rounded(model)
    expected = evaluate(scorer, SessionLoader(dataset, 1000), ITEMS)
    for batch_size in (1, 7, 64):
        same(evaluate(scorer, SessionLoader(dataset, batch_size), ITEMS), expected)
    for epoch in (0, 1):
        loader = SessionLoader(dataset, 7, shuffle=True, seed=5)
        loader.sampler.set_epoch(epoch)
        same(evaluate(scorer, loader, ITEMS), expected)


@pytest.mark.slow
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("scorer", ["model", "rounded", "session_popularity"])
def test_agrees_with_plain_loops(dataset, model, scorer, ties):
    scorer = {
        "model": model,
        "rounded": Rounded(model),
        "session_popularity": SessionPopularity.fit(dataset.sessions, ITEMS),
    }[scorer]
    with torch.no_grad():
        rows = [scorer.scores(data)[0].tolist() for data in dataset]
    targets = [int(data.y) for data in dataset]
    expected = reference.summary(rows, targets, ties=ties)
    found = evaluate(scorer, SessionLoader(dataset, 32), ITEMS, ties)
    if scorer.__class__ is Rounded:  # which of the tied items are the k best is nobody's to say
        assert found["tied"] > 0.5
        found, expected = (
            {name: value for name, value in part.items() if "coverage" not in name}
            for part in (found, expected)
        )
    same(found, expected)


def test_names(dataset, model):
    found = evaluate(model, SessionLoader(dataset, 100), ITEMS)
    names = {f"{name}@{k}" for name in ("hr", "mrr", "ndcg", "coverage") for k in (5, 10, 20)}
    assert found.keys() == names | {"tied"}
    assert all(type(value) is float and 0 <= value <= 1 for value in found.values())


def test_trap_p_at_20_computed_as_hr_over_20(dataset):
    """The papers' P@20 is the share of hits: a scorer that always hits reaches 1, not 0.05."""

    class Perfect:
        def scores(self, data):
            return torch.nn.functional.one_hot(data.y, ITEMS).double()

    found = evaluate(Perfect(), SessionLoader(dataset, 100), ITEMS)
    assert found["hr@20"] == found["mrr@20"] == found["ndcg@20"] == 1
    assert not any(name.startswith(("p@", "precision@")) for name in found)


@pytest.mark.parametrize(("ties", "hr"), [("conservative", 0), ("standard", 1), ("median", 1)])
def test_a_constant_scorer(dataset, ties, hr):
    found = evaluate(Constant(), SessionLoader(dataset, 100), ITEMS, ties)
    assert found["tied"] == 1
    assert found["hr@20"] == hr  # the median of 30 equal ranks is 15.5
    assert found["hr@10"] == (ties == "standard")


def test_the_other_rows_of_an_unshuffled_batch_are_not_read(dataset, model):
    """Neighbours in the loader are the same session's prefixes: alone, nothing may change."""
    half = list(range(0, len(dataset), 2))
    together = evaluate(model, SessionLoader(dataset[half], 50), ITEMS)
    alone = [evaluate(model, SessionLoader(dataset[[i]], 1), ITEMS) for i in half]
    for name in ("hr@5", "mrr@20", "ndcg@10"):
        assert together[name] == pytest.approx(sum(row[name] for row in alone) / len(half))


def test_no_gradient_is_kept(dataset, model):
    seen = []

    class Watcher:
        def scores(self, data):
            seen.append(model.scores(data).requires_grad)
            return model.scores(data)

    evaluate(Watcher(), SessionLoader(dataset, 100), ITEMS)
    assert seen and not any(seen)


def test_an_unknown_treatment_of_ties(dataset, model):
    with pytest.raises(ValueError, match="'ties' must be one of conservative, median, standard"):
        evaluate(model, SessionLoader(dataset, 100), ITEMS, ties="lucky")


@pytest.mark.parametrize(
    ("items", "wanted", "rows"),
    [(43_097, 256, 256), (10**6, 256, 67), (10**7, 256, 6), (10**9, 9, 1)],
)
def test_the_scores_of_an_evaluation_fit_into_memory(items, wanted, rows):
    assert rows_at_once(items, wanted) == rows


class Neighbours:
    """A model that mixes in the row before, as some public ones mix in a batch's nearest rows."""

    def __init__(self, scorer, share):
        self.scorer = scorer
        self.share = share

    def scores(self, data):
        scores = self.scorer.scores(data)
        return scores + self.share * scores.roll(1, dims=0)


INGREDIENTS = {
    "scale": 5.0,
    "repeat": True,
    "positions": 4,
    "neighbours": 3,
    "frequency": True,
    "transitions": 5,
    "similar": 5,
    "sequence": "alone",
    "softmaxes": 2,
    "readout_levels": 3,
}


@pytest.fixture
def test_set(tmp_path):
    return Clicks(tmp_path, "test")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["srgnn", "ingredients", "counts", "gru4rec", "mixture", *BASELINES]
)
def test_rows_are_independent(test_set, name):
    if name in BASELINES:
        scorer = BASELINES[name].fit(Sessions.from_lists(LISTS[::-1]), ITEMS)
    else:
        model = GRU4Rec(ITEMS, 8) if name == "gru4rec" else SRGNN(ITEMS, 8)
        if name == "ingredients":
            model = SRGNN(ITEMS, 8, **INGREDIENTS)
        if name == "counts":
            model = SRGNN(ITEMS, 8, **INGREDIENTS | {"repeat": "counts", "leave_out": "session"})
        if name in ("ingredients", "counts"):
            model.set_training(Sessions.from_lists(LISTS))
        if name == "mixture":
            model = ModelMixture([model, GRU4Rec(ITEMS, 8), SRGNN(ITEMS, 8, repeat=True)])
        scorer = randomise(model, 0).eval()
    assert_row_independent(scorer, test_set, batch_size=16)


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_a_model_that_reads_other_rows_is_found(test_set, share):
    """Trap: the row before a row of an unshuffled test file ends with its target."""
    model = Neighbours(randomise(SRGNN(ITEMS, 8), 0).eval(), share)
    with pytest.raises(AssertionError, match=r"samples of Clicks.* rank otherwise .*sample: rank"):
        assert_row_independent(model, test_set, batch_size=16)


def test_a_model_that_dispenses_with_its_evaluation_mode_is_found(test_set):
    model = randomise(SRGNN(ITEMS, 8, dropout=0.5), 0)
    with pytest.raises(AssertionError, match="depend on the rows"):
        assert_row_independent(model.train(), test_set)


@pytest.mark.slow
@pytest.mark.parametrize("ties", TIES)
def test_ranks_are_in_the_order_of_the_dataset(test_set, ties):
    """In batches of any order and size; every process has the ranks of its share."""
    model = randomise(SRGNN(ITEMS, 8).double(), 0).eval()
    with torch.no_grad():
        scores = torch.cat([model.scores(data) for data in test_set])
    expected = ranks(scores, torch.tensor([int(data.y) for data in test_set]), ties)
    metrics, found = evaluate_rows(model, SessionLoader(test_set, 7), ITEMS, ties)
    assert metrics == evaluate(model, SessionLoader(test_set, 7), ITEMS, ties)
    assert found.dtype == expected.dtype and torch.equal(found, expected)

    loader = SessionLoader(test_set, 7, shuffle=True, seed=5)
    loader.sampler.set_epoch(2)
    assert torch.equal(evaluate_rows(model, loader, ITEMS, ties)[1], expected)
    for order in ([9, 2, 30], [*range(len(test_set))][::-1], [4, 4, 1]):
        part = evaluate_rows(model, SessionLoader(test_set[order], 2), ITEMS, ties)[1]
        assert torch.equal(part, expected[order])
    part = evaluate_rows(model, SessionLoader(test_set[3:9], 2), ITEMS, ties)[1]
    assert torch.equal(part, expected[3:9])

    shares = [
        evaluate_rows(model, SessionLoader(test_set, 7, num_replicas=3, rank=rank), ITEMS, ties)[1]
        for rank in range(3)
    ]
    assert torch.equal(sum(shares), expected)
    assert all(((share == 0) | (share == expected)).all() for share in shares)


def test_nothing_to_evaluate(test_set, model):
    with pytest.raises(ValueError, match="no sample"):
        evaluate_rows(model, SessionLoader(test_set[[]], 7), ITEMS)
