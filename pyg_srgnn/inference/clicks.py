"""A session of raw ids with the types and times of its clicks, and the user's earlier clicks."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, overload

from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.functional.marks import MICROS, MarkedSession
from pyg_srgnn.inference.raw_ids import ids_of


class UnknownType(ValueError):
    """A click of a type that the model does not know."""


class Clicks(Sequence[int | str]):
    """A session to recommend for, with types and times of its clicks, and earlier clicks.

    A model that does not know them ignores them.

    Args:
        items: Each click as a raw id, in order of time.
        types: The type of each click, such as ``"view"``; None of an unknown one, which counts as
            the first type of ``dataset.events``. (default: all unknown)
        times: When it was, in seconds since any instant; None where that is unknown. (default: all
            unknown)
        earlier: Raw ids of the clicks of the user's earlier sessions, in order of time, of which a
            model takes the last ones; unknown ones are left out. (default: none)

    Raises:
        ValueError: If there are not as many types or times as clicks.
        TypeError: If the items are no collection of ids.

    Example:
        >>> Clicks([17, 4], types=["view", "cart"], times=[0, 42.5])
        Clicks([17, 4], types=['view', 'cart'], times=[0, 42.5])
    """

    def __init__(
        self,
        items: Any,
        types: Sequence[str | None] | None = None,
        times: Sequence[float | None] | None = None,
        earlier: Any = (),
    ) -> None:
        self.earlier = ids_of(earlier, "Clicks: 'earlier'")
        self.items = ids_of(items, "Clicks: 'items'")
        self.types = None if types is None else list(types)
        self.times = None if times is None else list(times)
        for name, marks in (("types", self.types), ("times", self.times)):
            if marks is not None and len(marks) != len(self.items):
                raise ValueError(
                    f"Clicks: {name!r} must have one for each of the {len(self.items)} clicks "
                    f"(got {len(marks)})"
                )

    @overload
    def __getitem__(self, index: int) -> int | str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int | str]: ...
    def __getitem__(self, index: int | slice) -> int | str | Sequence[int | str]:
        """The raw id of a click, or those of several."""
        return self.items[index]

    def __len__(self) -> int:
        """Number of clicks."""
        return len(self.items)

    def __repr__(self) -> str:
        """As it was made."""
        earlier = f", earlier={self.earlier!r}" if self.earlier else ""
        return f"Clicks({self.items!r}, types={self.types!r}, times={self.times!r}{earlier})"


def known_clicks(
    session: Any,
    indices: Sequence[int],
    types: Mapping[str, int],
    vocabulary: Vocabulary,
    collapse: bool = False,
) -> list[int] | MarkedSession:
    """The clicks of a session on known items, with their marks where it has any.

    A pause is since the click before among those that are left, as in training.

    Args:
        session: A :class:`Clicks`, or any collection of raw ids.
        indices: Index of each item, -1 of an unknown one.
        types: The number of each type that the model knows; empty if it knows none.
        vocabulary: The raw ids of the catalogue.
        collapse: Whether an immediate repeat of a click is left out, as it was where the model was
            trained with ``dataset.collapse=true``. (default: False)

    Raises:
        ValueError: If a type is unknown.
    """
    named = session.types if types and isinstance(session, Clicks) else None
    places = [
        place
        for place, index in enumerate(indices)
        if index >= 0 and not (collapse and _is_repeat(place, indices, named))
    ]
    items = [indices[place] for place in places]
    if not isinstance(session, Clicks):
        return items
    events = pauses = None
    check_types(session, types)
    if named is not None:
        events = [0 if (one := named[place]) is None else types[one] for place in places]
    if session.times is not None:
        times = [session.times[place] for place in places]
        pauses = [-1, *map(_pause, times, times[1:])][: len(places)]
    earlier = [index for index in vocabulary.encode(session.earlier) if index >= 0]
    return MarkedSession(items, events, pauses, earlier)


def check_types(clicks: Clicks, types: Collection[str]) -> None:
    """Refuse clicks of a type that the model does not know.

    Args:
        clicks: The session.
        types: The types that the model knows; empty if it knows none, and ignores them.

    Raises:
        UnknownType: If a type is unknown.
    """
    unknown = [one for one in clicks.types or () if one is not None and one not in types]
    if types and unknown:
        raise UnknownType(
            f"the model knows no clicks of the type {unknown[0]!r}; expected {', '.join(types)}"
        )


def _is_repeat(place: int, indices: Sequence[int], types: Sequence[str | None] | None) -> bool:
    """Whether a click repeats the one before; one of an unknown type repeats none."""
    if place == 0 or indices[place] != indices[place - 1]:
        return False
    return types is None or types[place - 1] == types[place] is not None


def _pause(before: float | None, now: float | None) -> int:
    """Whole seconds between two clicks; -1 where a time is unknown."""
    if before is None or now is None or not (math.isfinite(before) and math.isfinite(now)):
        return -1
    return max(0, round(now * MICROS) - round(before * MICROS)) // MICROS
