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
    """Of every pair, (sample * V + earlier) * (V + 1) + later, sorted, int64 [T]; the item V in
    the place of the later one stands for the sum of all."""
    weight: Tensor
    """Weight of each [T]."""
    num_items: int
    """Number of items V."""

    def of(self, sample: Tensor, earlier: Tensor, later: Tensor | None = None) -> Tensor:
        """What sessions added to counts, float64; 0 where they have no such pair.

        Args:
            sample: Numbers of the samples in their batch, int64; the others have its shape.
            earlier: The items clicked first.
            later: The items clicked after them. (default: all together)
        """
        whole = self.num_items if later is None else later
        key = (sample * self.num_items + earlier) * (self.num_items + 1) + whole
        at = torch.searchsorted(self.key, key).clamp_(max=self.key.numel() - 1)
        return self.weight[at].masked_fill(self.key[at] != key, 0)
