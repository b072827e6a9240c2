"""Neighbours of sessions, the last clicks first: V-SKNN."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_srgnn.baselines.neighbours import Evidence, SessionNeighbours
from pyg_srgnn.data.sessions import Sessions


class VSKNN(SessionNeighbours):
    def __init__(self, sessions: Sessions, num_items: int, k: int, sample_size: int) -> None:
        super().__init__(sessions, num_items, k, sample_size)
        holding = torch.bincount(self.item, minlength=num_items)
        self.register_buffer("idf", (len(sessions) / holding.clamp(min=1)).log())

    idf: Tensor

    @classmethod
    def fit(
        cls, sessions: Sessions, num_items: int, k: int = 500, sample_size: int = 2500
    ) -> VSKNN:
        return cls(sessions, num_items, k, sample_size)

    def click_weight(self, ago: Tensor, clicks: Tensor) -> Tensor:
        """From 1 for the last click in equal steps down to 1 / clicks for the first [Q]."""
        return (clicks - ago) / clicks

    def item_weight(self, found: Evidence) -> Tensor:
        return (1 - 0.1 * found.ago).clamp(min=0) * self.idf[found.item]
