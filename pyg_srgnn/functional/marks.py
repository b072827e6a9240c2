"""What is known of clicks beside their items: types, pauses, and the user's earlier clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_srgnn.functional.earlier import Earlier, earlier_tensors

MICROS = 1_000_000
"""Microseconds of a second."""

EARLIEST, LATEST = 631_152_000_000_000, 4_102_444_800_000_000
"""1990 and 2100, in microseconds since 1970: a time outside was read in a wrong unit."""

GAPS = 23
"""Buckets of pauses: 0 of a session's first click and of unknown ones, 1 below a second, each
further one twice as wide, the last one from 2**20 seconds (12 days) on."""

MARKS = ("event", "edge_attr", "gap")
"""The keys of a session graph that :func:`mark_tensors` makes of types and pauses."""


class ClickMarks(NamedTuple):
    """Marks of the clicks of sessions, one session after another."""

    event: Tensor | None = None
    """The number of each click's type [L]."""
    num_events: int = 0
    """Number of types T."""
    pause: Tensor | None = None
    """Seconds before each click, -1 where they are unknown [L]."""
    earlier: Earlier | None = None
    """Clicks of the users' earlier sessions."""

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return any(one is not None for one in (self.event, self.pause, self.earlier))

    def of(self, click: Tensor) -> ClickMarks:
        """The marks of some of the clicks, without earlier ones."""
        event, pause = (None if one is None else one[click] for one in (self.event, self.pause))
        return ClickMarks(event, self.num_events, pause)


class MarkedSession(list[int]):
    """Item indices of a session's clicks, with marks.

    Args:
        items: The indices [L].
        events: Number of each click's type [L]. (default: unknown, as the first type)
        pauses: Seconds before each click, -1 where they are unknown [L]. (default: unknown)
        earlier: Item indices of the clicks of the user's earlier sessions, in order of time.
            (default: none)
    """

    def __init__(
        self,
        items: Sequence[int],
        events: Sequence[int] | None = None,
        pauses: Sequence[int] | None = None,
        earlier: Sequence[int] = (),
    ) -> None:
        super().__init__(items)
        self.events = events
        self.pauses = pauses
        self.earlier = earlier

    def without(self, place: int) -> MarkedSession:
        """The session without the click at a place; the pause before the next one grows."""
        events, pauses = self.events, self.pauses
        if pauses is not None:
            before, after = pauses[:place], [*pauses[place + 1 :]]
            if after:
                known = after[0] >= 0 and pauses[place] >= 0
                after[0] = after[0] + pauses[place] if known else -1
            pauses = [*before, *after]
        if events is not None:
            events = [*events[:place], *events[place + 1 :]]
        items = [*self[:place], *self[place + 1 :]]
        return MarkedSession(items, events, pauses, self.earlier)


def marks_of(
    sessions: Sequence[Sequence[int]], num_events: int, gaps: bool, num_earlier: int = 0
) -> ClickMarks:
    """The marks of sessions as a model wants them.

    Args:
        sessions: The sessions; a click without a type counts as one of the first, and one without
            a pause as one whose pause is unknown.
        num_events: Number of types that the model knows; 0: it knows none.
        gaps: Whether it knows pauses.
        num_earlier: How many clicks of earlier sessions it takes, the last ones. (default: 0)
    """
    event: list[int] = []
    pause: list[int] = []
    earlier: list[Sequence[int]] = []
    for session in sessions:
        known = session if isinstance(session, MarkedSession) else MarkedSession(())
        events, pauses = known.events, known.pauses
        event += [0] * len(session) if events is None else events
        pause += [-1] * len(session) if pauses is None else pauses
        earlier.append(known.earlier[-num_earlier:])
    return ClickMarks(
        torch.tensor(event) if num_events else None,
        num_events,
        torch.tensor(pause) if gaps else None,
        Earlier.of(earlier) if num_earlier else None,
    )


def pauses_of(clock: Tensor, lengths: Tensor) -> Tensor:
    """Whole seconds before each click; 0 of a session's first click, and where time runs backwards.

    Args:
        clock: Microseconds of each click, session after session, int64 [L].
        lengths: Number of clicks of each session [B].

    Returns:
        int32 [L].
    """
    pause = torch.zeros_like(clock)
    pause[1:] = clock.diff().clamp_(min=0) // MICROS
    pause[(lengths.cumsum(0) - lengths)[lengths > 0]] = 0
    return pause.clamp_(max=torch.iinfo(torch.int32).max).int()


def gap_buckets(pause: Tensor, lengths: Tensor) -> Tensor:
    """The bucket of each pause, from 0 to :data:`GAPS` - 1, int64 [L].

    Args:
        pause: Seconds before each click, session after session, -1 where they are unknown [L].
        lengths: Number of clicks of each session, each at least 1 [B].
    """
    bounds = 2 ** torch.arange(GAPS - 2, device=pause.device)
    gap = 1 + torch.bucketize(pause.long(), bounds, right=True)
    gap[pause < 0] = 0
    gap[lengths.cumsum(0) - lengths] = 0  # what was before it is no part of the session
    return gap


def edge_events(
    edge_index: Tensor, alias_index: Tensor, lengths: Tensor, event: Tensor, num_events: int
) -> Tensor:
    """Of the steps along each edge, the share that ends with a click of each type [E, T].

    Args:
        edge_index: The edges of session graphs, sorted by their nodes [2, E].
        alias_index: Node of each click, session after session [L].
        lengths: Number of clicks of each session [B].
        event: Type of each click [L].
        num_events: Number of types T.
    """
    session = torch.arange(lengths.numel(), device=event.device).repeat_interleave(lengths)
    step = (session[1:] == session[:-1]).nonzero().squeeze(1)
    nodes = int(alias_index.max()) + 1
    key = edge_index[0] * nodes + edge_index[1]
    edge = torch.searchsorted(key, alias_index[step] * nodes + alias_index[step + 1])
    cell = edge * num_events + event[step + 1].long()
    counts = torch.bincount(cell, minlength=key.numel() * num_events)
    counts = counts.view(-1, num_events).to(torch.get_default_dtype())
    return counts / counts.sum(dim=1, keepdim=True)


def mark_tensors(
    marks: ClickMarks, tensors: Mapping[str, Tensor], lengths: Tensor
) -> dict[str, Tensor]:
    """The marks as they enter session graphs.

    Args:
        marks: The marks of the clicks.
        tensors: What :func:`pyg_srgnn.functional.graphs.graph_tensors` makes of the clicks.
        lengths: Number of clicks of each session [B].

    Returns:
        With types, ``event`` [L] and ``edge_attr`` [E, T]; with pauses, ``gap`` [L]; with earlier
        clicks, what :func:`~pyg_srgnn.functional.earlier.earlier_tensors` gives.
    """
    found = {}
    if marks.event is not None:
        graph = tensors["edge_index"], tensors["alias_index"], lengths
        found["event"] = marks.event.long()
        found["edge_attr"] = edge_events(*graph, marks.event, marks.num_events)
    if marks.pause is not None:
        found["gap"] = gap_buckets(marks.pause, lengths)
    if marks.earlier is not None:
        found |= earlier_tensors(marks.earlier, tensors, lengths)
    return found
