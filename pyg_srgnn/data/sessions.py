"""Sessions as one flat array, and the vocabulary between raw item ids and indices."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import overload

import torch
from torch import Tensor

from pyg_srgnn.data.files import written_aside

SECONDS_PER_DAY = 86_400


class Sessions:
    """Click sessions in time order, stored once: item indices one after another, and offsets.

    A *sample* is a pair (session, cut): the clicks before the cut are the input, the click at the
    cut is the target. A session of n clicks holds the n - 1 samples with cut 1 … n - 1; they are
    numbered session by session and never stored.

    Args:
        items: Item index of every click, int64 [clicks].
        offsets: Where each session starts, and the end of the last one, int64 [sessions + 1].
        times: Time of each session, in seconds since 1970 UTC, int64 [sessions]; optional.

    Raises:
        ValueError: If the shapes do not belong together, or a session is empty.
    """

    def __init__(self, items: Tensor, offsets: Tensor, times: Tensor | None = None) -> None:
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
        empty = (offsets.diff() < 1).nonzero()
        if empty.numel():
            raise ValueError(f"Sessions: session {int(empty[0])} has no click")
        if times is not None and times.shape != (offsets.numel() - 1,):
            raise ValueError(
                f"Sessions: 'times' must hold one entry for each of the {offsets.numel() - 1} "
                f"sessions (got shape {list(times.shape)})"
            )
        self.items = items.long()
        self.offsets = offsets.long()
        self.times = None if times is None else times.long()

    @classmethod
    def from_lists(
        cls, sessions: Sequence[Sequence[int]], times: Sequence[int] | None = None
    ) -> Sessions:
        """Sessions from lists of item indices."""
        lengths = torch.tensor([len(session) for session in sessions], dtype=torch.long)
        return cls(
            torch.tensor(list(chain.from_iterable(sessions)), dtype=torch.long),
            torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
            None if times is None else torch.tensor(list(times), dtype=torch.long),
        )

    def to_lists(self) -> list[list[int]]:
        """The sessions as lists of item indices."""
        items, offsets = self.items.tolist(), self.offsets.tolist()
        return [items[a:b] for a, b in pairwise(offsets)]

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
            times = None if self.times is None else self.times[start:stop]
            return Sessions(self.items[first:last], self.offsets[start : stop + 1] - first, times)
        if not -len(self) <= index < len(self):
            raise IndexError(f"Sessions: no session {index} among {len(self)}")
        index %= len(self)
        return self.items[int(self.offsets[index]) : int(self.offsets[index + 1])]

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
        # A session of one click has no sample: searching from the right passes it over.
        first = self.offsets - torch.arange(len(self) + 1)
        session = torch.searchsorted(first, index, right=True) - 1
        return session, index - first[session] + 1

    def split_last(self, part: float | str) -> tuple[Sessions, Sessions]:
        """Split off the last sessions in time; no session stands on both sides.

        Args:
            part: The fraction of the sessions to split off (between 0 and 1), or a number of
                days as ``"7d"``: the sessions later than the last one's time less that many days.

        Raises:
            ValueError: If one side would be empty, or days are asked for without times.
        """
        if isinstance(part, str):
            days = part.removesuffix("d")
            if not part.endswith("d") or not days.isdigit():
                raise ValueError(
                    f"a part of the sessions is a fraction or days as '7d', not {part!r}"
                )
            if self.times is None:
                raise ValueError(
                    f"the last {part} cannot be split off: these sessions have no times; "
                    f"give a fraction such as 0.1"
                )
            limit = int(self.times[-1]) - int(days) * SECONDS_PER_DAY
            cut = int((self.times <= limit).sum())
        else:
            if not 0 < part < 1:
                raise ValueError(f"a fraction of the sessions lies between 0 and 1 (got {part})")
            cut = len(self) - round(part * len(self))
        if not 0 < cut < len(self):
            raise ValueError(
                f"splitting the last {part} off {len(self)} sessions leaves one side empty"
            )
        return self[:cut], self[cut:]

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same clicks and times."""
        if not isinstance(other, Sessions) or (self.times is None) != (other.times is None):
            return False
        return (
            torch.equal(self.items, other.items)
            and torch.equal(self.offsets, other.offsets)
            and (self.times is None or torch.equal(self.times, other.times))  # type: ignore[arg-type]
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Short description with the counts."""
        return f"Sessions({len(self)}, clicks={self.num_clicks}, samples={self.num_samples})"


class Vocabulary:
    """The catalogue: raw item ids, all int or all str, and their indices 0 … V - 1.

    Args:
        ids: The raw ids in the order of their indices.

    Raises:
        ValueError: If the ids mix types, or one stands twice.
    """

    def __init__(self, ids: Iterable[int] | Iterable[str]) -> None:
        self.ids: list[int | str] = list(ids)
        kinds = {type(i) for i in self.ids}
        if not (kinds <= {int} or kinds <= {str}):
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise ValueError(f"Vocabulary: ids must be all int or all str (got {names})")
        self._index = {raw: i for i, raw in enumerate(self.ids)}
        if len(self._index) != len(self.ids):
            twice = next(raw for i, raw in enumerate(self.ids) if self._index[raw] != i)
            raise ValueError(f"Vocabulary: id {twice!r} stands twice")

    def __len__(self) -> int:
        """Number of items."""
        return len(self.ids)

    def __contains__(self, raw: object) -> bool:
        """Whether the raw id is known."""
        return raw in self._index

    def encode(self, ids: Iterable[int | str]) -> list[int]:
        """Indices of raw ids; -1 stands for an unknown one."""
        return [self._index.get(raw, -1) for raw in ids]

    def decode(self, index: Iterable[int]) -> list[int | str]:
        """Raw ids of indices.

        Raises:
            IndexError: If an index lies outside the catalogue, as the -1 of an unknown item does.
        """
        index = list(index)
        if index and not 0 <= min(index) <= max(index) < len(self):
            raise IndexError(
                f"Vocabulary: indices must lie in 0 … {len(self) - 1} "
                f"(got {min(index)} … {max(index)})"
            )
        return [self.ids[i] for i in index]

    def save(self, path: str | Path) -> None:
        """Write the ids as a JSON list."""
        with written_aside(path) as aside:
            aside.write_text(json.dumps(self.ids), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what :meth:`save` wrote."""
        return cls(json.loads(Path(path).read_text(encoding="utf-8")))

    def __eq__(self, other: object) -> bool:
        """Whether both number the same ids alike."""
        return isinstance(other, Vocabulary) and self.ids == other.ids

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Short description with the number of items."""
        return f"Vocabulary({len(self)})"
