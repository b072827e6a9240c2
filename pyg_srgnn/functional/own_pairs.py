"""What each training session added to the counts of pairs of items."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class OwnPairs(NamedTuple):
    """The weights of pairs of items by session; see :func:`pyg_srgnn.data.pairs.own_pairs`."""

    key: Tensor
    """Of every pair, (session * V + earlier) * (V + 1) + later, sorted, int64 [T]; the item V in
    the place of the later one stands for the sum of all."""
    weight: Tensor
    """Weight of each [T]."""
    num_items: int
    """Number of items V."""

    def of(self, session: Tensor, earlier: Tensor, later: Tensor | None = None) -> Tensor:
        """What sessions added to counts, of equal shapes, float64; 0 where they have no such pair.

        Args:
            session: Numbers of the training sessions, int64.
            earlier: The items clicked first.
            later: The items clicked after them. (default: all together)
        """
        whole = self.num_items if later is None else later
        key = (session * self.num_items + earlier) * (self.num_items + 1) + whole
        at = torch.searchsorted(self.key, key).clamp_(max=self.key.numel() - 1)
        return self.weight[at].masked_fill(self.key[at] != key, 0)

    def to(self, device: torch.device) -> OwnPairs:
        """The same on a device."""
        return OwnPairs(self.key.to(device), self.weight.to(device), self.num_items)
