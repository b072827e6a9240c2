"""The closed form of the gradient is that of autograd."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pyg_srgnn.nn import normalize as module
from pyg_srgnn.nn.normalize import normalize


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("rows", [0, 1, 50])
def test_rows_and_gradients_are_those_of_torch(
    rows: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", 7 * 5 * 8)  # several blocks, the last one cut
    torch.manual_seed(0)
    given = torch.randn(rows, 5, dtype=dtype)
    given[3:4], given[4:5] = 0, 1e-20  # rows that have no direction, or hardly any
    given.requires_grad_()
    weight = torch.randn(rows, 5, dtype=dtype)
    found = normalize(given)
    expected = F.normalize(given).detach()
    expected[4:5] = 0  # torch gives 1e-8, a direction without a length
    assert torch.equal(found, expected)
    (gradient,) = torch.autograd.grad((weight * found).sum(), given)
    (wanted,) = torch.autograd.grad((weight * F.normalize(given)).sum(), given)
    wanted[3:5] = 0  # torch gives 1e12 times that of the loss
    torch.testing.assert_close(gradient, wanted)


def test_autocast_and_half_precision_keep_the_type_of_the_gradient() -> None:
    given = torch.randn(4, 6, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        normalize(given).sum().backward()
    assert given.grad is not None and given.grad.dtype == torch.bfloat16


def test_rows_of_zeros_have_a_gradient_of_zero_in_half_precision() -> None:
    lin = torch.nn.Linear(3, 4, bias=False)
    rows = torch.tensor([[1.0, 2, 3], [0, 0, 0]])
    with torch.autocast("cpu", dtype=torch.float16):
        for mapped in (lin(rows), lin(rows).float()):
            lin.zero_grad()
            found = normalize(mapped)
            assert not found[1].any() and torch.equal(found, normalize(mapped.detach()))
            (1024 * found.float() * torch.randn(2, 4)).sum().backward()
            assert lin.weight.grad is not None and lin.weight.grad.isfinite().all()
