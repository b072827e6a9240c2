"""Bias, popularity, temperature and second table against plain loops in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from pyg_srgnn.data import Sessions
from pyg_srgnn.nn import SRGNN, GRU4Rec
from tests.nn.test_ingredients import ALL as MIXED
from tests.nn.test_ingredients import CHANNELS, ITEMS, SESSIONS, TARGETS, TRAINING, exact_counts
from tests.nn.test_srgnn import batch_of, exact_weights
from tests.reference import ingredients as reference
from tests.reference.names import randomise

HALF_LIVES = [0.1, 0.8]
KEYS: dict[str, dict[str, Any]] = {
    "item_bias": {"item_bias": True},
    "popularity": {"popularity": HALF_LIVES},
    "temperature": {"temperature": True, "scale": 3.0},
    "output_table": {"output_table": "delta"},
}
EVERY = {key: value for options in KEYS.values() for key, value in options.items()}
CASES = KEYS | {
    "every": EVERY,
    "without a scale": EVERY | {"scale": None, "temperature": False},
    "mixture": EVERY | {"repeat": True, "transitions": ITEMS},
}


def make(**options: Any) -> SRGNN:
    model = randomise(SRGNN(ITEMS, CHANNELS, **options).double(), 0, 0.5)
    model.set_training(Sessions.from_lists(TRAINING))
    if options.get("popularity"):  # which is kept in float32
        exact = reference.popularity_of(TRAINING, ITEMS, options["popularity"])
        found = torch.tensor(exact, dtype=torch.float64)
        torch.testing.assert_close(model.output.popularity, found, rtol=0, atol=1e-6)
        model.output.popularity = found
    if options.get("transitions"):
        exact_counts(model, None)
    return model.eval()


def expected(
    model: SRGNN, sessions: Any, options: dict[str, Any], rows: Any = None, own: Any = None
) -> Tensor:
    """Log-probabilities [B, V]; ``rows`` are numbers of training samples, ``own`` their targets."""
    given, result = dict(options), []
    if options.get("transitions"):
        given["transitions"] = reference.transitions_of(TRAINING, ITEMS)
    for number, session in enumerate(sessions):
        if options.get("popularity"):
            without = None if rows is None else rows[number]
            given["popularity"] = reference.popularity_of(TRAINING, ITEMS, HALF_LIVES, without)
        if own is not None:
            given["own"] = own[number]
        result.append(reference.log_probabilities(model, session, **given))
    return torch.stack(result)


def compare(model: SRGNN, batch: Any, wanted: Tensor) -> None:
    """Compare the loss and its gradients."""
    wanted = -wanted.gather(1, batch.y.unsqueeze(1)).mean()
    wanted.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    loss = model.loss(batch)
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-9)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert gradients[name].abs().max() > 1e-8, f"{name} is not tested"
        torch.testing.assert_close(parameter.grad.to_dense(), gradients[name], rtol=0, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_scores_and_loss(case: str) -> None:
    options = CASES[case]
    model = make(**options)
    batch = exact_weights(batch_of(SESSIONS, TARGETS), SESSIONS)
    wanted = expected(model, SESSIONS, options)
    with torch.no_grad():
        found = model.scores(batch)
        values, items = model.topk(batch, 5)
    torch.testing.assert_close(found.log_softmax(dim=1), wanted.detach(), rtol=0, atol=1e-9)
    torch.testing.assert_close(values, found.topk(5).values)
    assert torch.equal(items, found.topk(5).indices)
    compare(model, batch, wanted)


@pytest.mark.parametrize("case", ["popularity", "mixture"])
def test_training_leaves_a_samples_own_click_out_of_the_popularity(case: str) -> None:
    """Else a rare item would look as popular as nobody but its own sample makes it."""
    options = CASES[case]
    model = make(**options).train()
    samples = [(s[:cut], s[cut]) for s in TRAINING for cut in range(1, len(s))]
    rows = [n for n, (s, _) in enumerate(samples) if len(set(s)) < ITEMS - 2][::-1]
    sessions, targets = zip(*(samples[n] for n in rows), strict=True)
    batch = exact_weights(batch_of(sessions, targets), sessions)
    batch.row = torch.tensor(rows)
    compare(model, batch, expected(model, sessions, options, rows, targets))
    with_own = model.eval().loss(batch).item()
    assert with_own != pytest.approx(model.train().loss(batch).item(), abs=1e-3)


def test_only_sample_of_an_item() -> None:
    """Its target is as popular as a trained item without any click."""
    model = SRGNN(3, CHANNELS, popularity=[0.5]).double()
    model.set_training(Sessions.from_lists([[0, 1], [1, 0], [0, 2]]))
    with torch.no_grad():
        model.embedding.weight.zero_()
        model.output.lin.bias.fill_(2.0)
    batch = batch_of([[0]], [2])
    batch.row = torch.tensor([2])
    weight = [0.5 ** (age / 3 / 0.5) for age in (2, 1, 0)]
    clicks = [weight[0] + weight[1] + weight[2], weight[0] + weight[1], 0]
    total = sum((1 + c) ** 2 for c in clicks)
    assert model.train().loss(batch).item() == pytest.approx(math.log(total), abs=1e-6)


@pytest.mark.parametrize("score", [-200.0, 200.0])
@pytest.mark.parametrize("repeat", [False, True])
def test_targets_with_a_probability_of_0_or_1_or_left_out(repeat: bool, score: float) -> None:
    """A repeated target is left out of the softmax, whose loss of it has no meaning."""
    options = {"repeat": repeat, "transitions": ITEMS, "item_bias": True, "popularity": [0.2]}
    model = SRGNN(ITEMS, CHANNELS, **options)
    model.set_training(Sessions.from_lists(TRAINING))
    with torch.no_grad():
        model.output.bias[2] = score
        model.output.lin.bias.fill_(30.0)
    batch = batch_of([[2, 3], [3, 1], [2]], [2, 2, 4])
    batch.row = torch.tensor([0, 1, 2])
    loss = model.train().loss(batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.to_dense().isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("key", KEYS)
def test_a_model_starts_as_it_would_without(key: str) -> None:
    scale = KEYS[key].get("scale")
    torch.manual_seed(0)
    without = SRGNN(ITEMS, CHANNELS, scale=scale)
    torch.manual_seed(0)
    model = SRGNN(ITEMS, CHANNELS, **KEYS[key])
    model.set_training(Sessions.from_lists(TRAINING))
    batch = batch_of(SESSIONS, TARGETS)
    torch.testing.assert_close(model.scores(batch), without.scores(batch))
    model.loss(batch).backward()
    learned = dict(model.output.named_parameters())
    assert learned and all(p.grad.abs().max() > 0 for p in learned.values())


def test_scores_do_not_depend_on_other_rows() -> None:
    model = make(**CASES["mixture"])
    with torch.no_grad():
        together = model.scores(batch_of(SESSIONS))
        apart = torch.cat([model.scores(batch_of([s])) for s in SESSIONS])
    torch.testing.assert_close(together, apart)


def test_the_loss_over_drawn_items_comes_near_the_one_over_all() -> None:
    options = EVERY | {"output_table": "tied"}
    full = make(**options)
    model = make(**options, loss="sampled", negatives=200_000, sampling="uniform")
    model.load_state_dict(full.state_dict())
    batch = batch_of(SESSIONS, TARGETS)
    batch.row = torch.arange(len(SESSIONS))
    for mode in (False, True):
        torch.manual_seed(0)
        found = model.train(mode).loss(batch).item()
        assert found == pytest.approx(full.train(mode).loss(batch).item(), abs=2e-2)


def test_label_smoothing_is_added_to_the_loss_without_the_own_click() -> None:
    plain, smooth = (make(popularity=HALF_LIVES, label_smoothing=x).train() for x in (0.0, 0.2))
    batch = batch_of(SESSIONS, TARGETS)
    batch.row = torch.arange(len(SESSIONS))
    scores = plain.scores(batch)
    apart = (scores.gather(1, batch.y.unsqueeze(1)).squeeze(1) - scores.mean(dim=1)).mean()
    wanted = plain.loss(batch) + 0.2 * apart
    torch.testing.assert_close(smooth.loss(batch), wanted, rtol=0, atol=1e-9)


def test_the_binary_loss() -> None:
    options = EVERY | {"popularity": None}
    model = make(**options, loss="binary")
    p = expected(model, SESSIONS, options).detach().exp()
    target = torch.nn.functional.one_hot(torch.tensor(TARGETS), ITEMS)
    wanted = -(target * p.log() + (1 - target) * torch.log1p(-p)).sum(dim=1).mean()
    found = model.loss(exact_weights(batch_of(SESSIONS, TARGETS), SESSIONS))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_cold_items_are_of_average_popularity_and_without_bias() -> None:
    model = GRU4Rec(
        ITEMS,
        CHANNELS,
        popularity=HALF_LIVES,
        item_bias=True,
        item_table="text",
        scale=3.0,
        **{"text_channels": 5, "num_trained": ITEMS - 2},
    )
    model.set_text(torch.randn(ITEMS, 5, generator=torch.Generator().manual_seed(0)))
    model.set_training(Sessions.from_lists(TRAINING))
    popularity = model.output.popularity
    assert popularity[ITEMS - 2 :].abs().max() == 0
    torch.testing.assert_close(popularity[: ITEMS - 2].mean(dim=0), torch.zeros(2))
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    batch = batch_of([[0, 1], [2]], [3, 4])
    model.loss(batch).backward()
    optimizer.step()
    bias = model.output.bias.detach()
    assert bias[ITEMS - 2 :].abs().max() == 0 and bias[: ITEMS - 2].abs().min() > 0
    assert model.scores(batch).isfinite().all()


@pytest.mark.parametrize("table", ["bias", "delta", "popularity"])
def test_vectors_of_items_are_made_anew_when_a_table_changes(table: str) -> None:
    model = make(**EVERY)
    with torch.no_grad():
        before = model.item_vectors()
        assert model.item_vectors() is before
        model.output.tables()[table][0] += 1
        assert not torch.allclose(model.item_vectors(), before)


def test_autocast_gives_a_float32_loss() -> None:
    model = randomise(SRGNN(ITEMS, CHANNELS, **{**MIXED, **EVERY}), 0, 0.5)
    model.set_training(Sessions.from_lists(TRAINING))
    batch = batch_of(SESSIONS, TARGETS)
    exact = model.loss(batch)
    with torch.autocast("cpu", torch.bfloat16):
        value = model.loss(batch)
    value.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, rtol=0.03, atol=0)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("options", [{"temperature": True, "scale": 3.0}, {"popularity": [0.5]}])
def test_a_model_of_another_type_keeps_it(options: dict[str, Any]) -> None:
    model = randomise(SRGNN(ITEMS, CHANNELS, **options), 0, 0.5)
    model.set_training(Sessions.from_lists(TRAINING))
    half, batch = model.bfloat16(), batch_of(SESSIONS, TARGETS)
    loss = half.loss(batch)
    loss.backward()
    assert loss.isfinite() and half.scores(batch).dtype == torch.bfloat16
    assert all(p.grad is not None and p.grad.isfinite().all() for p in half.parameters())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"item_bias": 1}, "'item_bias' must be True or False"),
        ({"popularity": 0.5}, "'popularity' must be a list of numbers > 0, or None"),
        ({"popularity": [0.1, 0]}, "'popularity' must be a list of numbers > 0, or None"),
        ({"popularity": [0.1], "loss": "binary"}, "'popularity' must be None with loss='binary'"),
        ({"temperature": True}, "'temperature' must be False with scale=None"),
        ({"output_table": "own"}, "'output_table' must be one of tied, delta"),
        (
            {"output_table": "delta", "loss": "sampled"},
            "'output_table' must be tied with loss='sampled'",
        ),
    ],
)
def test_arguments_out_of_range(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SRGNN(ITEMS, CHANNELS, **options)
