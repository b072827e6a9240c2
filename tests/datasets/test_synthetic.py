"""The built-in dataset: files, splits, the optimum and what it is worth."""

import copy
import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.datasets import Synthetic
from pyg_srgnn.evaluation.loop import evaluate, evaluate_rows
from pyg_srgnn.functional.targets import GROUPS

TINY = {
    "num_sessions": 60,
    "num_test_sessions": 20,
    "num_items": 12,
    "num_interests": 3,
    "interest_size": 5,
    "num_successors": 2,
}
FIXED = {"new_items": 0, "late_items": 0}  # a catalogue that does not grow
CHANGED = {
    "num_sessions": 61,
    "num_test_sessions": 21,
    "new_items": 0.2,
    "late_items": 0.2,
    "late_sessions": 0.5,
    "num_items": 13,
    "num_interests": 4,
    "interest_size": 6,
    "num_successors": 3,
    "repeat": 0.1,
    "follow": 0.1,
    "recall": 0.1,
    "noise": 0.1,
    "skew": 0.1,
    "stop": 0.1,
    "max_length": 9,
    "seed": 1,
}


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """The default size: training part and test part."""
    root = tmp_path_factory.mktemp("datasets")
    return Synthetic(root, "trainval"), Synthetic(root, "test")


def test_same_arguments_same_bytes(tmp_path):
    first, again = (Synthetic(tmp_path / name, **TINY) for name in ("a", "b"))
    for one, other in zip(first.processed_paths, again.processed_paths, strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes()
    assert Synthetic(tmp_path / "a", **TINY).sessions == first.sessions


@pytest.mark.parametrize("name", CHANGED)
def test_every_argument_has_a_cache_of_its_own(tmp_path, name):
    dataset = Synthetic(tmp_path, **TINY)
    changed = Synthetic(tmp_path, **{**TINY, name: CHANGED[name]})
    assert changed.processed_dir != dataset.processed_dir
    assert changed.parameters()[name] == CHANGED[name]


def test_parts(tmp_path):
    parts = {s: Synthetic(tmp_path, s, valid=0.2, **TINY) for s in ("train", "valid", "trainval")}
    test = Synthetic(tmp_path, "test", **TINY)
    assert {name: len(part.sessions) for name, part in parts.items()} == {
        "train": 48,
        "valid": 12,
        "trainval": 60,
    }
    assert len(test.sessions) == 20
    both = parts["train"].sessions.to_lists() + parts["valid"].sessions.to_lists()
    assert both == parts["trainval"].sessions.to_lists()
    assert len(test) == test.sessions.num_samples
    assert repr(test) == f"Synthetic({len(test)}, split=test, sessions=20, items=12)"


def test_vocabulary_holds_all_items_in_order(tmp_path):
    dataset = Synthetic(tmp_path, **TINY)
    assert dataset.vocabulary.ids == list(range(1, 13))
    assert dataset.num_items == 12
    assert 0 <= int(dataset.sessions.items.min()) <= int(dataset.sessions.items.max()) < 12


def test_times_run_on_and_split_by_days(tmp_path):
    training, test = Synthetic(tmp_path, "trainval", **TINY), Synthetic(tmp_path, "test", **TINY)
    times = torch.cat([training.sessions.times, test.sessions.times])
    assert (times.diff() > 0).all()
    assert training.sessions.times.diff().unique().tolist() == [70 * 86_400 // 60]
    valid = Synthetic(tmp_path, "valid", valid="7d", **TINY)
    assert len(valid.sessions) == 6
    assert int(valid.sessions.times[0]) >= int(training.sessions.times[-1]) - 7 * 86_400


def test_more_training_sessions_keep_the_rest(tmp_path):
    """So that models trained on more and more data can be compared."""
    few, more = (
        {
            split: Synthetic(tmp_path, split, **{**TINY, **FIXED, "num_sessions": n})
            for split in ("trainval", "test")
        }
        for n in (60, 90)
    )
    assert more["trainval"].sessions.to_lists()[:60] == few["trainval"].sessions.to_lists()
    assert more["test"].sessions == few["test"].sessions


def test_the_sessions_of_a_catalogue_that_does_not_grow(tmp_path):
    """Pinned: published figures rest on these sessions."""
    digest = hashlib.sha256()
    for split in ("trainval", "test"):
        sessions = Synthetic(tmp_path, split, **FIXED).sessions
        for tensor in (sessions.items, sessions.offsets, sessions.times):
            digest.update(tensor.numpy())
    assert digest.hexdigest() == "4b4fe86c7a7022c92cf621e9653e54115cc29e3865aa7f8de40339c67aa81b60"


# The catalogue


def clicks(dataset):
    return torch.bincount(dataset.sessions.items, minlength=dataset.num_items)


def test_new_items_are_the_last_and_in_test_sessions_only(default):
    training, test = map(clicks, default)
    assert (training > 0).tolist() == [True] * 285 + [False] * 15
    assert 0.03 < test[285:].sum() / test.sum() < 0.08


def test_late_items_are_rare_where_validation_is_held_out(default):
    root = default[0].root
    train, valid = (clicks(Synthetic(root, split)) for split in ("train", "valid"))
    assert train[:255].min() > 10 and valid[285:].sum() == 0
    assert train[255:285].min() > 0 and (train[255:285] <= 20).sum() > 15
    assert valid[255:285].min() > 0
    first = 60_000 - 6_600
    assert default[0].sessions[:first].items.max() < 255
    assert default[0].sessions[first:].items.max() == 284


def test_new_and_late_items_have_an_interest(default):
    held = (default[1].generator.place >= 0).any(0)
    assert held[255:].all() and not held[:50].any()


def test_validation_follows_the_law_of_its_catalogue(default):
    """As test_realised_metrics_of_the_truth_agree_with_the_optimum does for the test part."""
    valid = Synthetic(default[0].root, "valid")
    law = valid.generator.on_sale(285)
    found = evaluate(law, SessionLoader(valid, 500), valid.num_items)
    for name, expected in law.optimum(valid.sessions).items():
        error = (expected * (1 - expected) / len(valid)) ** 0.5
        assert abs(found[name] - expected) < 4 * error, name


def test_names_are_texts_of_the_items(default):
    training, test = default
    assert training.texts == test.texts and test.text_encoder == "hashed"
    assert len(test.texts) == test.num_items
    assert all(len(text.split()) == 3 for text in test.texts)


def test_batches_transform_copy_pickle(tmp_path):
    dataset = Synthetic(tmp_path, **TINY)
    index = [3, 0, len(dataset) - 1]
    expected = Batch.from_data_list([dataset[i] for i in index])
    batch = dataset.batch(index)
    for key in expected.to_dict():
        torch.testing.assert_close(batch[key], expected[key])
    for twin in (copy.copy(dataset), copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert torch.equal(twin[3].x, dataset[3].x)
        assert twin.optimum() == dataset.optimum()
    marked = Synthetic(tmp_path, transform=lambda data: data.update({"mark": 1}), **TINY)
    assert marked[0].mark == 1


def test_optimum_is_of_the_test_part_whatever_the_split(tmp_path):
    training, test = Synthetic(tmp_path, "train", **TINY), Synthetic(tmp_path, "test", **TINY)
    optimum = training.optimum()
    assert optimum == test.optimum() == test.generator.optimum(test.sessions)
    assert list(optimum) == [f"{m}@{k}" for m in ("hr", "mrr", "ndcg") for k in (5, 10, 20)]
    assert set(test.optimum((1, 3))) == {f"{m}@{k}" for m in ("hr", "mrr", "ndcg") for k in (1, 3)}
    assert optimum["hr@20"] == pytest.approx(1)  # of 12 items


def test_realised_metrics_of_the_truth_agree_with_the_optimum(default):
    """The generator itself, measured as any model is, within four standard errors."""
    _, test = default
    optimum = test.optimum()
    found = evaluate(test.generator, SessionLoader(test, 500), test.num_items)
    for name, expected in optimum.items():
        # A gain lies in [0, 1], so its variance is at most that of a coin with the same mean, and
        # given its prefix every target is one draw: variances add up along a session, too.
        error = (expected * (1 - expected) / len(test)) ** 0.5
        assert abs(found[name] - expected) < 4 * error, name


def test_default_size_is_worth_a_graph_model(default):
    """The optimum stands far above the baselines, and every part of the truth counts for it."""
    training, test = default
    assert 250_000 < len(training) < 300_000
    optimum = test.optimum()["hr@20"]
    assert 0.8 < optimum < 0.9
    loader = SessionLoader(test, 500)
    found = {
        name: evaluate(BASELINES[name].fit(training.sessions, 300), loader, 300)["hr@20"]
        for name in ("popularity", "session_popularity", "markov")
    }
    assert found["popularity"] < found["session_popularity"] < found["markov"] < optimum - 0.1


def blind_to_interest(scorer):
    scorer.posterior = lambda clicks, lengths: scorer.prior.repeat(len(clicks), 1)


def blind_to_repeats(scorer):
    scorer.repeat = 0.0


def blind_to_last(scorer):
    scorer._hops = [scorer._hops[0]._replace(weight=0.0), scorer._hops[1]]


def blind_to_earlier(scorer):
    scorer._hops = [scorer._hops[0], scorer._hops[1]._replace(weight=0.0)]


def test_realised_metrics_of_groups_agree_with_the_optimum(default):
    """Targets with no click in training, few and many; a group's error is that of its targets."""
    training, test = default
    count = clicks(Synthetic(training.root, "train"))
    groups = {name: group(count) for name, group in GROUPS.items()}
    _, ranks = evaluate_rows(test.generator, SessionLoader(test, 500), test.num_items)
    optimum = training.optimum_by_target(groups)
    session, cut = test.sessions.samples(torch.arange(len(test)))
    target = test.sessions.items[test.sessions.offsets[session] + cut]
    for name, group in groups.items():
        of_group = ranks[group[target]]
        assert len(of_group) > 300
        for k in (5, 20):
            expected = optimum[name][f"hr@{k}"]
            error = (expected * (1 - expected) / len(of_group)) ** 0.5
            assert abs(float((of_group <= k).double().mean()) - expected) < 4 * error


@pytest.mark.slow
@pytest.mark.parametrize(
    "blind", [blind_to_interest, blind_to_repeats, blind_to_last, blind_to_earlier]
)
def test_every_part_of_the_truth_is_worth_points(default, blind):
    """The best scorer less one part of the truth loses at least three points of HR@20."""
    _, test = default
    scorer = copy.copy(test.generator)
    scorer.posterior = test.generator.posterior  # the truth's own, unless the interest is lost
    blind(scorer)
    found = evaluate(scorer, SessionLoader(test, 500), test.num_items)
    assert found["hr@20"] < test.optimum()["hr@20"] - 0.03


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_sessions": 0}, r"'num_sessions' must be a whole number >= 1 \(got 0\)"),
        (
            {"num_test_sessions": 1.5},
            r"'num_test_sessions' must be a whole number >= 1 \(got 1.5\)",
        ),
        ({"interest_size": 13}, r"'interest_size' must be a whole number from 2 to 12 \(got 13\)"),
        ({"noise": 0.0}, r"'noise' must be a number > 0 and <= 1 \(got 0.0\)"),
        ({"repeat": 0.9}, r"must be of a sum <= 1"),
        ({"new_items": 1.0}, r"'new_items' must be a number >= 0 and < 1 \(got 1.0\)"),
        ({"late_items": -0.1}, r"'late_items' must be a number >= 0 and < 1 \(got -0.1\)"),
        ({"late_sessions": 2}, r"'late_sessions' must be a number from 0 to 1 \(got 2\)"),
        (
            {"new_items": 0.5, "late_items": 0.4},
            r"'new_items, late_items' must be shares that leave every interest an item \(got \(0.5",
        ),
        ({"split": "dev"}, r"'split' must be one of"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        Synthetic(tmp_path / "datasets", **{**TINY, **arguments})
    assert not (tmp_path / "datasets").exists()
