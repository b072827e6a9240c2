"""Losses over the catalogue: values, gradients, extremes, and memory."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from pyg_srgnn.nn import losses
from pyg_srgnn.nn.distillation import divergence
from pyg_srgnn.nn.losses import (
    softmax_binary_cross_entropy,
    softmax_cross_entropy,
    softmax_losses_and_logs,
)
from tests.reference import dense_srgnn as reference

PAIRS = [
    (softmax_cross_entropy, reference.cross_entropy),
    (softmax_binary_cross_entropy, reference.binary_cross_entropy),
]
LOSSES = [softmax_cross_entropy, softmax_binary_cross_entropy]


def name(value):
    return getattr(value, "__name__", str(value))


def case(rows=5, items=9, channels=3, scale=1.0, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    sessions = torch.randn(rows, channels, generator=generator).to(dtype) * scale
    table = torch.randn(items, channels, generator=generator).to(dtype)
    target = torch.randint(items, (rows,), generator=generator)
    return sessions.requires_grad_(), table.requires_grad_(), target


def with_logits(logits, dtype=torch.float64):
    """Session vectors and items whose scores are exactly the rows given."""
    logits = torch.tensor(logits, dtype=dtype)
    return logits.requires_grad_(), torch.eye(logits.shape[1], dtype=dtype).requires_grad_()


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
@pytest.mark.parametrize(("loss", "naive"), PAIRS, ids=name)
def test_value_and_gradients_against_the_formula(loss, naive, scale):
    sessions, items, target = case(scale=scale)
    value = loss(sessions, items, target)
    assert value.shape == ()
    gradients = torch.autograd.grad(value, (sessions, items))
    expected = naive(sessions @ items.T, target.tolist())
    assert value.item() == pytest.approx(expected.item(), abs=1e-11)
    for a, b in zip(gradients, torch.autograd.grad(expected, (sessions, items)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_gradcheck(loss):
    sessions, items, target = case()
    assert torch.autograd.gradcheck(lambda s, i: loss(s, i, target), (sessions, items))
    assert torch.autograd.gradcheck(lambda s: loss(s, items.detach(), target), (sessions,))
    assert torch.autograd.gradcheck(lambda i: loss(sessions.detach(), i, target), (items,))


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_gradients_scale_with_what_follows(loss):
    sessions, items, target = case()
    once = torch.autograd.grad(loss(sessions, items, target), (sessions, items))
    thrice = torch.autograd.grad(3 * loss(sessions, items, target), (sessions, items))
    for a, b in zip(once, thrice, strict=True):
        torch.testing.assert_close(3 * a, b, rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_gradients_are_added_to_earlier_ones(loss):
    """The embedding table also receives gradients from the session's own nodes."""
    sessions, items, target = case()
    loss(sessions, items, target).backward()
    single = items.grad.clone()
    loss(sessions, items, target).backward()
    torch.testing.assert_close(items.grad, 2 * single, rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_mean_over_rows(loss):
    sessions, items, target = case()
    single = [loss(sessions[i : i + 1], items, target[i : i + 1]) for i in range(len(target))]
    torch.testing.assert_close(loss(sessions, items, target), torch.stack(single).mean())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("top", [100.0, 1e4, 1e6])
@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_extreme_logits_stay_finite(loss, top, dtype):
    """The softmax puts everything on one item: first a wrong one, then the target."""
    for target in (1, 0):
        scores, items = with_logits([[top, 0.0, -top, 1.0]], dtype)
        value = loss(scores, items, torch.tensor([target]))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(scores.grad).all()
        assert torch.isfinite(items.grad).all()


@pytest.mark.parametrize(
    ("dtype", "z"),
    [(torch.float32, 30.0), (torch.float32, 80.0), (torch.float64, 80.0), (torch.float64, 500.0)],
)
def test_a_confident_mistake_has_its_exact_price(dtype, z):
    """One wrong item far ahead of five equal ones: clamping 1 - y^ would cap price and gradient.

    y^_wrong = 1 / (1 + 5 e^-z), so log(1 - y^_wrong) = log 5 - z up to e^-z, log y^_target = -z,
    and the gradient by the wrong item's score is 1 + 1, shared by the others. (Where e^-z itself
    is no float any more, only finiteness is asked for.)
    """
    target = torch.tensor([3])
    scores, items = with_logits([[z, 0.0, 0.0, 0.0, 0.0, 0.0]], dtype)
    value = softmax_cross_entropy(scores, items, target)
    assert value.item() == pytest.approx(z, rel=1e-6)
    value = softmax_binary_cross_entropy(scores, items, target)
    assert value.item() == pytest.approx(2 * z - math.log(5), rel=1e-6)
    (gradient,) = torch.autograd.grad(value, (scores,))
    assert gradient[0].tolist() == pytest.approx([2, -0.2, -0.2, -1.2, -0.2, -0.2], rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_a_confident_right_answer_is_free(loss, dtype):
    scores, items = with_logits([[60.0, 0.0, 0.0, 0.0]], dtype)
    value = loss(scores, items, torch.tensor([0]))
    value.backward()
    assert abs(value.item()) < 1e-6
    assert scores.grad.abs().max() < 1e-6


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_a_common_shift_of_the_scores_changes_nothing(loss):
    scores, items = with_logits([[1.0, -2.0, 0.5], [0.0, 0.0, 3.0]])
    target = torch.tensor([0, 1])
    value = loss(scores, items, target)
    torch.testing.assert_close(loss(scores + 1000, items, target), value, rtol=0, atol=1e-9)
    torch.testing.assert_close(loss(scores - 1000, items, target), value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_two_items(loss):
    """With two items the second form counts the mistake twice."""
    scores, items = with_logits([[0.3, -0.4]])
    value = loss(scores, items, torch.tensor([0]))
    simple = math.log1p(math.exp(-0.7))
    factor = 2 if loss is softmax_binary_cross_entropy else 1
    assert value.item() == pytest.approx(factor * simple, abs=1e-12)


@pytest.mark.parametrize(("loss", "naive"), PAIRS, ids=name)
def test_tied_scores(loss, naive):
    scores, items = with_logits([[2.0, 2.0, 2.0], [0.0, 5.0, 5.0]])
    target = torch.tensor([1, 0])
    value = loss(scores, items, target)
    expected = naive(scores, target.tolist())
    assert value.item() == pytest.approx(expected.item(), abs=1e-11)
    (a,), (b,) = (torch.autograd.grad(v, (scores,)) for v in (value, expected))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("block", [1, 40, 2**21])
def test_log_probabilities_of_asked_items(block, monkeypatch):
    monkeypatch.setattr(losses, "_BLOCK_BYTES", block * 8)
    sessions, items, target = case(rows=6, items=30, channels=8, scale=2)
    draw = torch.Generator().manual_seed(1)
    asked = torch.randint(30, (6, 5), generator=draw)
    asked[:, 0] = target
    weight = torch.randn(6, 6, generator=draw, dtype=torch.float64)
    without = torch.tensor([0, 0, 4]), torch.tensor([1, 7, 29])
    left_out = torch.zeros(6, 30, dtype=torch.bool)
    left_out[without] = True
    for pairs in (None, without):
        scores = sessions @ items.T
        if pairs is not None:
            weight[:, :5][left_out.gather(1, asked)] = 0
            weight[:, 5][left_out.gather(1, target.unsqueeze(1)).squeeze(1)] = 0
            scores = scores.masked_fill(left_out, -1e30)
        logs = scores.log_softmax(1)
        wanted = torch.cat([logs.gather(1, asked), -logs.gather(1, target.unsqueeze(1))], dim=1)
        loss, found = softmax_losses_and_logs(sessions, items, target, asked, without=pairs)
        found = torch.cat([found, loss.unsqueeze(1)], dim=1)
        kept = weight != 0
        torch.testing.assert_close(found[kept], wanted[kept], rtol=0, atol=1e-10)
        both = [torch.autograd.grad((v * weight).sum(), (sessions, items)) for v in (found, wanted)]
        for a, b in zip(*both, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("block", [1, 2**21])
@pytest.mark.parametrize("scale", [18, 24])
def test_asked_items_are_exact_in_a_sum_of_half_precision(scale, block, monkeypatch):
    monkeypatch.setattr(losses, "_BLOCK_BYTES", block * 600)
    sessions, items, target = case(rows=64, items=3000, channels=32, dtype=torch.float32)
    with torch.no_grad():
        sessions.copy_(scale * F.normalize(sessions))
        items.copy_(F.normalize(items))
        other = torch.randn(64, 32, generator=torch.Generator().manual_seed(1))
        near = scale * F.normalize(sessions + 0.1 * scale * F.normalize(other))
        best, asked = (near @ items.T).log_softmax(1).topk(200)
    found = []
    for products in (None, torch.bfloat16):
        logs = softmax_losses_and_logs(sessions, items, target, asked, products)[1]
        loss = divergence(best, logs).mean()
        found.append((loss.item(), torch.autograd.grad(loss, (sessions, items))))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-3)
    for exact, half in zip(found[0][1], found[1][1], strict=True):
        assert (half - exact).norm() < 0.01 * exact.norm()


def test_cross_entropy_is_torchs():
    sessions, items, target = case(rows=30, items=50, channels=8, scale=2)
    expected = F.cross_entropy(sessions @ items.T, target)
    torch.testing.assert_close(softmax_cross_entropy(sessions, items, target), expected)


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_single_precision_is_close_to_double(loss):
    sessions, items, target = case(rows=16, items=2000, channels=16, dtype=torch.float32)
    value = loss(sessions, items, target)
    gradients = torch.autograd.grad(value, (sessions, items))
    exact_inputs = [t.detach().double().requires_grad_() for t in (sessions, items)]
    exact = loss(*exact_inputs, target)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=1e-5)
    for a, b in zip(gradients, torch.autograd.grad(exact, exact_inputs), strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 2.0**16])
@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_mixed_precision(loss, dtype, error, scale):
    """Under autocast, with the scale that torch's GradScaler starts from.

    Most rows of the item table receive only p_i / batch of a session's vector, about 5e-7 here:
    float16 holds that to two digits, and at a million items not at all.
    """
    sessions, items, target = case(100, 20_000, 16, scale=0.2, dtype=torch.float32)
    exact = torch.autograd.grad(loss(sessions, items, target), (sessions, items))
    with torch.autocast("cpu", dtype=dtype):
        value = loss(sessions, items, target)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(sessions, items, target).item(), rel=1e-3)
    close = torch.autograd.grad(value * scale, (sessions, items))
    rare = torch.ones(len(items), dtype=torch.bool).index_fill(0, target, False)
    pairs = [(close[0], exact[0]), (close[1], exact[1])]
    if scale > 1:  # unscaled gradients of float16 underflow in any implementation
        pairs.append((close[1][rare], exact[1][rare]))
    for a, b in pairs:
        assert a.dtype == torch.float32
        assert ((a / scale - b).norm() / b.norm()).item() < error


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_products_in_bfloat16_are_those_of_autocast(loss):
    """Asked for by name: the same numbers, and the inputs keep their own precision."""
    sessions, items, target = case(30, 500, 16, dtype=torch.float32)
    named = loss(sessions, items, target, torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        automatic = loss(sessions, items, target)
    full = loss(sessions, items, target)
    assert named.dtype == torch.float32
    assert named == automatic
    assert named != full and named.item() == pytest.approx(full.item(), rel=1e-2)
    for gradient in torch.autograd.grad(named, (sessions, items)):
        assert gradient.dtype == torch.float32


@pytest.mark.parametrize("ahead", [0.0, 60.0, 68.0, 75.0, 88.0, 300.0])
def test_a_target_far_behind_keeps_loss_and_gradients_exact(ahead):
    """Exponentials relative to the target's score leave the range of float32 somewhere here."""
    logits = torch.randn(3, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits[1, 7] += ahead
    target = torch.tensor([1, 2, 3])
    expected = logits.clone().requires_grad_()
    F.cross_entropy(expected, target).backward()
    scores = logits.float().requires_grad_()
    items = torch.eye(500).requires_grad_()
    value = softmax_cross_entropy(scores, items, target)
    value.backward()
    assert value.item() == pytest.approx(F.cross_entropy(logits, target).item(), rel=1e-6)
    torch.testing.assert_close(scores.grad.double(), expected.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("rows", [1, 7, 600])
def test_blocks_do_not_show(rows, monkeypatch):
    sessions, items, target = case(rows, 300, 4)
    whole = softmax_cross_entropy(sessions, items, target)
    gradients = torch.autograd.grad(whole, (sessions, items))
    monkeypatch.setattr(losses, "_BLOCK_BYTES", 8 * 7 * rows)
    parts = softmax_cross_entropy(sessions, items, target)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=0)
    for a, b in zip(torch.autograd.grad(parts, (sessions, items)), gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-14)


def test_what_hardware_is_fast_in_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    for known, fast in (
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"sve": True, "bf16": True}, True),
        ({}, False),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda k=known: k, raising=False)
        assert losses.bfloat16_is_fast(torch.device("cpu")) == fast
    assert not losses.bfloat16_is_fast(torch.device("meta"))
    fast = {"avx512_f": True, "avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: fast, raising=False)
    assert losses.bfloat16_is_fast(torch.device("cpu"))
    # Told to do without, by ATEN_CPU_CAPABILITY=avx2.
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not losses.bfloat16_is_fast(torch.device("cpu"))
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not losses.bfloat16_is_fast(torch.device("cpu"))


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_non_contiguous_input(loss):
    sessions, items, target = case()
    value = loss(sessions.T.contiguous().T, items.T.contiguous().T, target)
    torch.testing.assert_close(value, loss(sessions, items, target))


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_no_gradient_wanted(loss):
    sessions, items, target = case()
    with torch.no_grad():
        quiet = loss(sessions, items, target)
    assert not quiet.requires_grad
    torch.testing.assert_close(quiet, loss(sessions, items, target).detach())


@pytest.mark.parametrize("bad", [-1, 9])
@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_a_target_outside_the_catalogue(loss, bad):
    sessions, items, target = case()
    target[2] = bad
    with pytest.raises((ValueError, IndexError, RuntimeError), match=str(bad)):
        loss(sessions, items, target)


def peak_bytes(work):
    """Most bytes allocated at once by `work`, of every kernel's own memory too."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as result:
        work()
    events = result.profiler.kineto_results.events()
    changes = sorted(
        ((e.start_ns(), i, e.nbytes()) for i, e in enumerate(events) if e.name() == "[memory]")
    )
    live = peak = 0
    for _, _, change in changes:
        live += change
        peak = max(peak, live)
    return peak


ROWS, ITEMS, CHANNELS = 512, 20_000, 4
MATRIX = ROWS * ITEMS * 4


def test_memory_of_the_plain_loss_is_more_than_two_matrices():
    """The measure sees what it should see."""
    sessions, items, target = case(ROWS, ITEMS, CHANNELS, dtype=torch.float32)
    peak = peak_bytes(lambda: F.cross_entropy(sessions @ items.T, target).backward())
    assert peak > 2 * MATRIX


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_memory_is_one_matrix(loss):
    """Forward and backward: one [batch, items] matrix, the gradients, and small change."""
    sessions, items, target = case(ROWS, ITEMS, CHANNELS, dtype=torch.float32)
    loss(sessions, items, target).backward()  # whatever is set up once
    sessions.grad = items.grad = None
    peak = peak_bytes(lambda: loss(sessions, items, target).backward())
    gradients = 2 * 4 * (sessions.numel() + items.numel())  # kept from forward, then scaled
    assert peak <= 1.15 * MATRIX + gradients, f"{peak / MATRIX:.2f} matrices"


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_at_most_one_matrix_is_kept_for_the_backward_pass(loss):
    sessions, items, target = case(ROWS, ITEMS, CHANNELS, dtype=torch.float32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        loss(sessions, items, target)
    assert sum(t.numel() == ROWS * ITEMS for t in kept) <= 1
    small = 2 * (sessions.numel() + items.numel())
    assert sum(t.numel() for t in kept) <= ROWS * ITEMS + small
