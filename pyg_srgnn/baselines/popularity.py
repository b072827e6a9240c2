"""Popularity: the most clicked items, of all sessions (POP) and of the session itself (S-POP)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_srgnn.data.graphs import session_of_node
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.graphs import counts, places_from_end


class Found(NamedTuple):
    """Items that a baseline knows more of than their popularity, by session [N] each.

    Args:
        session: The session, int64, in order.
        item: The item, once in each session, int64.
        score: Its score, at least 1, float64.
    """

    session: Tensor
    item: Tensor
    score: Tensor


class Popularity(nn.Module):
    """Scores an item by its clicks in the training sessions (POP).

    Other baselines are subclasses, which score a few items of a session otherwise: :meth:`found`.

    Args:
        counts: Clicks of each item, int64 [V].
    """

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        # A place in the order instead of a count: equally clicked items never tie.
        order = counts.argsort(stable=True, descending=True)
        place = torch.empty(counts.numel(), dtype=torch.float64)
        place[order] = torch.arange(counts.numel(), 0, -1, dtype=torch.float64)
        self.register_buffer("score", place / (counts.numel() + 1))

    score: Tensor

    @classmethod
    def fit(cls, sessions: Sessions, num_items: int) -> Popularity:
        """Count the clicks of the training sessions."""
        return cls(torch.bincount(sessions.items, minlength=num_items))

    def found(self, data: Data) -> Found:
        """The items that go before all others, of every session; by default none."""
        none = torch.empty(0, dtype=torch.long, device=self.score.device)
        return Found(none, none, self.score.new_empty(0))

    def scores(self, data: Data) -> Tensor:
        """Scores of all items: of those found, and popularity in (0, 1) [B, V]."""
        session, item, score = self.found(data)
        scores = self.score.repeat(session_of_node(data)[1], 1)
        return scores.index_put_((session, item), score)


class SessionPopularity(Popularity):
    """Scores an item by its clicks in the session, the later one of equals first (S-POP).

    Items that are not in the session come last, by popularity.
    """

    def found(self, data: Data) -> Found:
        """The items of the session, scored by their clicks in it plus a recency below 1."""
        of_node, num_sessions = session_of_node(data)
        session = of_node[data.alias_index]
        place, lengths = places_from_end(session, num_sessions)
        position = lengths[session] - 1 - place
        last = torch.zeros_like(data.x).scatter_reduce_(0, data.alias_index, position, "amax")
        clicks = counts(data.alias_index, of_node.numel())
        return Found(of_node, data.x, clicks + last.double() / lengths[of_node])


def last_clicks(sessions: Sessions) -> tuple[Tensor, Tensor]:
    """The last click of every item in every session: session and click number, int64 [D] both."""
    session = torch.arange(len(sessions)).repeat_interleave(sessions.lengths)
    items = int(sessions.items.max()) + 1 if sessions.num_clicks else 1
    of = torch.unique(session * items + sessions.items, return_inverse=True)[1]
    clicks = torch.arange(sessions.num_clicks)
    last = clicks.new_zeros(sessions.num_clicks).scatter_reduce_(0, of, clicks, "amax")
    click = clicks[last[of] == clicks]
    return session[click], click
