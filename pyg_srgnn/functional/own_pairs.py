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
    [T]; the last one is greater, and no pair."""
    weight: Tensor
    """Sum of the weights of the pairs that are equal to each, from it on, float64 [T]."""
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
        first = torch.searchsorted(self.key, key)
        weight = self.weight.take(first) * (self.key.take(first) == key) / self.units
        return weight if self.scale is None else weight * self.scale.take(sample)
