"""Sums of exponentials, some items at a time, against float64."""

from __future__ import annotations

import math

import pytest
import torch

from pyg_srgnn.functional.log_sums import LOG2_E, LogSums, log_sum


@pytest.mark.parametrize("offset", [0.0, 3_000.0, -3_000.0])
@pytest.mark.parametrize("sessions_last", [False, True])
def test_parts_and_barred_pairs(offset: float, sessions_last: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = 4 * torch.randn(5, 1_000, generator=generator) + offset
    scores[:, 700] += 40.0  # a later part has the greatest ones
    barred = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([700, 3, 256, 0, 511, 999])
    sums = LogSums(5, 1_000, barred)
    padded = torch.cat([scores, scores[:, :24]], dim=1)  # beyond the last item
    for start in range(0, 1_024, 256):
        part = LOG2_E * padded[:, start : start + 256]
        sums.add_(part.T.contiguous().T if sessions_last else part, start)
    wanted = scores.double()
    wanted[barred] = -torch.inf
    torch.testing.assert_close(sums.value().double(), wanted.logsumexp(dim=1), rtol=2e-6, atol=2e-6)


def test_columns_beyond_the_last_item_do_not_count() -> None:
    scores = torch.zeros(1, 8)
    scores[:, 5:] = 300.0  # the last item, which is barred, and two copies of it
    sums = LogSums(1, 6, (torch.tensor([0]), torch.tensor([5])))
    sums.add_(LOG2_E * scores)
    assert float(sums.value()) == pytest.approx(math.log(5))


def test_a_row_without_any_is_minus_infinity() -> None:
    scores = torch.randn(3, 70, dtype=torch.float64)
    scores[1] = -torch.inf
    found = log_sum(scores)
    assert found[1] == -torch.inf
    torch.testing.assert_close(found, scores.logsumexp(dim=1), rtol=0, atol=1e-12)
    assert LogSums(2, 5).value().tolist() == [-torch.inf] * 2
