"""Finds what single sessions added to the counts of pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.data.pairs import UNITS
from pyg_srgnn.data.recency import recency
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.own_pairs import OwnPairs

_NO_PAIR = 2**63 - 1


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
        # In units of a count, of which sums are exact.
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.steps = torch.arange(1, len(weights) + 1)
        self.num_items = num_items
        self.num_samples = sessions.num_samples
        self.half_life = half_life

    def of(self, session: Tensor, num_clicks: int | None = None) -> OwnPairs:
        """The pairs of sessions, in units of 1.

        Args:
            session: Numbers of the sessions, which may repeat, int64 [B].
            num_clicks: The clicks that they have together, or more; the host does not wait if it
                knows. (default: None: they are counted)
        """
        if self.items.device != session.device:  # the first time only
            self.items, self.offsets, self.weights, self.steps = (
                each.to(session.device)
                for each in (self.items, self.offsets, self.weights, self.steps)
            )
        end = self.offsets[session + 1]
        lengths = end - self.offsets[session]
        ends = lengths.cumsum(0)
        size = int(lengths.sum()) if num_clicks is None else num_clicks
        number = torch.arange(size, device=session.device)
        # Beyond the last click, the row is the last one's, and the click is after its end.
        row = torch.searchsorted(ends, number, right=True).clamp_(max=len(session) - 1)
        first = (number + (end - ends)[row]).unsqueeze(1)
        later = first + self.steps
        inside = later < end[row].unsqueeze(1)

        weight, scale = self.weights, None
        if self.half_life is not None:
            # Relative to the session's last click: of sums over all, old ones would be rounded.
            sample, last = later - session[row].unsqueeze(1) - 1, end - session - 2
            back = self.num_samples - 1 + sample - last[row].unsqueeze(1)
            weight = weight * recency(back, self.num_samples, self.half_life)
            weight = weight.masked_fill(~inside, 0)  # it may be infinite beyond the sessions
            scale = recency(last, self.num_samples, self.half_life)
        clicked = self.items[torch.cat([first, later], dim=1).clamp_(max=len(self.items) - 1)]
        key = row.unsqueeze(1) * self.num_items + clicked[:, :1]
        key = key * self.num_items + clicked[:, 1:]
        # The last click of a session has none after it: the last key is no pair.
        key, order = key.where(inside, _NO_PAIR).flatten().sort()
        before = F.pad(weight.expand_as(later).take(order).cumsum(0), (1, 0))
        # Equal pairs are summed here, where keys are searched in their order, and not by who asks.
        of_equal = before.take(torch.searchsorted(key, key, right=True)) - before[:-1]
        return OwnPairs(key, of_equal, self.num_items, UNITS, scale)
