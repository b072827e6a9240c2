"""Every later ingredient of SRGNN against plain loops in float64, alone and all together."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from pyg_srgnn.data import Sessions
from pyg_srgnn.data.graphs import graphs_of
from pyg_srgnn.data.recency import recency
from pyg_srgnn.functional.lookups import Hidden, followers_of
from pyg_srgnn.nn import SRGNN, GRU4Rec, session_model
from pyg_srgnn.nn.global_graph import heaviest_neighbours
from pyg_srgnn.nn.similar_head import SimilarHead
from pyg_srgnn.nn.transition_head import TransitionHead
from tests.nn.test_srgnn import batch_of, exact_weights
from tests.reference import ingredients as reference
from tests.reference import similar_items
from tests.reference.names import random_sessions, randomise

ITEMS, CHANNELS = 11, 4
SESSIONS = [s for s in random_sessions(16, ITEMS) if len(set(s)) < ITEMS]
TARGETS = [s[0] if n % 2 else (5 * n + 2) % ITEMS for n, s in enumerate(SESSIONS)]
TRAINING = random_sessions(12, ITEMS - 2)  # two items have no neighbour
INGREDIENTS: dict[str, dict[str, Any]] = {
    "scale": {"scale": 3.0},
    "add": {"residual": "add"},
    "highway": {"residual": "highway"},
    "last_k": {"last_k": 3},
    "positions": {"positions": 4},
    "frequency": {"frequency": True},
    "repeat": {"repeat": True},
    "neighbours": {"neighbours": 3, "window": 2},
    "transitions": {"transitions": ITEMS},
    "similar": {"similar": ITEMS},
    "readout_levels": {"readout_levels": 3},
    "sequence": {"sequence": "alone"},
    "softmaxes": {"softmaxes": 3},
}
RECENT = {"counts_half_life": 0.3}
ALL = {key: value for options in INGREDIENTS.values() for key, value in options.items()}
ALL["readout_levels"] = 1  # with last_k
CASES = INGREDIENTS | {
    "all": ALL,
    "all but scale": ALL | {"scale": None},
    "repeat and scale": {"repeat": True, "scale": 3.0},
    "recent neighbours": INGREDIENTS["neighbours"] | RECENT,
    "recent transitions": INGREDIENTS["transitions"] | RECENT,
    "recent similar": INGREDIENTS["similar"] | RECENT,
    "repeat by counts of the session": {"repeat": "counts"},
    "repeat by counts": {**INGREDIENTS["transitions"], "repeat": "counts", "leave_out": "session"},
    "similar and repeat": INGREDIENTS["similar"] | {"repeat": True},
    "joint sequence": {"sequence": "joint", "scale": 3.0},
    "sequence and softmaxes": {"sequence": "joint", "softmaxes": 2, "repeat": True},
    "levels and positions": {"readout_levels": 4, "positions": 4},
}


def make(**options: Any) -> SRGNN:
    model = randomise(SRGNN(ITEMS, CHANNELS, **options).double(), 0, 0.5)
    model.set_training(Sessions.from_lists(TRAINING))
    return model.eval()


@pytest.mark.parametrize("half_life", [0.006, 0.0072, 0.008])
def test_counts_too_small_to_divide_by(half_life: float) -> None:
    model = SRGNN(ITEMS, CHANNELS, **INGREDIENTS["transitions"], counts_half_life=half_life)
    model.set_training(Sessions.from_lists(TRAINING))
    batch = batch_of(SESSIONS, TARGETS)
    batch.row = torch.zeros(len(TARGETS), dtype=torch.long)  # of the oldest, whose weight is least
    for training in (False, True):
        assert model.train(training).loss(batch).isfinite()


def exact_counts(model: SRGNN, half_life: float | None) -> None:
    """Replace the counts, which are stored in float32, by those of the reference."""
    if model.transitions is not None:
        transitions = reference.transitions_of(TRAINING, ITEMS, half_life)
        replace(model.transitions, model.transitions.followers, transitions)
    if model.similar is not None:
        weights = reference.weights_of(TRAINING, half_life)
        similar = similar_items.counts_of(TRAINING, ITEMS, weights)
        replace(model.similar, model.similar.similar, similar)


def replace(
    head: TransitionHead | SimilarHead, items: Tensor, counts: list[dict[int, float]]
) -> None:
    exact = torch.zeros_like(head.count.double())
    for item, row in enumerate(items.tolist()):
        for place, other in enumerate(row[: len(counts[item])]):
            exact[item, place] = counts[item][other]
    torch.testing.assert_close(head.count.double(), exact)
    head.count = exact


def expected_of(model: SRGNN, options: dict[str, Any]) -> Tensor:
    options = {key: value for key, value in options.items() if key != "leave_out"}
    half_life = options.pop("counts_half_life", None)
    if options.pop("neighbours", 0):
        window = options.pop("window")
        options["neighbours"] = reference.neighbours_of(TRAINING, ITEMS, 3, window, half_life)
    if options.get("transitions"):
        options["transitions"] = reference.transitions_of(TRAINING, ITEMS, half_life)
    if options.get("similar"):
        weights = reference.weights_of(TRAINING, half_life)
        options["similar"] = similar_items.counts_of(TRAINING, ITEMS, weights)
    return torch.stack([reference.log_probabilities(model, s, **options) for s in SESSIONS])


@pytest.fixture(params=list(CASES))
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return CASES[request.param]


def test_scores_and_loss(options: dict[str, Any]) -> None:
    model, half_life = make(**options), options.get("counts_half_life")
    if "neighbours" in options:  # weights are stored in float32
        window = options["window"]
        neighbours = reference.neighbours_of(TRAINING, ITEMS, 3, window, half_life)
        exact = torch.zeros(ITEMS, 3, dtype=torch.float64)
        for item, row in enumerate(neighbours):
            for place, (_, weight) in enumerate(row):
                exact[item, place] = weight
        torch.testing.assert_close(model.global_graph.weight.double(), exact)
        model.global_graph.weight = exact
    exact_counts(model, half_life)
    batch = exact_weights(batch_of(SESSIONS, TARGETS), SESSIONS)
    expected = expected_of(model, options)
    with torch.no_grad():
        found = model.scores(batch)
    torch.testing.assert_close(found.log_softmax(dim=1), expected.detach(), rtol=0, atol=1e-9)
    if model.log_probabilities:  # they are log-probabilities as they are
        torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-9)

    wanted = torch.stack([-row[target] for row, target in zip(expected, TARGETS, strict=True)])
    wanted.mean().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    loss = model.loss(batch)
    assert loss.item() == pytest.approx(wanted.mean().item(), abs=1e-9)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert gradients[name].abs().max() > 1e-8, f"{name} is not tested"
        torch.testing.assert_close(parameter.grad.to_dense(), gradients[name], rtol=0, atol=1e-8)


MORE = {
    "popularity": {"popularity": [0.5, 0.1], "scale": 3.0, "output_table": "delta"},
    "popularity and repeat": {"popularity": [0.3], "repeat": True, "item_bias": True},
    "label smoothing": {"label_smoothing": 0.2, "similar": ITEMS},
    "binary": {"loss": "binary"},
    "default": {"similar": 5, "repeat": "counts", "leave_out": "session", "transitions": 6},
}


@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_log_probabilities_of_a_few_items_beside_the_loss(name: str) -> None:
    model = make(**(CASES | MORE)[name]).train()
    sessions = Sessions.from_lists(TRAINING)
    row = torch.arange(sessions.num_samples)
    samples = [
        (TRAINING[s], cut)
        for s, cut in zip(*map(Tensor.tolist, sessions.samples(row)), strict=True)
    ]
    clicks, targets = [s[:cut] for s, cut in samples], [s[cut] for s, cut in samples]
    batch = exact_weights(batch_of(clicks, targets), clicks)
    batch.row = row
    draw = torch.Generator().manual_seed(0)
    items = torch.rand(len(row), ITEMS, generator=draw).argsort(1)[:, :7]
    weight = torch.randn(items.shape, generator=draw, dtype=torch.float64)
    weight[:3] = 0

    wanted = model.log_distribution(batch, counted=True).gather(1, items).double()
    (wanted * weight).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    loss, found = model.loss_and_logs(batch, items)
    assert loss.item() == pytest.approx(model.loss(batch).item(), abs=1e-12)
    assert found is not None
    torch.testing.assert_close(found.detach(), wanted.detach(), rtol=0, atol=1e-9)
    (found * weight).sum().backward()
    for name, parameter in model.named_parameters():
        grad = parameter.grad.to_dense()
        torch.testing.assert_close(grad, gradients[name], rtol=0, atol=1e-8, msg=name)


@pytest.mark.parametrize("half_life", [None, 0.3])
@pytest.mark.parametrize("repeat", [False, True])
def test_training_leaves_a_sessions_own_transition_out(
    repeat: bool, half_life: float | None
) -> None:
    """Else counts that hold the answer would be trusted."""
    model = make(transitions=ITEMS, repeat=repeat, counts_half_life=half_life).train()
    exact_counts(model, half_life)
    samples = [(s[:cut], s[cut]) for s in TRAINING for cut in range(1, len(s))]
    weights = [w for row in reference.weights_of(TRAINING, half_life) for w in row[1:]]
    chosen = [n for n, (session, _) in enumerate(samples) if len(set(session)) < ITEMS - 2][::-1]
    sessions, targets = zip(*(samples[n] for n in chosen), strict=True)
    batch = exact_weights(batch_of(sessions, targets), sessions)
    batch.row = torch.tensor(chosen)
    transitions = reference.transitions_of(TRAINING, ITEMS, half_life)
    wanted = 0.0
    for n, session, target in zip(chosen, sessions, targets, strict=True):
        row = reference.log_probabilities(
            *(model, session),
            repeat=repeat,
            transitions=transitions,
            own=target,
            own_weight=weights[n],
        )
        wanted -= float(row[target].detach()) / len(chosen)
    assert model.loss(batch).item() == pytest.approx(wanted, abs=1e-9)
    assert model.eval().loss(batch).item() != pytest.approx(wanted, abs=1e-3)


def test_samples_of_weighted_counts_are_numbered() -> None:
    model = make(transitions=ITEMS, **RECENT).train()
    with pytest.raises(ValueError, match=r"'counts_half_life'.* data\.row, .*\(got none\)"):
        model.loss(batch_of(SESSIONS, TARGETS))


@pytest.mark.parametrize("half_life", [None, 0.5, 0.05])
def test_a_transition_seen_once_is_not_found_where_it_is_trained(half_life: float | None) -> None:
    """Not even a rounding of its count, which would be all that there is to share out."""
    once = [[2 * n, 2 * n + 1] for n in range(500)]
    head = TransitionHead(1000, CHANNELS, 3, half_life)
    head.set_training(Sessions.from_lists(once))
    batch = batch_of([[first] for first, _ in once], [second for _, second in once])
    number = torch.arange(len(once))
    hidden = Hidden(batch.y, None if half_life is None else recency(number, len(once), half_life))
    found = followers_of(batch.x, graphs_of(batch), None, hidden, **head.tables())
    assert not found.share.any() and not found.some.any()
    assert followers_of(batch.x, graphs_of(batch), None, None, **head.tables()).some.all()


def test_only_the_most_frequent_followers_are_kept() -> None:
    model = make(transitions=2)
    every = reference.transitions_of(TRAINING, ITEMS)
    for item, counts in enumerate(every):
        best = sorted(counts.items(), key=lambda pair: (-round(2520 * pair[1]), pair[0]))[:2]
        found = dict(
            zip(
                model.transitions.followers[item].tolist(),
                model.transitions.count[item].tolist(),
                strict=True,
            )
        )
        assert {i: c for i, c in found.items() if c} == pytest.approx(dict(best), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
@pytest.mark.parametrize("scale", [None, 3.0])
def test_label_smoothing(smoothing: float, scale: float | None) -> None:
    model = make(label_smoothing=smoothing, scale=scale)
    batch = exact_weights(batch_of(SESSIONS, TARGETS), SESSIONS)
    rows = expected_of(model, {"scale": scale}).detach()
    wanted = [reference.smoothed(r, t, smoothing) for r, t in zip(rows, TARGETS, strict=True)]
    assert model.loss(batch).item() == pytest.approx(float(sum(wanted)) / len(wanted), abs=1e-9)


def test_topk_is_that_of_the_scores(options: dict[str, Any]) -> None:
    model = make(**options)
    batch = batch_of(SESSIONS)
    with torch.no_grad():
        values, items = model.topk(batch, 5)
        best = model.scores(batch).topk(5)
    torch.testing.assert_close(values, best.values)
    assert torch.equal(items, best.indices)


def test_one_by_one(options: dict[str, Any]) -> None:
    model = make(**options)
    with torch.no_grad():
        together = model.scores(batch_of(SESSIONS))
        apart = torch.cat([model.scores(batch_of([s])) for s in SESSIONS])
    torch.testing.assert_close(together, apart)


def test_probabilities_with_repeat_sum_to_one() -> None:
    model = make(repeat=True)
    with torch.no_grad():
        total = model.scores(batch_of(SESSIONS)).exp().sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_a_session_that_holds_the_whole_catalogue() -> None:
    model = make(repeat=True)
    batch = batch_of([list(range(ITEMS)), [0, 1]], [3, 5])
    loss = model.loss(batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.to_dense().isfinite().all() for p in model.parameters())
    assert not model.scores(batch).isnan().any()


def test_the_sampled_loss_with_repeat_draws_none_of_the_session() -> None:
    """With every item drawn often, it comes near the loss over all items."""
    options: dict[str, Any] = {"repeat": True, "scale": 3.0}
    full = make(**options)
    model = make(**options, loss="sampled", negatives=200_000, sampling="uniform")
    model.load_state_dict(full.state_dict())
    batch = batch_of(SESSIONS, TARGETS)
    torch.manual_seed(0)
    assert model.loss(batch).item() == pytest.approx(full.loss(batch).item(), abs=5e-3)


def test_vectors_of_items_are_made_anew_when_the_table_changes() -> None:
    model = make(scale=3.0)
    batch = batch_of(SESSIONS)
    with torch.no_grad():
        before = model.scores(batch)
        assert model.item_vectors() is model.item_vectors()
        model.embedding.weight[0] += 1
        changed = model.scores(batch)
        other = make(scale=3.0)
        other.load_state_dict(model.state_dict())
        torch.testing.assert_close(changed, other.scores(batch))
        assert not torch.allclose(before, changed)
        model.embedding.weight.data[1] += 1  # goes unnoticed, as an average's swap does,
        model.eval()  # but for the mode that is set afterwards
        assert not torch.allclose(model.scores(batch), changed)
    assert copy.deepcopy(model).item_vectors().requires_grad


@pytest.mark.parametrize("faster", [True, False])
@pytest.mark.parametrize("options", [{}, {"scale": 3.0}, {"repeat": True, "scale": 3.0}])
def test_scores_of_an_evaluation_are_those_of_plain_products(
    options: dict[str, Any], faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Item vectors that were laid out for products are laid out anew when they change."""
    monkeypatch.setattr(session_model, "blocks_are_faster", lambda channels: faster)
    generator = torch.Generator().manual_seed(0)
    model = make(**options).float()
    batch = batch_of([SESSIONS[i % len(SESSIONS)] for i in range(40)])
    for _ in range(2):
        expected = model.scores(batch).detach()  # with gradients: a plain product
        with torch.no_grad():
            found = model.scores(batch)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        assert (model._packed is not None) == faster
        twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))  # keeps none of it
        with torch.no_grad():
            assert torch.equal(twin.scores(batch), found)
            noise = torch.randn(model.embedding.weight.shape, generator=generator)
            model.embedding.weight += noise


def test_dropout_only_while_training() -> None:
    model = make(dropout=0.5)
    batch = batch_of(SESSIONS)
    with torch.no_grad():
        assert torch.equal(model.scores(batch), model.scores(batch))
        model.train()
        assert not torch.equal(model.scores(batch), model.scores(batch))


def test_equally_heavy_neighbours() -> None:
    sessions = Sessions.from_lists([[0, 3], [0, 1], [0, 2], [4, 4]])
    items, count = heaviest_neighbours(sessions, 6, 2, window=1)
    assert items[0].tolist() == [1, 2]
    assert count[0].tolist() == [1, 1]
    assert count[4].tolist() == count[5].tolist() == [0, 0]  # an item is no neighbour of itself


@pytest.mark.parametrize("half_life", [None, 0.3])
def test_training_leaves_a_sessions_own_neighbours_out(half_life: float | None) -> None:
    """Of the target alone: that others are near each other tells nothing of it."""
    options = {"neighbours": 3, "window": 2, "counts_half_life": half_life}
    model = make(**options, neighbours_leave_out=True, scale=3.0).train()
    graph = model.global_graph
    counts = reference.neighbours_of(TRAINING, ITEMS, 3, 2, half_life)
    samples = [(n, cut) for n, s in enumerate(TRAINING) for cut in range(1, len(s))]
    chosen = list(range(len(samples)))[::-1]
    sessions = [TRAINING[n][:cut] for n, cut in map(samples.__getitem__, chosen)]
    targets = [TRAINING[n][cut] for n, cut in map(samples.__getitem__, chosen)]
    # Weights are stored in float32.
    graph.weight, graph.unit = graph.weight.double(), graph.unit.double()
    for item, row in enumerate(counts):
        for place, (_, weight) in enumerate(row):
            graph.weight[item, place] = weight
        total = sum(reference.near_of(TRAINING, item, other, 2, half_life) for other, _ in row)
        graph.unit[item] = 1 / total if row else 0
    wanted = 0.0
    for k, session, target in zip(chosen, sessions, targets, strict=True):
        neighbours = []
        for item, row in enumerate(counts):
            kept = {
                other: reference.near_of(TRAINING, item, other, 2, half_life) for other, _ in row
            }
            if target in kept:
                own = samples[k][0]
                kept[target] -= reference.near_of(TRAINING, item, target, 2, half_life, own)
                kept[target] *= kept[target] > 1e-9
            total = sum(kept.values())
            neighbours.append([(other, c / total) for other, c in kept.items() if c])
        logs = reference.log_probabilities(model, session, neighbours=neighbours, scale=3.0)
        logs = logs.log_softmax(dim=0)
        wanted -= float(logs[target].detach()) / len(chosen)
    batch = exact_weights(batch_of(sessions, targets), sessions)
    with pytest.raises(ValueError, match=r"'neighbours_leave_out'.* data\.row, .*\(got none\)"):
        model.loss(batch)
    batch.row = torch.tensor(chosen)
    assert model.loss(batch).item() == pytest.approx(wanted, abs=1e-9)
    assert model.eval().loss(batch).item() != pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_gru4rec_is_a_recurrence_over_the_clicks(num_layers: int) -> None:
    model = randomise(GRU4Rec(ITEMS, CHANNELS, num_layers, scale=3.0).double(), 0, 0.5).eval()
    with torch.no_grad():
        found = model.scores(batch_of(SESSIONS))
        table = torch.stack([reference.unit(row) for row in model.embedding.weight])
        p = dict(model.gru.named_parameters())
        for row, session in zip(found, SESSIONS, strict=True):
            inputs = [table[item] for item in session]
            for layer in range(num_layers):
                state, states = torch.zeros(CHANNELS, dtype=torch.float64), []
                for x in inputs:
                    gi = p[f"weight_ih_l{layer}"] @ x + p[f"bias_ih_l{layer}"]
                    gh = p[f"weight_hh_l{layer}"] @ state + p[f"bias_hh_l{layer}"]
                    gates = [a + b for a, b in zip(gi.chunk(3), gh.chunk(3), strict=True)]
                    r, z = torch.sigmoid(gates[0]), torch.sigmoid(gates[1])
                    n = torch.tanh(gi.chunk(3)[2] + r * gh.chunk(3)[2])
                    state = (1 - z) * n + z * state
                    states.append(state)
                inputs = states
            wanted = 3.0 * table @ reference.unit(inputs[-1])
            torch.testing.assert_close(row, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "'scale' must be a number > 0"),
        ({"dropout": 1.0}, "'dropout' must be a number >= 0 and < 1"),
        ({"label_smoothing": -0.1}, "'label_smoothing' must be a number >= 0 and < 1"),
        ({"label_smoothing": 0.1, "loss": "sampled"}, "'label_smoothing' must be 0 with"),
        ({"residual": "dense"}, "'residual' must be one of none, add, highway"),
        ({"last_k": 0}, "'last_k' must be a whole number >= 1"),
        ({"positions": -1}, "'positions' must be a whole number >= 0"),
        ({"neighbours": -1}, "'neighbours' must be a whole number >= 0"),
        ({"neighbours": 2, "window": 0}, "'window' must be a whole number >= 1"),
        ({"transitions": -1}, "'transitions' must be a whole number >= 0"),
        ({"readout_levels": 0}, "'readout_levels' must be a whole number >= 1"),
        ({"readout_levels": 2, "last_k": 2}, "'last_k' must be 1 with readout_levels"),
        ({"readout_levels": 2, "readout": "local"}, "'readout' must be hybrid with readout_levels"),
        ({"sequence": "both"}, "'sequence' must be one of none, alone, joint"),
        ({"sequence": "joint", "loss": "binary"}, "'sequence' must be none with loss='binary'"),
        ({"softmaxes": 0}, "'softmaxes' must be a whole number >= 1"),
        ({"softmaxes": 2, "loss": "binary"}, "'softmaxes' must be 1 with loss='binary'"),
        ({"similar": -1}, "'similar' must be a whole number >= 0"),
        ({"similar": 2, "loss": "binary"}, "'similar' must be 0 with loss='binary'"),
        ({"counts_half_life": 0.0}, "'counts_half_life' must be a number > 0, or None"),
        ({"transitions": 2, "loss": "binary"}, "'transitions' must be 0 with loss='binary'"),
        ({"repeat": "popularity"}, "'repeat' must be True, False or 'counts'"),
        ({"repeat": "counts", "transitions": 2}, "'leave_out' must be session with repeat="),
        ({"leave_out": "item"}, "'leave_out' must be one of click, session"),
        ({"repeat": True, "loss": "binary"}, "'repeat' must be False with loss='binary'"),
    ],
)
def test_arguments_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SRGNN(ITEMS, CHANNELS, **options)


def test_gru4rec_needs_a_layer() -> None:
    with pytest.raises(ValueError, match="'num_layers' must be a whole number >= 1"):
        GRU4Rec(ITEMS, num_layers=0)


@pytest.mark.parametrize("options", [ALL, ALL | CASES["repeat by counts"]])
def test_autocast_keeps_softmaxes_and_gates_in_float32(options: dict[str, Any]) -> None:
    model = randomise(SRGNN(ITEMS, CHANNELS, **options), 0, 0.5)
    model.set_training(Sessions.from_lists(TRAINING))
    batch = batch_of(SESSIONS, TARGETS)
    batch.row = torch.arange(len(SESSIONS))
    exact = model.loss(batch)
    with torch.autocast("cpu", torch.bfloat16):
        value = model.loss(batch)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() != exact.item(), "autocast had no effect"
    torch.testing.assert_close(value, exact, rtol=0.03, atol=0)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"popularity": [0.5]}, "popularity"),
        ({"transitions": 3, "leave_out": "session"}, "leave_out"),
        ({"transitions": 3, "counts_half_life": 0.3}, "counts_half_life"),
        ({"neighbours": 3, "neighbours_leave_out": True}, "neighbours_leave_out"),
    ],
)
def test_a_checkpoint_is_not_trained_before_set_training(options: dict[str, Any], key: str) -> None:
    counted = SRGNN(ITEMS, CHANNELS, **options)
    counted.set_training(Sessions.from_lists(TRAINING))
    model = SRGNN(ITEMS, CHANNELS, **options)
    model.load_state_dict(counted.state_dict())
    batch = batch_of([[0]], [1])
    batch.row = torch.tensor([0])
    assert model.eval().loss(batch).isfinite()
    with pytest.raises(RuntimeError, match=rf"'{key}' .* call set_training\(sessions\)"):
        model.train().loss(batch)


def test_a_model_is_made_on_the_default_device() -> None:
    with torch.device("meta"):
        model = SRGNN(ITEMS, CHANNELS, popularity=[0.5])
    assert all(parameter.is_meta for parameter in model.parameters())
