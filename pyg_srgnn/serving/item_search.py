"""Finds items by id and name while somebody types."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

import numpy as np
from torch import Tensor

from pyg_srgnn.data.vocabulary import Vocabulary

_CHUNK = 1 << 20  # bytes searched at a time; other threads get a turn between two
_LOOKED_AT = 1000  # matches from which the best are chosen


class ItemSearch:
    """Finds items whose id or name contains a text, ignoring case.

    All ids and names are one text, one item per line, the most popular one first. It is searched
    without an index, in some milliseconds for a million items.

    Args:
        vocabulary: The catalogue.
        popularity: Each item's share of the clicks [V]; popular items are found first.
        names: Names of items. (default: none have one)
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        popularity: Tensor,
        names: Mapping[int | str, str] | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.order: list[int] = popularity.argsort(descending=True, stable=True).tolist()
        names = names or {}
        ids = vocabulary.ids
        lines = [_line(ids[i], names.get(ids[i], "")) for i in self.order]
        self._text = b"".join(lines)
        self._ends = np.cumsum([len(line) for line in lines])  # the position after each line

    def with_items(
        self, vocabulary: Vocabulary, names: Mapping[int | str, str] | None = None
    ) -> ItemSearch:
        """A search of more items, which follow in the vocabulary and have no clicks.

        Args:
            vocabulary: The catalogue with the new items at its end.
            names: Names of items. (default: none have one)
        """
        names = names or {}
        known = len(self.vocabulary)
        lines = [_line(raw, names.get(raw, "")) for raw in vocabulary.ids[known:]]
        found = copy(self)
        found.vocabulary = vocabulary
        found.order = [*self.order, *range(known, len(vocabulary))]
        found._text = self._text + b"".join(lines)
        ends = np.cumsum([len(line) for line in lines], dtype=np.int64) + len(self._text)
        found._ends = np.concatenate([self._ends, ends])
        return found

    def __call__(self, query: str, limit: int) -> list[int | str]:
        """The best matches, raw ids.

        First the item with this id, then ids and names that begin with the text, then names with a
        word that does, then the rest; more popular items first among equals. The best are chosen
        from the first thousand matches. An empty text matches every item.
        """
        wanted = _folded(query)
        if not wanted:
            return self.vocabulary.decode(self.order[:limit])
        ranked = sorted(self._matches(wanted))  # stable pairs: rank, line
        found = self.vocabulary.decode(self.order[line] for _, line in ranked[:limit])
        exact = [raw for raw in _readings(query.strip()) if raw in self.vocabulary]
        return list(dict.fromkeys([*exact, *found]))[:limit]

    def _matches(self, wanted: bytes) -> list[tuple[int, int]]:
        """Rank and line of the first lines that contain a text."""
        found: list[tuple[int, int]] = []
        start = 0
        while start < len(self._text) and len(found) < _LOOKED_AT:
            at = self._text.find(wanted, start, start + _CHUNK + len(wanted))
            if at < 0:
                start += _CHUNK
                continue
            line = int(np.searchsorted(self._ends, at, side="right"))
            end = int(self._ends[line])
            begin = int(self._ends[line - 1]) if line else 0
            held = self._text[begin:end]
            if held.startswith(wanted) or b"\t" + wanted in held:
                rank = 0
            else:
                rank = 1 if b" " + wanted in held else 2
            found.append((rank, line))
            start = end
        return found


def _line(raw: int | str, name: str) -> bytes:
    return _folded(str(raw)) + b"\t" + _folded(name) + b"\n"


def _folded(text: str) -> bytes:
    """Normalise case and white space; an unpaired surrogate is no error."""
    return " ".join(text.casefold().split()).encode(errors="surrogatepass")


def _readings(text: str) -> list[int | str]:
    """The ids that a typed text may stand for."""
    digits = text.removeprefix("-")
    return [int(text), text] if digits.isdecimal() and len(digits) < 20 else [text]
