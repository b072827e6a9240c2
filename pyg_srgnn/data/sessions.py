"""Click sessions in flat arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, overload

import torch
from torch import Tensor

from pyg_srgnn.data.frames import FrameConversions
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.utils.arguments import checking

__all__ = ["SECONDS_PER_DAY", "Sessions", "Vocabulary"]

SECONDS_PER_DAY = 86_400
PART = "a fraction between 0.0 and 1.0, or days as '7d'"
_STRIDE = 64  # of the sessions whose first sample's number is kept


def is_part(part: Any) -> bool:
    """Whether a value is a part of sessions, as :data:`PART` describes it."""
    if isinstance(part, str):
        return part.endswith("d") and part[:-1].isdigit() and int(part[:-1]) > 0
    return isinstance(part, float) and 0 < part < 1


class Sessions(FrameConversions):
    """Click sessions in time order, stored once: item indices one after another, and offsets.

    A *sample* is a pair (session, cut): the clicks before the cut are the input, the click at the
    cut is the target. A session of n clicks holds the n - 1 samples with cut 1 … n - 1; they are
    numbered session by session and never stored.

    Args:
        items: Item index of every click, int64 [clicks].
        offsets: Where each session starts, and the end of the last one, int64 [sessions + 1].
        times: Time of each session, in seconds since 1970 UTC, int64 [sessions]; optional.
        events: Number of each click's type, uint8 [clicks]; optional.
        pauses: Seconds before each click, int32 [clicks]; optional.
        visits: User of each session, -1 of one without, and the seconds of its first and last click
            since 1970 UTC, int64 [sessions, 3]; optional.

    Raises:
        ValueError: If the shapes do not belong together, or a session is empty.

    Example:
        >>> sessions = Sessions.from_lists([[0, 1], [2, 1, 2]])
        >>> len(sessions), sessions.num_samples
        (2, 3)
    """

    def __init__(
        self,
        items: Tensor,
        offsets: Tensor,
        times: Tensor | None = None,
        events: Tensor | None = None,
        pauses: Tensor | None = None,
        visits: Tensor | None = None,
    ) -> None:
        if items.dim() != 1 or offsets.dim() != 1 or offsets.numel() < 1:
            raise ValueError(
                f"Sessions: 'items' and 'offsets' must be vectors, offsets with at least one entry "
                f"(got shapes {list(items.shape)} and {list(offsets.shape)})"
            )
        if int(offsets[0]) != 0 or int(offsets[-1]) != items.numel():
            raise ValueError(
                f"Sessions: 'offsets' must run from 0 to the number of clicks {items.numel()} "
                f"(got {int(offsets[0])} to {int(offsets[-1])})"
            )
        empty = (offsets[1:] <= offsets[:-1]).nonzero()
        if empty.numel():
            raise ValueError(f"Sessions: session {int(empty[0])} has no click")
        if times is not None and times.shape != (offsets.numel() - 1,):
            raise ValueError(
                f"Sessions: 'times' must hold one entry for each of the {offsets.numel() - 1} "
                f"sessions (got shape {list(times.shape)})"
            )
        if visits is not None and visits.shape != (offsets.numel() - 1, 3):
            raise ValueError(
                f"Sessions: 'visits' must hold three numbers for each of the {offsets.numel() - 1} "
                f"sessions (got shape {list(visits.shape)})"
            )
        for name, marks in (("events", events), ("pauses", pauses)):
            if marks is not None and marks.shape != items.shape:
                raise ValueError(
                    f"Sessions: {name!r} must hold one entry for each of the {items.numel()} "
                    f"clicks (got shape {list(marks.shape)})"
                )
        self.items = items.long()
        self.offsets = offsets.long()
        self.times = None if times is None else times.long()
        self.events = events
        self.pauses = pauses
        self.visits = visits

    @classmethod
    def from_lists(
        cls,
        sessions: Sequence[Sequence[int | str]],
        times: Sequence[int] | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> Sessions:
        """Sessions from lists of item indices, or of raw ids where their vocabulary is given.

        Raises:
            ValueError: If an index is negative or a raw id unknown.
        """
        lengths = torch.tensor([len(session) for session in sessions], dtype=torch.long)
        clicks: list[Any] = list(chain.from_iterable(sessions))
        indices = clicks if vocabulary is None else vocabulary.encode(clicks)
        items = torch.tensor(indices, dtype=torch.long)
        if items.numel() and int(items.min()) < 0:
            wrong = (items < 0).nonzero().flatten()
            first = int(wrong[0])
            expected = "an index of at least 0" if vocabulary is None else "an id of the vocabulary"
            more = f" (and {wrong.numel() - 1:,} more clicks like it)" if wrong.numel() > 1 else ""
            raise ValueError(
                f"Sessions: click {first:,}, counted from 0, is {clicks[first]!r}, "
                f"expected {expected}{more}"
            )
        return cls(
            items,
            torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
            None if times is None else torch.tensor(list(times), dtype=torch.long),
        )

    def to_lists(self, vocabulary: Vocabulary | None = None) -> list[list[Any]]:
        """The sessions as lists of item indices, or of raw ids where their vocabulary is given."""
        items, offsets = self.items.tolist(), self.offsets.tolist()
        if vocabulary is not None:
            items = vocabulary.decode(items)
        return [items[a:b] for a, b in pairwise(offsets)]

    def append(self, other: Sessions) -> Sessions:
        """These sessions and behind them a later log's, with items and users numbered alike.

        Raises:
            ValueError: If one has times, types, pauses or users and the other none, or the times
                run backwards.
        """
        for name in ("times", "events", "pauses", "visits"):
            if (getattr(self, name) is None) != (getattr(other, name) is None):
                raise ValueError(f"Sessions: of two logs, both or neither must have {name}")
        times = None
        if self.times is not None and other.times is not None:
            times = torch.cat([self.times, other.times])
            earlier = (times[1:] < times[:-1]).nonzero()
            if earlier.numel():
                wrong = int(earlier[0]) + 1
                raise ValueError(
                    f"Sessions: session {wrong} of the two logs has time {int(times[wrong])}, "
                    f"before {int(times[wrong - 1])} of the one before it"
                )
        return Sessions(
            torch.cat([self.items, other.items]),
            torch.cat([self.offsets, other.offsets[1:] + self.num_clicks]),
            times,
            *(
                None if one is None or more is None else torch.cat([one, more])
                for one, more in (
                    (self.events, other.events),
                    (self.pauses, other.pauses),
                    (self.visits, other.visits),
                )
            ),
        )

    def __len__(self) -> int:
        """Number of sessions."""
        return self.offsets.numel() - 1

    @property
    def num_clicks(self) -> int:
        """Number of clicks of all sessions."""
        return self.items.numel()

    @property
    def num_samples(self) -> int:
        """Number of samples: every click but a session's first is a target once."""
        return self.num_clicks - len(self)

    @property
    def lengths(self) -> Tensor:
        """Number of clicks of each session, int64 [sessions]."""
        return self.offsets.diff()

    @property
    def is_target(self) -> Tensor:
        """Whether each click is the target of a sample, in the samples' order, bool [clicks]."""
        found = torch.ones(self.num_clicks, dtype=torch.bool)
        found[self.offsets[:-1]] = False
        return found

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sessions: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sessions:
        """One session's item indices, or a run of sessions that shares this one's memory."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"Sessions: a slice must have step 1 (got {step})")
            stop = max(start, stop)
            first, last = int(self.offsets[start]), int(self.offsets[stop])
            offsets = self.offsets[start : stop + 1]
            times = None if self.times is None else self.times[start:stop]
            offsets = offsets - first if first else offsets
            marks = self.events, self.pauses
            events, pauses = (None if one is None else one[first:last] for one in marks)
            visits = None if self.visits is None else self.visits[start:stop]
            return Sessions(self.items[first:last], offsets, times, events, pauses, visits)
        if not -len(self) <= index < len(self):
            raise IndexError(f"Sessions: no session {index} among {len(self)}")
        index %= len(self)
        return self.items[int(self.offsets[index]) : int(self.offsets[index + 1])]

    def runs(self, clicks: int) -> Iterator[Sessions]:
        """Runs of sessions of about so many clicks each; no session is cut."""
        marks = torch.arange(0, self.num_clicks, clicks)
        bounds = {*torch.searchsorted(self.offsets, marks).tolist(), len(self)}
        for start, stop in pairwise(sorted(bounds)):
            yield self[start:stop]

    def samples(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Find the samples of the given numbers.

        Args:
            index: Sample numbers from 0 to ``num_samples - 1``, int64 [B].

        Returns:
            The session of each and its cut, int64 [B] both.
        """
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < self.num_samples:
            raise IndexError(
                f"Sessions: sample numbers must lie in 0 … {self.num_samples - 1} "
                f"(got {int(index.min())} … {int(index.max())})"
            )
        # Session s starts with sample offsets[s] - s. A session of one click has no sample:
        # of those that start with the same one, the last is meant.
        start = (torch.searchsorted(self._marks, index, right=True) - 1) * _STRIDE
        near = (start.unsqueeze(1) + torch.arange(1, _STRIDE)).clamp_(max=len(self))
        session = start + (self.offsets[near] - near <= index.unsqueeze(1)).sum(1)
        return session, index - (self.offsets[session] - session) + 1

    @cached_property
    def _marks(self) -> Tensor:
        """The first sample's number of every 64th session: to search all would copy them all."""
        return self.offsets[::_STRIDE] - torch.arange(0, len(self) + 1, _STRIDE)

    def recent(self, fraction: int) -> Sessions:
        """The sessions that hold the last 1/fraction of the samples, as SR-GNN's script takes them.

        The script lists each session's prefixes with the longest first and keeps the last
        ``num_samples // fraction`` of the list. So of the first session, if it is cut, the first
        clicks are kept: m + 1 of them where m of its samples are among the last.

        Args:
            fraction: 64 for the last 1/64, 1 for everything.

        Raises:
            ValueError: If the fraction is not a whole number of at least 1.
        """
        if not isinstance(fraction, int) or fraction < 1:
            raise ValueError(f"'fraction' must be a whole number >= 1 (got {fraction!r})")
        kept = self.num_samples // fraction
        if kept == self.num_samples:
            return self
        if kept == 0:
            return self[len(self) :]
        session, cut = map(int, self.samples(torch.tensor([self.num_samples - kept])))
        rest = self[session:]
        if cut == 1:
            return rest
        length = int(rest.offsets[1]) - cut + 1
        items, events, pauses = (
            None if one is None else torch.cat([one[:length], one[int(rest.offsets[1]) :]])
            for one in (rest.items, rest.events, rest.pauses)
        )
        assert items is not None
        offsets = torch.cat([rest.offsets[:1], rest.offsets[1:] - (cut - 1)])
        return Sessions(items, offsets, rest.times, events, pauses, rest.visits)

    def renumbered(self, index: Tensor) -> Sessions:
        """The sessions with their items numbered otherwise.

        Args:
            index: The new number of each item [V]; clicks on those of number -1 are left out, and
                sessions of which no click is left.
        """
        items = index[self.items]
        known = items >= 0
        ends = torch.cat([known.new_zeros(1, dtype=torch.long), known.long().cumsum(0)])
        offsets = ends[self.offsets]
        kept = offsets.diff() > 0
        offsets = torch.cat([offsets[:1], offsets[1:][kept]])
        pauses = None
        if self.pauses is not None:  # what was left out is part of the pause
            clock = self.pauses.long().cumsum(0)[known]
            pauses = clock.diff(prepend=clock[:1])
            pauses[offsets[:-1]] = 0
        return Sessions(
            items[known],
            offsets,
            None if self.times is None else self.times[kept],
            None if self.events is None else self.events[known],
            None if pauses is None else pauses.int(),
            None if self.visits is None else self.visits[kept],
        )

    def among(self, mask: Tensor) -> Sessions:
        """Some of the sessions: those where a mask [sessions] is true."""
        clicks = mask.repeat_interleave(self.lengths)
        lengths = self.lengths[mask]
        marks = self.events, self.pauses
        events, pauses = (None if one is None else one[clicks] for one in marks)
        return Sessions(
            self.items[clicks],
            torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
            None if self.times is None else self.times[mask],
            events,
            pauses,
            None if self.visits is None else self.visits[mask],
        )

    def split_last(self, part: float | str) -> tuple[Sessions, Sessions]:
        """Split off the last sessions in time; no session is divided.

        Args:
            part: The fraction of the sessions to split off (between 0 and 1), or a number of
                days as ``"7d"``: the sessions later than the last one's time less that many days.

        Raises:
            ValueError: If one side would be empty, or days are asked for without times.
        """
        with checking("Sessions.split_last") as check:
            check.that(is_part(part), "part", PART, part)
        if isinstance(part, str):
            if self.times is None:
                raise ValueError(
                    f"the last {part} cannot be split off: these sessions have no times; "
                    f"give a fraction such as 0.1"
                )
            limit = int(self.times[-1]) - int(part[:-1]) * SECONDS_PER_DAY
            cut = int(torch.searchsorted(self.times, limit, right=True))
        else:
            cut = len(self) - round(part * len(self))
        if not 0 < cut < len(self):
            raise ValueError(
                f"splitting the last {part} off {len(self)} sessions leaves one side empty"
            )
        return self[:cut], self[cut:]

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same clicks, with the same times, types, pauses and users."""
        if not isinstance(other, Sessions):
            return False
        return all(
            one is more is None or (None not in (one, more) and torch.equal(one, more))
            for one, more in (
                (getattr(self, name), getattr(other, name))
                for name in ("items", "offsets", "times", "events", "pauses", "visits")
            )
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Short description with the counts."""
        return f"Sessions({len(self)}, clicks={self.num_clicks}, samples={self.num_samples})"
