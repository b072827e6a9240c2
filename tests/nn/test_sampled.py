"""The sampled softmax: its estimate, its draws, and the gradients that it gives a model."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from pyg_srgnn.data.graphs import session_graphs
from pyg_srgnn.nn import SRGNN, NegativeSampler, sampled_softmax_cross_entropy
from pyg_srgnn.nn.sampled import SAMPLINGS
from tests.reference.names import random_sessions, randomise

ITEMS = 12
COUNTS = torch.tensor([0, 5, 1, 0, 30, 2, 7, 0, 1, 11, 3, 0])
SESSIONS = random_sessions(14, ITEMS)
TARGETS = [(5 * i + 2) % ITEMS for i in range(len(SESSIONS))]
SETTINGS = {"num_items": ITEMS, "num_negatives": 4, "sampling": "popularity"}


def sampler_of(sampling, negatives=8, counts=COUNTS):
    sampler = NegativeSampler(len(counts), negatives, sampling)
    sampler.set_popularity(counts)
    return sampler


def probabilities(sampling):
    """The probability of every item, written down without the sampler."""
    if sampling == "uniform":
        return [1 / ITEMS] * ITEMS
    total = int(COUNTS.sum()) + ITEMS
    return [(count + 1) / total for count in COUNTS.tolist()]


def case(rows=5, channels=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    sessions = torch.randn(rows, channels, generator=generator).to(dtype)
    table = torch.randn(ITEMS, channels, generator=generator).to(dtype)
    target = torch.randint(ITEMS, (rows,), generator=generator)
    return sessions.requires_grad_(), table.requires_grad_(), target


def loss_of(sessions, table, target, items, log_probability):
    return sampled_softmax_cross_entropy(
        sessions, table[target], table[items], target, items, log_probability
    )


def naive(sessions, table, target, items, q):
    """The docstring's formula, one session and one drawn item at a time."""
    total = 0.0
    for session, y in zip(sessions, target.tolist(), strict=True):
        s_y = (session * table[y]).sum()
        z = s_y.exp()
        for j in items.tolist():
            if j != y:
                z = z + (session * table[j]).sum().exp() / (len(items) * q[j])
        total = total + z.log() - s_y
    return total / len(sessions)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_value_and_gradients_against_a_loop(sampling):
    sessions, table, target = case()
    # Repeated draws, accidental hits of some rows only, and one item that hits twice.
    items = torch.cat([target[:2], target[:1], torch.tensor([1, 4, 4, 9])])
    assert any(int(y) not in items.tolist() for y in target), "the case needs rows without a hit"
    q = probabilities(sampling)
    value = loss_of(sessions, table, target, items, sampler_of(sampling).log_probability(items))
    expected = naive(sessions, table, target, items, q)
    assert value.shape == ()
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(expected.item(), abs=1e-12)
    ours = torch.autograd.grad(value, (sessions, table))
    for a, b in zip(ours, torch.autograd.grad(expected, (sessions, table)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_a_row_whose_every_drawn_item_is_its_target_has_no_loss():
    sessions, table, target = case(rows=1)
    items = target.repeat(4)
    value = loss_of(sessions, table, target, items, torch.full((4,), -2.0))
    assert value.item() == 0
    for gradient in torch.autograd.grad(value, (sessions, table)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_large_scores_stay_finite():
    sessions, table, target = case()
    with torch.no_grad():
        sessions *= 1e4
    items, log_probability = sampler_of("popularity")()
    value = loss_of(sessions, table, target, items, log_probability)
    gradients = torch.autograd.grad(value, (sessions, table))
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


def estimate(session, table, y, items, log_probability):
    """Ẑ of one session, as its loss tells it."""
    loss = loss_of(session[None], table, torch.tensor([y]), items, log_probability)
    return (loss + session @ table[y]).exp().item()


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_estimate_has_the_mean_z_over_all_draws(sampling):
    sessions, table, target = case(rows=3)
    q, sampler = probabilities(sampling), sampler_of(sampling)
    log_probability = sampler.log_probability(torch.arange(ITEMS))
    with torch.no_grad():
        for session, y in zip(sessions, target.tolist(), strict=True):
            mean = 0.0
            for draw in itertools.product(range(ITEMS), repeat=2):
                items = torch.tensor(draw)
                z = estimate(session, table, y, items, log_probability[items])
                mean += z * math.prod(q[j] for j in draw)
            assert mean == pytest.approx((table @ session).exp().sum().item(), rel=1e-12)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_estimate_is_unbiased_over_the_samplers_draws(sampling):
    sessions, table, target = case(rows=1, seed=1)
    torch.manual_seed(0)
    sampler, y = sampler_of(sampling), int(target)
    with torch.no_grad():
        z = (table @ sessions[0]).exp().sum().item()
        drawn = [estimate(sessions[0], table, y, *sampler()) for _ in range(4000)]
    estimates = torch.tensor(drawn, dtype=torch.float64)
    error = estimates.std().item() / math.sqrt(len(estimates))
    assert 0 < error < 0.02 * z, "the case needs draws that differ, and a mean that is sharp"
    assert abs(estimates.mean().item() - z) < 5 * error


def test_a_row_does_not_depend_on_other_rows():
    sessions, table, target = case(rows=6)
    sampler = sampler_of("popularity")
    items, _ = sampler()
    items[:2] = target[:2]
    log_probability = sampler.log_probability(items)
    whole = loss_of(sessions, table, target, items, log_probability)
    single = [
        loss_of(sessions[i : i + 1], table, target[i : i + 1], items, log_probability)
        for i in range(len(target))
    ]
    assert whole.item() == pytest.approx(sum(x.item() for x in single) / len(single), abs=1e-12)
    (gradient,) = torch.autograd.grad(whole, sessions)
    for i, x in enumerate(single):
        (alone,) = torch.autograd.grad(x, sessions)
        torch.testing.assert_close(gradient[i], alone[i] / len(single), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_a_float32_loss(dtype):
    sessions, table, target = case(dtype=dtype)
    items, log_probability = sampler_of("popularity")()
    value = loss_of(sessions, table, target, items, log_probability)
    assert value.dtype == torch.float32
    exact = loss_of(sessions.double(), table.double(), target, items, log_probability)
    assert value.item() == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_items_are_drawn_as_often_as_they_should(sampling):
    torch.manual_seed(0)
    draws = 200_000
    items, log_probability = sampler_of(sampling, draws)()
    assert items.dtype == torch.int64
    assert items.shape == log_probability.shape == (draws,)
    expected = torch.tensor(probabilities(sampling), dtype=torch.float64) * draws
    found = torch.bincount(items, minlength=ITEMS)
    assert len(found) == ITEMS
    # With 11 degrees of freedom, χ² exceeds 45 once in 200,000 times.
    assert ((found - expected) ** 2 / expected).sum() < 45


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_log_probability_is_exact(sampling):
    sampler = sampler_of(sampling)
    every = sampler.log_probability(torch.arange(ITEMS).view(3, 4))
    assert every.dtype == torch.float64
    assert every.shape == (3, 4)
    expected = torch.tensor([math.log(q) for q in probabilities(sampling)], dtype=torch.float64)
    torch.testing.assert_close(every.flatten(), expected, rtol=1e-15, atol=0)
    assert every.exp().sum().item() == pytest.approx(1, abs=1e-14)
    items, log_probability = sampler()
    assert torch.equal(log_probability, every.flatten()[items])


def test_popularity_is_exact_beyond_what_floats_hold():
    counts = torch.tensor([2**40, 0, 2**40, 1])
    sampler = sampler_of("popularity", counts=counts)
    found = sampler.log_probability(torch.arange(4)).tolist()
    total = 2**41 + 5
    expected = [math.log((int(count) + 1) / total) for count in counts]
    assert found == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_small_whole_numbers_do_not_overflow(dtype):
    counts = torch.full((ITEMS,), 127).to(dtype)
    sampler = sampler_of("popularity", counts=counts)
    found = sampler.log_probability(torch.arange(ITEMS))
    torch.testing.assert_close(found.exp(), torch.full_like(found, 1 / ITEMS))


def test_a_seed_gives_the_draw():
    for sampling in SAMPLINGS:
        sampler, draws = sampler_of(sampling, 50), []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            draws.append(sampler()[0])
        assert torch.equal(draws[0], draws[1])
        assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_items": 0}, "'num_items' must be a whole number >= 1 .got 0"),
        ({"num_items": 2.0}, "'num_items' must be a whole number"),
        ({"num_negatives": 0}, "'num_negatives' must be a whole number >= 1 .got 0"),
        ({"num_negatives": -3}, "'num_negatives'.*got -3"),
        ({"num_negatives": 1.5}, "'num_negatives'.*got 1.5"),
        ({"num_negatives": True}, "'num_negatives'.*got True"),
        ({"sampling": "alias"}, "'sampling' must be one of popularity, uniform .got 'alias'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        NegativeSampler(**(SETTINGS | arguments))


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (torch.ones(ITEMS - 1, dtype=torch.int64), r"shape \[12\] .*\[11\]"),
        (torch.ones(ITEMS, 1, dtype=torch.int64), r"shape \[12\] .*\[12, 1\]"),
        (torch.tensor(3), r"shape \[12\] .*\[\]"),
        (torch.ones(ITEMS), "whole numbers.*float32"),
        (torch.tensor([1] * 7 + [-4] + [0] * 4), "must be >= 0 .got -4 for item 7"),
    ],
)
def test_bad_counts(sampling, counts, message):
    with pytest.raises(ValueError, match=message):
        NegativeSampler(ITEMS, 4, sampling).set_popularity(counts)


def test_popularity_must_be_told():
    sampler = NegativeSampler(ITEMS, 4, "popularity")
    with pytest.raises(RuntimeError, match="set_popularity"):
        sampler()
    with pytest.raises(RuntimeError, match="set_popularity"):
        sampler.log_probability(torch.arange(3))
    with pytest.raises(RuntimeError, match="set_popularity"):
        SRGNN(ITEMS, 4, loss="sampled").loss(batch_of())
    items, _ = NegativeSampler(ITEMS, 4, "uniform")()  # has no use for it
    assert len(items) == 4


def test_bad_arguments_of_the_model():
    with pytest.raises(ValueError, match=r"'negatives' must be a whole number >= 1 .got 0"):
        SRGNN(ITEMS, 4, loss="sampled", negatives=0)
    with pytest.raises(ValueError, match=r"'sampling' must be one of .*got 'alias'"):
        SRGNN(ITEMS, 4, loss="sampled", sampling="alias")
    with pytest.raises(ValueError, match="whole numbers"):
        SRGNN(ITEMS, 4, loss="sampled").set_popularity(torch.ones(ITEMS))


def batch_of(sessions=SESSIONS, targets=TARGETS):
    items = torch.tensor([i for s in sessions for i in s])
    lengths = torch.tensor([len(s) for s in sessions])
    return session_graphs(items, lengths, torch.tensor(targets))


def make(sampling="popularity", num_items=ITEMS, **options):
    options = {"loss": "sampled", "negatives": 8, "sampling": sampling, **options}
    model = randomise(SRGNN(num_items, 4, **options), 0, 0.4)
    model.set_popularity(F.pad(COUNTS, (0, num_items - ITEMS)))
    return model


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_gradients_of_the_model_equal_those_of_dense_autograd(sampling):
    model, batch = make(sampling).double(), batch_of()
    batch.edge_weight = batch.edge_weight.double()
    batch.edge_weight_in = batch.edge_weight_in.double()
    parameters = dict(model.named_parameters())
    torch.manual_seed(5)
    value = model.loss(batch)
    value.backward()
    ours = {name: p.grad.to_dense() for name, p in parameters.items()}
    model.zero_grad(set_to_none=True)

    torch.manual_seed(5)
    items, _ = model.sampler()
    assert set(items.tolist()) & set(TARGETS), "the case needs accidental hits"
    table = model.embedding.weight
    weights = (batch.edge_weight, batch.edge_weight_in)
    h = model.conv(table[batch.x], batch.edge_index, *weights)
    s_h = model.readout(h, batch.alias_index, batch.batch, batch.num_graphs)
    expected = naive(s_h, table, batch.y, items, probabilities(sampling))
    expected.backward()
    assert not table.grad.is_sparse
    assert value.item() == pytest.approx(expected.item(), abs=1e-12)
    for name, parameter in parameters.items():
        torch.testing.assert_close(ours[name], parameter.grad, rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_tables_gradient_is_sparse_and_names_only_the_rows_of_the_step(sampling):
    model, batch = make(sampling, num_items=5000), batch_of()
    torch.manual_seed(3)
    items, _ = model.sampler()
    for _ in range(2):  # accumulated, too
        torch.manual_seed(3)
        model.loss(batch).backward()
    gradient = model.embedding.weight.grad
    # A dense gradient added to a sparse one is dense, so each of them was sparse.
    assert gradient.is_sparse
    assert gradient.shape == (5000, 4)
    named = set(gradient.coalesce().indices()[0].tolist())
    assert named == {*batch.x.tolist(), *TARGETS, *items.tolist()}
    assert all(
        not parameter.grad.is_sparse
        for name, parameter in model.named_parameters()
        if name != "embedding.weight"
    )


def test_two_losses_draw_twice():
    model, batch = make(), batch_of()
    torch.manual_seed(0)
    assert model.loss(batch).item() != model.loss(batch).item()


def test_a_state_dict_is_that_of_any_other_model():
    model, batch = make(), batch_of()
    state = model.state_dict()
    plain = SRGNN(ITEMS, 4)
    assert state.keys() == plain.state_dict().keys()
    assert not any("sampler" in name for name in state)
    for other in (plain, SRGNN(ITEMS, 4, loss="sampled")):  # neither knows the counts
        other.load_state_dict(state)
        assert torch.equal(other.scores(batch), model.scores(batch))
    counted = make()
    counted.load_state_dict(plain.state_dict())  # does not lose them
    assert counted.loss(batch).isfinite()


def test_other_losses_do_not_ask_for_counts():
    model = SRGNN(ITEMS, 4)
    model.set_popularity(COUNTS)
    assert model.sampler is None
    assert model.loss(batch_of()).isfinite()


def test_autocast_gives_a_float32_loss():
    model, batch = make(), batch_of()
    torch.manual_seed(0)
    exact = model.loss(batch)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        value = model.loss(batch)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=0.02)
    assert value.item() != exact.item(), "autocast had no effect"
    assert model.embedding.weight.grad.dtype == torch.float32
    assert model.embedding.weight.grad.is_sparse
