"""Reads raw ids from what a caller gives: a list, an array, a tensor, a series."""

from __future__ import annotations

from typing import Any


def values_of(given: Any, name: str, expected: str) -> list[Any]:
    """The values of any collection, of an array or a tensor as Python's own.

    Raises:
        TypeError: If it is none; a text is one value.
    """
    values = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be {expected} (got {given!r})")
    return list(values)


def ids_of(given: Any, name: str, example: str = "") -> list[int | str]:
    """Raw ids of any collection.

    Raises:
        TypeError: If it is none, or holds something else.
    """
    expected = f"a list of raw ids{example}"
    ids = values_of(given, name, expected)
    ids = [raw.item() if getattr(raw, "ndim", None) == 0 else raw for raw in ids]
    for raw in ids:
        # A truth value would count as the id 0 or 1, and a mask is no list of ids.
        if isinstance(raw, bool) or (hasattr(raw, "__iter__") and not isinstance(raw, str)):
            raise TypeError(f"{name} must be {expected} (got {raw!r} in it)")
    return ids
