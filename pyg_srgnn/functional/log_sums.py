"""Adds up exponentials of products, some items at a time, and keeps the logarithm of the sum."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG2_E = 1 / math.log(2)
"""Factor that turns natural logarithms into those to the base of two."""

_LANES = 128  # items side by side whose maxima are taken first


class LogSums:
    """Logarithms of sums of powers of two, which take a quarter of the time of natural ones.

    Args:
        num_sessions: Number of sessions B.
        num_items: Number of items V; columns beyond are not added.
        barred: Sessions and items [P] each that are not added. (default: none)
        dtype: Type of the sums. (default: float32)
    """

    def __init__(
        self,
        num_sessions: int,
        num_items: int,
        barred: tuple[Tensor, Tensor] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._num_items, self._barred = num_items, barred
        self._peak = torch.full((num_sessions, 1), torch.finfo(dtype).min, dtype=dtype)
        self._total = torch.zeros(num_sessions, 1, dtype=dtype)

    def add_(self, powers: Tensor, start: int = 0) -> None:
        """Add two to the power of what some items have.

        Args:
            powers: Of items from ``start`` on [B, n]; changed in place.
            start: The first item. (default: 0)
        """
        if self._barred is not None:
            session, item = self._barred
            inside = (item >= start) & (item < start + powers.size(1))
            powers[session[inside], item[inside] - start] = -torch.inf
        powers[:, self._num_items - start :] = -torch.inf
        peak = torch.maximum(self._peak, _greatest(powers))
        total = powers.sub_(peak).exp2_().sum(dim=1, keepdim=True)
        self._total = self._total * (self._peak - peak).exp2_() + total
        self._peak = peak

    def value(self) -> Tensor:
        """Natural logarithms of the sums, minus infinity where nothing was added [B]."""
        return ((self._peak + self._total.log2()) / LOG2_E).squeeze(1)


def log_sum(scores: Tensor) -> Tensor:
    """``scores.logsumexp(dim=1)`` of scores [B, V], in half its time on a CPU without gradients.

    A row without any finite score has minus infinity.
    """
    if scores.requires_grad or not scores.is_cpu:
        return scores.logsumexp(dim=1)
    sums = LogSums(len(scores), scores.size(1), dtype=scores.dtype)
    sums.add_(scores * LOG2_E)
    return sums.value()


def _greatest(powers: Tensor) -> Tensor:
    """The greatest of every row [B, 1], of whatever layout: narrow columns would take long."""
    if powers.is_contiguous() or powers.size(1) % _LANES:
        return powers.amax(dim=1, keepdim=True)
    lanes = powers.T.view(-1, _LANES, len(powers)).amax(dim=0)
    return lanes.amax(dim=0).unsqueeze(1)
