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
    """Of every pair, (sample * V + earlier) * V + later, sorted, int64 [T]."""
    weight: Tensor
    """Weight of each [T]."""
    num_items: int
    """Number of items V."""

    def of(self, sample: Tensor, earlier: Tensor, later: Tensor) -> Tensor:
        """What sessions added to counts, float64; 0 where they have no such pair.

        Args:
            sample: Numbers of the samples in their batch, int64; all three are broadcast.
            earlier: The items clicked first.
            later: The items clicked after them.
        """
        key = (sample * self.num_items + earlier) * self.num_items + later
        at = torch.searchsorted(self.key, key).clamp_(max=self.key.numel() - 1)
        return self.weight[at].masked_fill(self.key[at] != key, 0)
