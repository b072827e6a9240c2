"""What the training session of each sample added to the counts of pairs of items."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class OwnPairs(NamedTuple):
    """Weights of the pairs of items in the sessions of samples.

    See :meth:`pyg_srgnn.data.session_pairs.SessionPairs.of`.
    """

    key: Tensor
    """Of every pair, as often as it is there, (sample * V + earlier) * V + later, sorted, int64
    [T]; what comes after them is no pair."""
    total: Tensor
    """Sum of the weights of all pairs before each of them, and of all, float64 [T + 1]."""
    num_items: int
    """Number of items V."""
    units: int = 1
    """What weighs 1 is so many of them."""
    scale: Tensor | None = None
    """Factor of the weights of each sample, float64 [B]; None: 1."""

    def of(self, sample: Tensor, earlier: Tensor, later: Tensor) -> Tensor:
        """What sessions added to counts, float64; 0 where they have no such pair.

        Args:
            sample: Numbers of the samples in their batch, int64; all three are broadcast.
            earlier: The items clicked first.
            later: The items clicked after them.
        """
        key = (sample * self.num_items + earlier) * self.num_items + later
        before = self.total.take(torch.searchsorted(self.key, key))
        weight = self.total.take(torch.searchsorted(self.key, key, right=True)) - before
        weight = weight / self.units
        return weight if self.scale is None else weight * self.scale.take(sample)
