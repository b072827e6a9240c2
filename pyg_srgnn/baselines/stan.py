"""Neighbours of sessions, with time: STAN."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_srgnn.baselines.neighbours import Evidence, SessionNeighbours
from pyg_srgnn.data.sessions import Sessions


class STAN(SessionNeighbours):
    def __init__(self, sessions, num_items, k, sample_size, lambda1, lambda2, lambda3):
        super().__init__(sessions, num_items, k, sample_size)
        self.lambda1, self.lambda3 = lambda1, lambda3
        age = torch.arange(len(sessions), dtype=torch.float64) / len(sessions)
        factor = (-age / lambda2).exp() / self.start.diff().sqrt()
        self.register_buffer("factor", factor)

    factor: Tensor

    @classmethod
    def fit(
        cls, sessions: Sessions, num_items: int, k: int = 500, sample_size: int = 2500,
        lambda1=2.0, lambda2=1.0, lambda3=2.0,
    ) -> STAN:
        return cls(sessions, num_items, k, sample_size, lambda1, lambda2, lambda3)

    def click_weight(self, ago: Tensor, clicks: Tensor) -> Tensor:
        return (-ago / self.lambda1).exp()

    def session_weight(self, age: Tensor) -> Tensor:
        return self.factor[age]

    def item_weight(self, found: Evidence) -> Tensor:
        return (-(found.position - found.shared).abs() / self.lambda3).exp()
