"""The first-order Markov chain over clicks."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from pyg_srgnn.baselines.popularity import Found, Popularity
from pyg_srgnn.data.graphs import session_of_node
from pyg_srgnn.data.pairs import count_pairs
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.graphs import places_from_end


class Markov(Popularity):
    """Scores an item by how often it was clicked right after the session's last one.

    Items that never followed it come last, by popularity.

    Args:
        counts: Clicks of each item, int64 [V].
        row: Where the followers of each item start in ``column``, int64 [V + 1].
        column: Items that followed, those after item 0 first, int64 [T].
        count: How often each did, whole numbers, float64 [T].
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
        return cls.from_pairs(sessions, num_items, *count_pairs(sessions, num_items, [1]))

    @classmethod
    def from_pairs(cls, sessions: Sessions, num_items: int, pair: Tensor, count: Tensor) -> Self:
        """The chain with these transitions.

        Args:
            sessions: The training sessions, for the popularity.
            num_items: Number of items V.
            pair: For each transition ``item * V + follower``, int64 [T]; those of one item
                one behind another, the items in order.
            count: Count of each, a whole number of at least 1 [T].
        """
        counts = torch.bincount(sessions.items, minlength=num_items)
        followers = torch.bincount(pair // num_items, minlength=num_items)
        row = cumsum(followers)
        return cls(counts, row, pair % num_items, count.double())

    def found(self, data: Data) -> Found:
        """The followers of the last click, by their transitions plus the popularity below 1."""
        of_node, num_sessions = session_of_node(data)
        _, clicks = places_from_end(of_node[data.alias_index], num_sessions)
        last = data.x[data.alias_index[clicks.cumsum(0) - 1]]
        session, at = ranges(self.row[last], self.row[last + 1])
        item = self.column[at]
        return Found(session, item, self.count[at] + self.score[item])


def ranges(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers from each start to before its end, and which range each one is of, int64 both."""
    number = end - start
    of = torch.arange(number.numel(), device=start.device).repeat_interleave(number)
    skipped = start - (number.cumsum(0) - number)
    return of, torch.arange(of.numel(), device=start.device) + skipped[of]
