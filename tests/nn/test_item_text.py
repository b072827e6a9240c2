"""Models of items with text: against plain loops in float64, and what must hold of cold items."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.data.graphs import graphs_of
from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.evaluation.loop import assert_row_independent
from pyg_srgnn.functional.mixture import find_candidates
from pyg_srgnn.nn import SRGNN, GRU4Rec, srgnn
from pyg_srgnn.nn.item_table import ItemTable
from pyg_srgnn.nn.text_neighbour_head import bucket_of
from tests.nn.catalogue import (
    CHANNELS,
    CLICKS,
    ITEMS,
    MODES,
    SESSIONS,
    TARGETS,
    TRAINED,
    TRAINING,
    WITHOUT,
    F,
    make,
    raw_texts,
)
from tests.nn.test_srgnn import batch_of, exact_weights
from tests.reference import ingredients as reference
from tests.reference import item_text, text_expert
from tests.reference.names import random_sessions, randomise, readout_names

ALL: dict[str, Any] = {
    "residual": "highway",
    "positions": 4,
    "repeat": True,
    "neighbours": 3,
    "window": 2,
    "transitions": ITEMS,
    "text_neighbours": 5,
    "text_expert": True,
    "text_similarity": True,
}
CASES: dict[str, dict[str, Any]] = {
    "alone": {},
    "scale": {"scale": 3.0},
    "neighbours": {"text_neighbours": 4},
    "expert": {"text_expert": True},
    "similarity": {"text_similarity": True, "residual": "highway"},
    "edges": {"scale": 3.0, "neighbours": 9, "window": 1, "text_edges": True},
    "all": ALL,
    "all and scale": ALL | {"scale": 3.0},
}


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(CASES))
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return CASES[request.param]


def neighbours_of(texts: item_text.Vectors, options: dict[str, Any]) -> list[Any]:
    most, window = options["neighbours"], options["window"]
    rows = reference.neighbours_of(TRAINING, ITEMS, most, window)
    if options.get("text_edges"):
        assert any(len(row) < most for row in rows[:TRAINED]), "else it tests nothing"
        rows = item_text.with_text_edges(rows, texts, most, TRAINED)
    return rows


def exact(model: SRGNN, texts: item_text.Vectors, options: dict[str, Any]) -> SRGNN:
    """Replace what is counted in float32 by float64."""
    if model.global_graph is not None:
        weight = torch.zeros_like(model.global_graph.weight, dtype=torch.float64)
        for item, row in enumerate(neighbours_of(texts, options)):
            for place, (other, share) in enumerate(row):
                assert model.global_graph.neighbours[item, place] == other
                weight[item, place] = share
        torch.testing.assert_close(model.global_graph.weight.double(), weight, rtol=0, atol=1e-6)
        model.global_graph.weight = weight
    if model.transitions is not None:
        model.transitions.count = (model.transitions.count.double() * 2520).round() / 2520
    return model


def expected_of(
    model: SRGNN, mode: str, texts: item_text.Vectors, loss: bool, options: dict[str, Any]
) -> Tensor:
    options = options | {"item_table": mode, "texts": texts, "num_trained": TRAINED}
    options["clicks"] = CLICKS.tolist()
    options.pop("text_similarity", None)
    if options.get("neighbours"):
        options["neighbours"] = neighbours_of(texts, options)
        del options["window"]
        options.pop("text_edges", None)
    if options.get("transitions"):
        options["transitions"] = followers = reference.transitions_of(TRAINING, ITEMS)
        for cold in range(TRAINED, ITEMS):  # what followed the nearest stand-in
            near = item_text.stand_ins(texts, TRAINED, cold)
            followers[cold] = followers[max(near, key=lambda i: near[i])] if near else {}
    known = [i for i in range(ITEMS) if i < TRAINED or i not in WITHOUT]
    options["expert_scored"] = range(TRAINED) if loss else known
    if loss or mode == "id":
        options["scored"] = range(TRAINED)
    else:
        options["scored"] = known
    return torch.stack([reference.log_probabilities(model, s, **options) for s in SESSIONS])


@pytest.mark.parametrize("channels", [F, 3])
def test_scores_loss_and_gradients(mode: str, options: dict[str, Any], channels: int) -> None:
    raw = raw_texts(channels)
    texts = item_text.whitened(raw, TRAINED)
    model = exact(make(raw, item_table=mode, **options), texts, options)
    torch.testing.assert_close(model.text.vectors, torch.tensor(texts), rtol=0, atol=1e-9)
    batch = exact_weights(batch_of(SESSIONS, TARGETS), SESSIONS)
    with torch.no_grad():
        wanted = expected_of(model, mode, texts, False, options)
        found = model.scores(batch)
        torch.testing.assert_close(found.log_softmax(dim=1), wanted, rtol=0, atol=1e-8)
        if model.log_probabilities:
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-8)

    rows = expected_of(model, mode, texts, True, options)
    losses = torch.stack([-row[target] for row, target in zip(rows, TARGETS, strict=True)])
    losses.mean().backward()
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    gradients = {name: p.grad.to_dense().clone() for name, p in parameters.items()}
    model.zero_grad()
    loss = model.loss(batch)
    assert loss.item() == pytest.approx(losses.mean().item(), abs=1e-9)
    loss.backward()
    for name, parameter in parameters.items():
        assert gradients[name].abs().max() > 1e-9, f"{name} is not tested"
        torch.testing.assert_close(parameter.grad.to_dense(), gradients[name], rtol=0, atol=1e-8)


def test_one_by_one(mode: str) -> None:
    model = make(item_table=mode, **ALL)
    with torch.no_grad():
        together = model.scores(batch_of(SESSIONS))
        apart = torch.cat([model.scores(batch_of([s])) for s in SESSIONS])
        values, items = model.topk(batch_of(SESSIONS), 5)
    torch.testing.assert_close(together, apart)
    best = together.topk(5)
    torch.testing.assert_close(values, best.values)
    assert torch.equal(items, best.indices)


class Clicks(SessionDataset):
    """Sessions with cold items."""

    name = "clicks"

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        test = Sessions.from_lists([s for s in random_sessions(25, ITEMS, seed=3) if len(s) > 1])
        return Sessions.from_lists(TRAINING), test, Vocabulary(range(ITEMS))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, ALL | {"scale": 3.0}])
def test_rows_are_independent(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    model = make(item_table=mode, double=False, **options)
    assert_row_independent(model, Clicks(tmp_path, "test"), batch_size=16)


def test_items_numbered_in_another_way(mode: str) -> None:
    """Texts, ids and sessions permuted alike permute the scores."""
    turn = torch.tensor([5, 2, 0, 7, 1, 3, 6, 4, 9, 10, 8])  # of the trained, of the cold items
    back = turn.argsort()
    first = make(item_table=mode, scale=3.0, **ALL)
    other = SRGNN(
        *(ITEMS, CHANNELS), num_trained=TRAINED, text_channels=F, item_table=mode, scale=3.0, **ALL
    ).double()
    state = first.state_dict()
    # What is counted and found is not copied.
    parameters = {name: state[name] for name, _ in first.named_parameters()}
    parameters["embedding.weight"] = parameters["embedding.weight"][turn]
    other.load_state_dict(other.state_dict() | parameters)
    other.set_text(torch.tensor(raw_texts())[turn])
    renamed = [[int(back[i]) for i in s] for s in TRAINING]
    other.set_training(Sessions.from_lists(renamed))
    # Of equally heavy neighbours, those of the lower numbers are kept.
    other.global_graph.neighbours.copy_(back[first.global_graph.neighbours[turn].long()])
    other.global_graph.weight.copy_(first.global_graph.weight[turn])
    with torch.no_grad():
        wanted = first.scores(batch_of(SESSIONS))
        found = other.eval().scores(batch_of([[int(back[i]) for i in s] for s in SESSIONS]))
    torch.testing.assert_close(found, wanted[:, turn], rtol=1e-6, atol=1e-6)


# Without texts, nothing has changed: figures of version 0.3's code.


@pytest.mark.parametrize(
    ("options", "figures"),
    [
        ({}, (308, -7.498982131481171, 2.494904490616847, 4.611716967249616, -112.2983079963516)),
        (
            {
                **{"scale": 3.0, "residual": "highway", "last_k": 2, "positions": 4},
                **{"frequency": True, "repeat": True, "neighbours": 3, "window": 2},
                "transitions": 5,
            },
            (860, 18.71229547262192, 2.630165445724660, 21.54585967490010, -10002.044887269009),
        ),
        (
            {"loss": "sampled", "negatives": 16, "scale": 3.0, "transitions": 5},
            (347, -16.81690430641174, 3.362322336603870, 24.98150937852493, -9622.064144802145),
        ),
        (
            {"loss": "binary"},
            (308, -7.498982131481171, 3.458868004274596, 5.108966229506706, -112.2983079963516),
        ),
    ],
)
def test_a_model_without_texts_is_what_it_was(
    options: dict[str, Any], figures: tuple[int, float, float, float, float]
) -> None:
    """Number of parameters, sum of their first draws, loss, gradients, scores."""
    sessions = [[0], [0, 1], [1, 2, 1], [2, 2, 2], [0, 1, 2, 1, 3], [4, 5, 6, 7, 8], [9, 3, 10, 9]]
    sessions[-1].append(10)
    training = [[0, 1, 2, 3], [3, 4, 5], [6, 7, 8, 1], [2, 9, 0, 1], [5, 6]]
    torch.manual_seed(0)
    model = SRGNN(ITEMS, CHANNELS, text_neighbours=5, **options)  # of which there are none
    draws = sum((i + 1) * p.flatten()[0].item() for i, p in enumerate(model.parameters()))
    model = model.double()
    model.set_training(Sessions.from_lists(training))
    batch = exact_weights(batch_of(sessions, [1, 2, 3, 4, 5, 9, 0]), sessions)
    torch.manual_seed(1)
    loss = model.loss(batch)
    loss.backward()
    with torch.no_grad():
        scores = model.eval().scores(batch)
    weight = torch.arange(1, scores.numel() + 1, dtype=torch.float64).view_as(scores)
    found = (
        sum(p.numel() for p in model.parameters()),
        draws,
        loss.item(),
        sum(p.grad.to_dense().abs().sum().item() for p in model.parameters()),
        (weight * scores).sum().item(),
    )
    assert found == pytest.approx(figures, rel=1e-6)
    assert not any("text" in name or "stand_in" in name for name in model.state_dict())


# Cold items.


@pytest.mark.parametrize("mode", ["id", "null_space"])
def test_probabilities_sum_to_one(mode: str) -> None:
    model = make(item_table=mode, **ALL)
    with torch.no_grad():
        total = model.scores(batch_of(SESSIONS)).exp().sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize(
    ("mode", "loss"),
    [("id", "sampled"), *((m, loss) for m in MODES for loss in ("cross_entropy", "binary"))],
)
def test_cold_items_are_not_in_the_loss(mode: str, loss: str) -> None:
    options: dict[str, Any] = {"scale": 3.0, "loss": loss, "item_table": mode, "negatives": 400}
    if loss != "binary":
        options |= {"repeat": True, "transitions": ITEMS}
    if loss == "cross_entropy":
        options |= {"label_smoothing": 0.1}
    changed = raw_texts()
    changed[TRAINED:] = raw_texts(seed=8)[TRAINED:] * 2
    sessions = [[i for i in s if i < TRAINED] or [0] for s in SESSIONS]
    found = []
    for raw in (raw_texts(), changed):
        model = make(raw, sampling="uniform", **options).train()
        torch.manual_seed(0)
        loss_of = model.loss(batch_of(sessions, TARGETS))
        loss_of.backward()
        if model.embedding.weight.numel():
            gradient = model.embedding.weight.grad.to_dense()
            assert not gradient[TRAINED:].any() and gradient[:TRAINED].any()
        found.append(loss_of.item())
    assert found[0] == found[1]


def test_text_neighbours_learn_nothing_of_cold_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are never targets: their factor would fall without end."""
    monkeypatch.setattr(srgnn, "_AS_COLD", torch.inf)
    model = make(text_neighbours=ITEMS, scale=3.0).train()
    batch, _ = numbered(model)
    factors = gradients(model, batch)["text_neighbours.clicks.weight"]
    assert not factors[0].any() and factors.any()
    batch.y = torch.full_like(batch.y, TRAINED)
    with torch.no_grad():
        model.text_neighbours.clicks.weight[0] += 1
        s_h, graphs = model(batch), graphs_of(batch)
        source = [model.text_neighbours.source()]
        for target, among in ((batch.y, False), (None, True)):
            (found,), _ = find_candidates(source, batch.x, graphs, target)
            share = model.text_neighbours.share(s_h, s_h, graphs, found)
            assert bool((share.candidates.share[found.item == TRAINED] > 0).any()) == among


@pytest.mark.parametrize("sampling", ["uniform", "popularity"])
def test_cold_items_are_never_drawn(sampling: str) -> None:
    model = make(loss="sampled", negatives=5000, sampling=sampling, text_neighbours=3)
    items, log_probability = model.sampler()
    assert items.unique().tolist() == list(range(TRAINED))
    share = model.sampler.log_probability(torch.arange(TRAINED)).exp()
    assert share.sum().item() == pytest.approx(1)
    assert torch.equal(log_probability.exp(), share[items])


def test_the_loss_over_drawn_items_with_texts_comes_near_the_one_over_all() -> None:
    options: dict[str, Any] = {"repeat": True, "scale": 3.0, "text_neighbours": 4}
    full = make(**options)
    model = make(**options, loss="sampled", negatives=200_000, sampling="uniform")
    batch = batch_of(SESSIONS, TARGETS)
    torch.manual_seed(0)
    loss = model.loss(batch)
    assert loss.item() == pytest.approx(full.loss(batch).item(), abs=5e-3)
    loss.backward()
    assert model.embedding.weight.grad.is_sparse
    assert all(p.grad is not None for p in model.parameters())


def test_which_cold_items_are_ranked(mode: str) -> None:
    with torch.no_grad():
        scores = make(item_table=mode).scores(batch_of(SESSIONS))
        mixed = make(item_table=mode, text_neighbours=ITEMS).scores(batch_of(SESSIONS))
    finite = scores.isfinite().all(dim=0).tolist()
    ranked = [i < TRAINED or (mode != "id" and i not in WITHOUT) for i in range(ITEMS)]
    assert finite == ranked
    assert scores[:, [not each for each in ranked]].isneginf().all()
    # The nearest texts find cold ones whatever the table is, but none without a text.
    assert mixed[:, TRAINED].isfinite().any() and mixed[:, 9].isneginf().all()
    assert not scores.isnan().any() and not mixed.isnan().any()


def test_cold_items_without_any_text(mode: str) -> None:
    raw = raw_texts()
    raw[TRAINED:] = 0
    with torch.no_grad():
        model = make(raw, item_table=mode, scale=3.0, **ALL)
        scores = model.scores(batch_of(SESSIONS))
    assert not scores.isnan().any()
    own = torch.zeros(len(SESSIONS), ITEMS, dtype=torch.bool)
    for row, session in enumerate(SESSIONS):
        own[row, session] = True  # which repeat ranks
    assert torch.equal(scores[:, TRAINED:].isneginf(), ~own[:, TRAINED:])
    assert not model.transitions.count[TRAINED:].any(), "nothing is known to follow them"


def test_a_clicked_cold_item_without_a_text_says_nothing() -> None:
    """It enters as zeros, not as any trained item, nor as what was drawn for its id."""
    model = make(scale=3.0, **ALL)
    with torch.no_grad():
        assert not model.clicked(torch.tensor([9])).any()
        assert model.clicked(torch.tensor([8])).any()
        assert not model.transitions.count[9].any() and model.transitions.count[8].any()


@pytest.mark.parametrize("num_trained", [1, ITEMS])
def test_one_trained_item_or_all(mode: str, num_trained: int) -> None:
    model = make(item_table=mode, num_trained=num_trained, scale=3.0, **ALL)
    batch = batch_of(SESSIONS, [0] * len(SESSIONS))
    with torch.no_grad():
        assert not model.scores(batch).isnan().any()
    loss = model.train().loss(batch_of([[0], [0, 0]], [0, 0]))
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize("wanted", [1, ITEMS - 1, 50])
def test_fewer_items_than_neighbours(wanted: int) -> None:
    model = make(text_neighbours=wanted)
    head = model.text_neighbours
    assert head.neighbours.shape == (ITEMS, min(wanted, ITEMS - 1))
    found = item_text.neighbours_of(item_text.whitened(raw_texts(), TRAINED), wanted)
    for item, row in enumerate(found):
        near = head.cosine[item] > -1
        assert head.neighbours[item][near].tolist() == list(row)
        assert head.cosine[item][near].tolist() == pytest.approx(list(row.values()), abs=1e-9)
    assert head.bucket.tolist() == [item_text.bucket(c) for c in CLICKS.tolist()]


def test_a_catalogue_of_one_item_has_no_neighbours() -> None:
    model = SRGNN(1, CHANNELS, text_channels=2, text_neighbours=5)
    assert model.text_neighbours is None


@pytest.mark.parametrize("clicks", [0, 1, 2, 3, 4, 7, 8, 4095, 4096, 10**6])
def test_buckets(clicks: int) -> None:
    assert bucket_of(torch.tensor([clicks])).tolist() == [item_text.bucket(clicks)]


# Sessions held out.


MANY = random_sessions(60, TRAINED, seed=4, longest=6)


def numbered(model: SRGNN, start: int = 0, stop: int | None = None) -> tuple[Any, Tensor]:
    """Samples of the sessions of a model's training with their numbers, and their sessions."""
    sessions = Sessions.from_lists(MANY)
    model.set_training(sessions)
    row = torch.arange(sessions.num_samples)[start:stop]
    session, cut = sessions.samples(row)
    pairs = list(zip(session.tolist(), cut.tolist(), strict=True))
    batch = batch_of([MANY[s][:c] for s, c in pairs], [MANY[s][c] for s, c in pairs])
    batch.row = row
    return batch, session


def gradients(model: SRGNN, batch: Any) -> dict[str, Tensor]:
    model.zero_grad()
    torch.manual_seed(0)  # of which items count as cold
    model.loss(batch).backward()
    found = {n: p.grad.to_dense() for n, p in model.named_parameters() if p.grad is not None}
    if "text_expert.clicks.weight" in found:  # the first row is that of cold items
        clicks = found.pop("text_expert.clicks.weight")
        found |= {"text_expert.clicks: cold": clicks[:1], "text_expert.clicks": clicks[1:]}
    return {name: gradient.clone() for name, gradient in found.items()}


def with_targets(batch: Any, rows: Tensor) -> Any:
    """The batch with other targets in these rows."""
    other = batch.clone()
    other.y = torch.where(rows, (batch.y + 1) % TRAINED, batch.y)
    return other


@pytest.mark.parametrize(
    "options",
    [
        {"text_neighbours": 4},
        ALL,
        ALL | {"loss": "sampled"},
        ALL | {"sequence": "alone"},
        ALL | {"sequence": "joint", "softmaxes": 2},
    ],
)
def test_who_is_trained_on_which_sessions(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(srgnn, "_AS_COLD", 3)
    model = make(scale=3.0, **options).train()
    batch, session = numbered(model)
    held_out = model._held_out(batch)
    assert 0 < int(held_out.sum()) < len(batch.y)
    for each in session.unique():
        assert len(held_out[session == each].unique()) == 1, "a session is on one side"

    def trained(rows: Tensor) -> set[str]:
        """Parameters whose gradient changes with the targets of these rows."""
        found = []
        for each in (batch, with_targets(batch, rows)):
            torch.manual_seed(0)
            found.append(gradients(model, each))
        return {n for n in found[0] if not torch.allclose(found[0][n], found[1][n], atol=1e-12)}

    by_held_out, by_others = trained(held_out), trained(~held_out)
    gates = ("text_neighbours", "text_expert.gate", "text_expert.lin_gate")
    heads = (
        *gates,
        "transitions",
        "repeat",
        "text_expert.clicks: cold",
        "sequence.gate",
        "sequence.lin_gate",
        "softmax_2.gate",
    )
    if options.get("sequence") == "alone":
        gates += ("sequence.gate", "sequence.lin_gate")
    if "sequence" in options:
        assert "sequence.gate.weight" in by_held_out and "sequence.gru.bias_hh_l0" in by_others
    assert not [name for name in by_held_out if not name.startswith(heads)]
    assert not [name for name in by_others if name.startswith(gates)]
    if "text_expert" in options:
        assert "text_expert.clicks: cold" in by_held_out
        assert {"text_expert.lin.weight", "text_expert.readout.q.weight"} <= by_others
        assert "text_expert.gate.weight" in by_held_out
    assert {"embedding.weight", "conv.lin_in.weight", "readout.q.weight"} <= by_others
    assert "text_neighbours.gate.weight" in by_held_out


@pytest.mark.parametrize("expert", [False, True])
@pytest.mark.parametrize(
    ("repeat", "smoothing", "popularity"),
    [(False, 0.0, None), (True, 0.0, None), (True, 0.2, None), (True, 0.2, [0.3])],
)
def test_what_trains_gates_and_text_neighbours(
    mode: str,
    repeat: bool,
    smoothing: float,
    popularity: list[float] | None,
    expert: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some items as if they were cold: without an id, unless it is a target, one of V then."""
    monkeypatch.setattr(srgnn, "_AS_COLD", 3)
    options: dict[str, Any] = {"scale": 3.0, "repeat": repeat, "text_neighbours": 4}
    options["text_expert"] = expert
    if mode == "id":
        options["label_smoothing"] = smoothing
    options["popularity"] = popularity
    model = make(item_table=mode, **options).train()
    batch, _ = numbered(model)
    held_out, graphs = model._held_out(batch), graphs_of(batch)
    sources = [component.source() for component in model.components.values()]
    cases, numbers, of_experts = set(), [], []
    with torch.no_grad():
        _, taken = find_candidates(sources, batch.x, graphs, batch.y)
        rows = [model._rows_of(each) for each in model.experts.values()]
    at = held_out.nonzero().squeeze(1)
    torch.manual_seed(4)
    found = model._trial(batch, at, taken, rows)
    torch.manual_seed(4)
    count = TRAINED // 3
    first = int(torch.randint(TRAINED - count, TRAINED - count + 1, ()))
    as_cold = [first <= i < first + count for i in range(TRAINED)]
    texts = item_text.whitened(raw_texts(), TRAINED)
    neighbours = item_text.neighbours_of(texts, 4)
    counted = torch.bincount(torch.tensor([i for each in MANY for i in each])).tolist()
    clicks = [0 if as_cold[i] else counted[i] for i in range(TRAINED)] + [0] * ITEMS
    parameters = dict(model.named_parameters())
    known = [0 * texts[i] if as_cold[i] else texts[i] for i in range(TRAINED)]
    with torch.no_grad():
        vectors = model._clicked(batch.x)
        for node, item in enumerate(batch.x.tolist()):
            if mode == "id" and as_cold[item]:
                near = item_text.stand_ins([*known, texts[item]], TRAINED, TRAINED)
                each = model._clicked(torch.tensor(list(near), dtype=torch.long))
                vectors[node] = torch.tensor(list(near.values())).to(each) @ each
        s_h = model.finish(model.read(model.propagate(vectors, graphs), graphs))
    scores = s_h @ model.item_vectors()[:TRAINED].T.detach()
    changes = model.output.own(s_h, batch)  # which tests/nn/test_output.py compares
    for number, row in enumerate(at.tolist()):
        clicked = batch.x[batch.alias_index][graphs.batch[batch.alias_index] == row].tolist()
        target = int(batch.y[row])
        own = set(clicked) if repeat else set()
        if target in own:
            continue
        others = [i for i in range(TRAINED) if i not in own]
        scored = [i for i in others if mode != "id" or not as_cold[i]]
        if popularity:
            scores[row, target] += changes[row]
        rest = dict.fromkeys(others, torch.zeros((), dtype=torch.float64))
        rest |= zip(scored, torch.softmax(scores[row, scored], dim=0), strict=True)
        if target not in scored:
            rest[target] = torch.tensor(1 / ITEMS, dtype=torch.float64)
        cases.add(target in scored)
        s = s_h[row, :CHANNELS]
        if expert:
            names = readout_names(model.text_expert.readout, lambda parameter: parameter)
            arguments = texts, counted + [0] * ITEMS, range(TRAINED), 3.0, 0, False, clicks
            rest = text_expert.mixed(parameters, names, clicked, s, rest, *arguments)
            numbers.append(number)
            of_experts.append(-rest[target].log())
        arguments = parameters, clicked, s, rest, neighbours, 4, clicks
        mixed = item_text.mixed_with_neighbours(*arguments)
        assert found[number].item() == pytest.approx(-mixed[target].log().item(), abs=1e-6)
    assert cases == ({True, False} if mode == "id" else {True})
    if expert:  # what learns of its vectors is the bias of cold items alone
        weights = [model.text_expert.clicks.weight, model.text_expert.lin.weight]
        clicks_grad, lin_grad = torch.autograd.grad(
            found[numbers].sum(), weights, allow_unused=True, materialize_grads=True
        )
        (expected,) = torch.autograd.grad(torch.stack(of_experts).sum(), weights[0])
        torch.testing.assert_close(clicks_grad[0], expected[0], atol=1e-7, rtol=0)
        assert expected[0].abs() > 1e-3
        assert not clicks_grad[1:].any() and not lin_grad.any()


def test_the_losss_value_is_the_plain_mean() -> None:
    model = make(scale=3.0, text_neighbours=4).train()
    batch, _ = numbered(model)
    with torch.no_grad():
        loss = model.loss(batch)
        del batch.row
        plain = model.loss(batch)
        # Without cold items, which are candidates in evaluation only.
        model.text_neighbours.clicks.weight[0] = -1e3
        p = model.eval().scores(batch).gather(1, batch.y.unsqueeze(1)).mean()
    assert loss.item() == pytest.approx(plain.item(), abs=1e-12)
    assert loss.item() == pytest.approx(-p.item(), abs=1e-9)


def test_nothing_is_held_out_without_numbers_or_in_evaluation() -> None:
    model = make(text_neighbours=4).train()
    batch, _ = numbered(model)
    assert model.eval()._held_out(batch) is None
    del batch.row
    assert model.train()._held_out(batch) is None
    assert "text_neighbours.gate.weight" in gradients(model, batch)
    without = make(text_neighbours=0).train()
    assert without._held_out(numbered(without)[0]) is None


def test_about_a_tenth_is_held_out() -> None:
    model = make(text_neighbours=4).train()
    lengths = [1 + n % 4 for n in range(5000)]  # some have no sample
    model.set_training(Sessions.from_lists([[0] * n for n in lengths]))
    session = torch.tensor([s for s, n in enumerate(lengths) for _ in range(n - 1)])
    batch = batch_of([[0]])
    batch.row = torch.arange(len(session))
    held_out = model._held_out(batch)
    chosen = session[held_out].unique()
    assert len(chosen) == pytest.approx(5000 * 3 / 4 / 10, rel=0.1)
    assert torch.isin(session, chosen).eq(held_out).all(), "whole sessions"


def test_a_shared_batch_has_the_gradient_of_the_whole_one() -> None:
    """Processes that share a batch hold out other numbers of sessions."""
    model = make(text_neighbours=4, scale=3.0).train()
    batch, _ = numbered(model)
    whole, parts = gradients(model, batch), []
    for start, stop in ((0, 41), (41, None)):
        part, _ = numbered(model, start, stop)
        parts.append((len(part.y) / len(batch.y), gradients(model, part)))
    for name, gradient in whole.items():
        total = sum(share * each[name] for share, each in parts)
        torch.testing.assert_close(total, gradient, rtol=1e-4, atol=1e-6)


# Precision, devices, copies.


def test_products_in_bfloat16(mode: str) -> None:
    batch = batch_of(SESSIONS, TARGETS)
    full, half = (
        make(item_table=mode, double=False, products=products, scale=3.0, **ALL).loss(batch)
        for products in ("full", "bfloat16")
    )
    assert full.item() != half.item()
    torch.testing.assert_close(full, half, rtol=0.03, atol=0)


def test_autocast(mode: str) -> None:
    model = make(item_table=mode, double=False, scale=3.0, **ALL)
    batch = batch_of(SESSIONS, TARGETS)
    wanted = model.loss(batch)
    with torch.autocast("cpu", torch.bfloat16):
        value = model.train().loss(batch)
    value.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, wanted, rtol=0.1, atol=0)
    assert all(p.grad.to_dense().isfinite().all() for p in model.parameters() if p.requires_grad)


def test_copies_and_other_types(mode: str) -> None:
    model = make(item_table=mode, double=False, scale=3.0, **ALL)
    batch = batch_of(SESSIONS)
    with torch.no_grad():
        wanted = model.scores(batch)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(other.scores(batch), wanted)
        built = SRGNN(
            *(ITEMS, CHANNELS),
            text_channels=F,
            num_trained=TRAINED,
            item_table=mode,
            scale=3.0,
            **ALL,
        ).eval()
        built.load_state_dict(model.state_dict())
        assert torch.equal(built.scores(batch), wanted)
        with torch.device("meta"):
            empty = SRGNN(
                *(ITEMS, CHANNELS),
                **{"text_channels": F, "num_trained": TRAINED, "item_table": mode, "scale": 3.0},
                **ALL,
            )
        empty.load_state_dict(model.state_dict(), assign=True)
        assert torch.equal(empty.eval().scores(batch), wanted)
        double = copy.deepcopy(model).double().scores(batch)
        assert double.dtype == torch.float64
        torch.testing.assert_close(double.to(wanted), wanted, rtol=1e-3, atol=1e-3)
        assert all(t.is_meta for t in copy.deepcopy(model).to("meta").state_dict().values())


def test_float32_vectors_of_a_float64_model() -> None:
    model = make()
    model.set_text(torch.tensor(raw_texts(), dtype=torch.float32))
    torch.testing.assert_close(model.text.vectors, make().text.vectors, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mode", ["id", "text"])
def test_gru4rec_with_texts(mode: str) -> None:
    model = GRU4Rec(
        *(ITEMS, CHANNELS), item_table=mode, text_channels=F, num_trained=TRAINED, scale=3.0
    )
    model = randomise(model.double())
    model.set_text(torch.tensor(raw_texts()))
    model.set_training(Sessions.from_lists(TRAINING))
    with torch.no_grad():
        scores = model.eval().scores(batch_of(SESSIONS))
        apart = torch.cat([model.scores(batch_of([s])) for s in SESSIONS])
    torch.testing.assert_close(scores, apart)
    assert scores[:, TRAINED].isneginf().all() == (mode == "id")
    assert model.train().loss(batch_of(SESSIONS, TARGETS)).isfinite()


# What is refused.


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"item_table": "text", "text_channels": 0}, "'item_table' must be id without text"),
        ({"item_table": "sum", "loss": "sampled"}, "'item_table' must be id with loss='sampled'"),
        ({"item_table": "words"}, "'item_table' must be one of id, text, sum, delta, null_space"),
        ({"text_neighbours": 3, "loss": "binary"}, "'text_neighbours' must be 0 with loss='binary"),
        ({"text_neighbours": -1}, "'text_neighbours' must be a whole number >= 0"),
        ({"num_trained": 0}, "'num_trained' must be a whole number"),
        ({"num_trained": ITEMS + 1}, "'num_trained' must be a whole number"),
    ],
)
def test_arguments_out_of_range(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SRGNN(ITEMS, CHANNELS, **{"text_channels": F} | options)


def test_text_vectors_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="SRGNN: it was made without text_channels"):
        SRGNN(ITEMS, CHANNELS).set_text(torch.zeros(ITEMS, F))
    model = SRGNN(ITEMS, CHANNELS, text_channels=F, num_trained=2)
    with pytest.raises(ValueError, match=r"must have the shape \[11, 6\] \(got \[11, 5\]\)"):
        model.set_text(torch.ones(ITEMS, 5))
    only_cold = torch.ones(ITEMS, F)
    only_cold[:2] = 0
    with pytest.raises(ValueError, match="no item of the training sessions has a text"):
        model.set_text(only_cold)


def test_ids_beside_a_text_start_at_zero(mode: str) -> None:
    model = SRGNN(ITEMS, CHANNELS, text_channels=F, item_table=mode, num_trained=TRAINED, scale=3.0)
    assert isinstance(model.embedding, ItemTable)
    weight = model.embedding.weight
    assert weight.shape == (ITEMS, {"text": 0, "null_space": 2}.get(mode, CHANNELS))
    drawn = weight.detach().clone()
    model.set_text(torch.tensor(raw_texts()))
    if mode == "id":
        assert torch.equal(weight, drawn)
        return
    known = [item for item in range(ITEMS) if item not in WITHOUT]
    assert not weight[known].any() and torch.equal(weight[[*WITHOUT]], drawn[[*WITHOUT]])
    # Where zeros are normalised, the gradient is divided by next to nothing.
    model.loss(batch_of([[0, 3], [3], [1, 2]], [3, 1, 3])).backward()
    assert all(
        p.grad.to_dense().abs().max() < 100
        for p in model.parameters()
        if p.requires_grad and p.grad is not None
    )


def test_the_expert_multiplies_all_texts_in_the_type_of_the_losss_products() -> None:
    """In training alone, and not the texts of what was clicked."""
    full = make(double=False, text_expert=True).train()
    half = make(double=False, text_expert=True, products="bfloat16").train()
    of_full, of_half = full.text_expert, half.text_expert
    assert of_full is not None and of_half is not None
    exact = of_full.rows(full)
    assert not torch.equal(of_half.rows(half), exact)
    torch.testing.assert_close(of_half.rows(half), exact, atol=2**-6, rtol=0)
    items = torch.arange(4)
    assert torch.equal(of_half.rows(half, items), of_full.rows(full, items))
    half.eval()
    assert torch.equal(of_half.rows(half), exact)


def test_scores_after_autocast_are_those_without() -> None:
    model = make(item_table="id", text_expert=True, scale=3.0).float().eval()
    batch = batch_of(SESSIONS, TARGETS)
    with torch.no_grad():
        wanted = model.scores(batch)
        model.eval()
        with torch.autocast("cpu", torch.bfloat16):
            model.scores(batch)
        assert torch.equal(model.scores(batch), wanted)
