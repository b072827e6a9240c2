"""The vocabulary: raw item ids and their indices."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from itertools import chain
from pathlib import Path

from pyg_srgnn.utils.files import write_text


class Vocabulary:
    """The catalogue: raw item ids, all int or all str, and their indices 0 … V - 1.

    Args:
        ids: The raw ids in the order of their indices.

    Raises:
        ValueError: If the ids mix types, or one appears twice.

    Example:
        >>> vocabulary = Vocabulary(["hat", "shirt", "shoe"])
        >>> vocabulary.encode(["shoe", "hat", "sock"])
        [2, 0, -1]
        >>> vocabulary.decode([2, 0])
        ['shoe', 'hat']
    """

    def __init__(self, ids: Iterable[int] | Iterable[str]) -> None:
        self.ids: list[int | str] = list(ids)
        kinds = set(map(type, self.ids))
        if not (kinds <= {int} or kinds <= {str}):
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise ValueError(f"Vocabulary: ids must be all int or all str (got {names})")
        if len(set(self.ids)) != len(self.ids):
            twice = next(raw for i, raw in enumerate(self.ids) if self._index[raw] != i)
            raise ValueError(f"Vocabulary: id {twice!r} stands twice")

    @cached_property
    def _index(self) -> dict[int | str, int]:
        # Made when first asked for: training on a prepared dataset never looks an id up.
        return dict(zip(self.ids, range(len(self.ids)), strict=True))

    def __len__(self) -> int:
        """Number of items."""
        return len(self.ids)

    def __contains__(self, raw: object) -> bool:
        """Whether the raw id is known."""
        return raw in self._index

    def encode(self, ids: Iterable[int | str]) -> list[int]:
        """Indices of raw ids; -1 for unknown ones."""
        index = self._index
        return [index.get(raw, -1) for raw in ids]

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

    def like(self, ids: Iterable[int | str]) -> list[int | str]:
        """Raw ids, known or not, of the vocabulary's type.

        Of text, whole numbers are written out: 7 is ``"7"``, and no ``"007"``. Of whole numbers,
        texts that are one are read: ``"7"`` and ``"007"`` are 7; other texts stay.
        """
        if self.ids and type(self.ids[0]) is int:
            return list(map(_whole, ids))
        return list(map(str, ids))

    def extend(self, ids: Iterable[int] | Iterable[str]) -> Vocabulary:
        """A vocabulary with more ids: known ones keep their index, new ones follow at the end.

        Args:
            ids: Raw ids of the same type, known or new, each any number of times; the new ones
                are numbered in the order of their first appearance.

        Raises:
            ValueError: If the ids are of another type.
        """
        return Vocabulary(dict.fromkeys(chain(self.ids, ids)))  # type: ignore[arg-type]

    def save(self, path: str | Path) -> None:
        """Write the ids as a JSON list."""
        write_text(path, json.dumps(self.ids))

    @classmethod
    def load(cls, path: str | Path, data: bytes | None = None) -> Vocabulary:
        """Read what :meth:`save` wrote.

        Args:
            path: The file.
            data: What it holds, where that has been read. (default: None, it is read)

        Raises:
            ValueError: If the file is no JSON list of ids.
        """
        ids = json.loads((Path(path).read_bytes() if data is None else data).decode("utf-8"))
        if not isinstance(ids, list):
            raise ValueError(f"{path}: expected a JSON list of ids (got a {type(ids).__name__})")
        return cls(ids)

    def __eq__(self, other: object) -> bool:
        """Whether both number the same ids alike."""
        return isinstance(other, Vocabulary) and self.ids == other.ids

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Short description with the number of items."""
        return f"Vocabulary({len(self)})"


def _whole(raw: int | str) -> int | str:
    """A whole number, if the id is one or the text of one."""
    if isinstance(raw, str) and raw.isascii() and raw.removeprefix("-").isdecimal():
        return int(raw) if len(raw) < 1000 else raw
    return raw
