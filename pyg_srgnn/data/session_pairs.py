"""Finds what single sessions added to the counts of pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_srgnn.data.pairs import UNITS, summed_pairs
from pyg_srgnn.data.recency import recency
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.own_pairs import OwnPairs


class SessionPairs:
    """The pairs of some sessions, as :func:`pyg_srgnn.data.pairs.count_pairs` counts them.

    They are counted anew for every batch: 4 bytes are kept of a click, and not its pairs.

    Args:
        sessions: All sessions.
        num_items: See :func:`pyg_srgnn.data.pairs.count_pairs`.
        weights: See there; of as many steps as there are weights.
        half_life: See there. (default: None)
    """

    def __init__(
        self,
        sessions: Sessions,
        num_items: int,
        weights: Sequence[int],
        half_life: float | None = None,
    ) -> None:
        self.items = sessions.items.to(torch.int32)
        self.offsets = sessions.offsets
        self.weights = torch.tensor(weights, dtype=torch.float64) / UNITS
        self.num_items = num_items
        self.num_samples = sessions.num_samples
        self.half_life = half_life

    def of(self, session: Tensor) -> OwnPairs:
        """The pairs of sessions, in units of 1.

        Args:
            session: Numbers of the sessions, which may repeat, int64 [B].
        """
        if self.items.device != session.device:  # the first time only
            self.items, self.offsets, self.weights = (
                each.to(session.device) for each in (self.items, self.offsets, self.weights)
            )
        start, end = self.offsets[session], self.offsets[session + 1]
        row = torch.arange(len(session), device=session.device).repeat_interleave(end - start)
        before = end - (end - start).cumsum(0)
        first = torch.arange(len(row), device=session.device) + before[row]
        later = first.unsqueeze(1) + 1 + torch.arange(len(self.weights), device=session.device)
        at, steps = (later < end[row].unsqueeze(1)).nonzero().unbind(1)
        row, first, later = row[at], first[at], later[at, steps]

        weight = self.weights[steps]
        if self.half_life is not None:
            number = later - session[row] - 1  # numbers of samples
            weight = weight * recency(number, self.num_samples, self.half_life)
        key = (row * self.num_items + self.items[first]) * self.num_items + self.items[later]
        return OwnPairs(*summed_pairs(key, weight), self.num_items)
