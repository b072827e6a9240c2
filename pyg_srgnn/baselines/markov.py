"""The first-order Markov chain over clicks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.baselines.popularity import Popularity, clicks_of, num_sessions
from pyg_srgnn.data.sessions import Sessions


class Markov(Popularity):
    """Scores an item by how often it was clicked right after the session's last one.

    Items that never followed it come behind, by popularity.

    Args:
        counts: Clicks of each item, int64 [V].
        row: Where the followers of each item start in ``column``, int64 [V + 1].
        column: Items that followed, those after item 0 first, int64 [T].
        count: How often each did, float64 [T].
    """

    def __init__(self, counts: Tensor, row: Tensor, column: Tensor, count: Tensor) -> None:
        super().__init__(counts)
        self.register_buffer("row", row)
        self.register_buffer("column", column)
        self.register_buffer("count", count)

    row: Tensor
    column: Tensor
    count: Tensor

    @classmethod
    def fit(cls, sessions: Sessions, num_items: int) -> Markov:
        """Count the transitions of the training sessions."""
        counts = torch.bincount(sessions.items, minlength=num_items)
        within = torch.ones(sessions.num_clicks, dtype=torch.bool)
        within[sessions.offsets[1:-1]] = False
        pair = (sessions.items[:-1] * num_items + sessions.items[1:])[within[1:]]
        pair, count = torch.unique(pair, return_counts=True)
        followers = torch.bincount(pair // num_items, minlength=num_items)
        row = torch.cat([followers.new_zeros(1), followers.cumsum(0)])
        return cls(counts, row, pair % num_items, count.double())

    def scores(self, data: Data) -> Tensor:
        """Transitions from the last click, plus the popularity below 1 [B, V]."""
        scores = super().scores(data).clone()
        session, item = clicks_of(data)
        clicks = torch.bincount(session, minlength=num_sessions(data))
        last = item[clicks.cumsum(0) - 1]
        start, number = self.row[last], self.row[last + 1] - self.row[last]
        skipped = start - (number.cumsum(0) - number)
        at = torch.arange(int(number.sum()), device=last.device) + skipped.repeat_interleave(number)
        session = torch.arange(last.numel(), device=last.device).repeat_interleave(number)
        return scores.index_put_((session, self.column[at]), self.count[at], accumulate=True)
