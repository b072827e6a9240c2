"""Finds the clicks of a user's earlier sessions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.earlier import Earlier


class EarlierClicks:
    """The last clicks of each session's user in sessions that had ended before it began.

    Ended before means in an earlier second: what ends in the second in which another session
    begins is not earlier. So no session sees itself, one at the same time, or a later one. Clicks
    are not copied: of each session, numbers say where they lie, 32 bytes in all.

    Args:
        parts: Sessions with users, numbered through from the first part to the last.
        most: How many clicks a session has at most, the last ones.
    """

    def __init__(self, parts: Sequence[Sessions], most: int) -> None:
        self._items = [part.items for part in parts]
        user, start, end = torch.cat([_visits(part) for part in parts]).unbind(1)
        lengths = torch.cat([part.lengths for part in parts])
        # One whole number orders sessions by user, and then by time.
        times, rank = torch.unique(torch.cat([start, end]), return_inverse=True)
        of_user = (user + 1) * len(times)
        started, ended = (of_user + one for one in rank.split(len(user)))
        order = ended.argsort(stable=True)
        by_end = ended[order]
        # Where each session's clicks lie if all sessions stood in that order.
        self._places = _with_zero(lengths[order].cumsum(0))
        self._shift = _with_zero(lengths.cumsum(0))[order] - self._places[:-1]
        self._stop = self._places[torch.searchsorted(by_end, started)]
        begin = self._places[torch.searchsorted(by_end, of_user)]
        self.lengths = (self._stop - begin).clamp_(max=most).masked_fill_(user < 0, 0)
        """Number of earlier clicks of each session [S]."""

    def of(self, session: Tensor) -> Earlier:
        """The earlier clicks of sessions, in order of time.

        Args:
            session: Numbers of the sessions, which may repeat, int64 [B].
        """
        lengths = self.lengths[session]
        # The places stop - length … stop - 1 of every session, one session after another.
        behind = self._stop[session] - lengths.cumsum(0)
        place = torch.arange(int(lengths.sum())) + behind.repeat_interleave(lengths)
        click = place + self._shift[torch.searchsorted(self._places, place, right=True) - 1]
        items = torch.empty_like(click)
        for of_part in self._items:
            here = (click >= 0) & (click < len(of_part))
            items[here] = of_part[click[here]]
            click = click - len(of_part)
        return Earlier(items, lengths)


def _visits(sessions: Sessions) -> Tensor:
    if sessions.visits is None:
        raise ValueError("EarlierClicks: these sessions have no users (got visits=None)")
    return sessions.visits


def _with_zero(ends: Tensor) -> Tensor:
    return torch.cat([ends.new_zeros(1), ends])
