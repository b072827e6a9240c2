"""The texts of items, or ready-made vectors of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.utils.arguments import checking


@dataclass(frozen=True, eq=False)
class ItemTexts:
    """What is known of items by their raw ids: texts, or vectors that somebody made of them.

    Args:
        ids: Raw ids. One that stands twice has one text, or one vector; it is kept once.
        source: Where they are from: a file, or the name of a dataset.
        texts: The text of each id, None where there is none. (default: None, there are vectors)
        vectors: The vector of each id, finite and not all zero, float32 [n, F].
            (default: None, there are texts)
        columns: Names of the columns that they were made of. (default: none)

    Raises:
        ArgumentError: If not exactly one of texts and vectors is given, or not one for each id.
        ValueError: If an id has two texts or vectors; names it with both.
    """

    ids: list[int | str]
    source: str
    texts: list[str | None] | None = None
    vectors: NDArray[np.float32] | None = None
    columns: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check that they belong together, and keep each id once."""
        with checking(self) as check:
            either = (self.texts is None) is not (self.vectors is None)
            if check.that(either, "vectors", "given exactly if texts are not", self.vectors):
                check.that(len(self) == len(self.ids), "ids", f"{len(self):,} ids", len(self.ids))
        kept = self._first_rows()
        if len(kept) < len(self.ids):
            # A frozen dataclass has no other way to set its fields.
            object.__setattr__(self, "ids", [self.ids[row] for row in kept])
            if self.texts is not None:
                object.__setattr__(self, "texts", [self.texts[row] for row in kept])
            if self.vectors is not None:
                object.__setattr__(self, "vectors", self.vectors[kept])

    def __len__(self) -> int:
        """Number of texts, or vectors."""
        return len(self.texts or ()) if self.vectors is None else len(self.vectors)

    @cached_property
    def content(self) -> str:
        """The sha256 of ids and texts, or of ids and vectors, in hexadecimal."""
        digest = hashlib.sha256(json.dumps([self.ids, self.texts]).encode())
        if self.vectors is not None:
            digest.update(self.vectors.astype("<f4").tobytes())
        return digest.hexdigest()

    def like(self, vocabulary: Vocabulary) -> ItemTexts:
        """The same with ids of the vocabulary's type; see :meth:`Vocabulary.like`."""
        return replace(self, ids=vocabulary.like(self.ids))

    def _first_rows(self) -> list[int]:
        """The row of each id; one with a text before those without."""
        first: dict[int | str, int] = {}
        for row, raw in enumerate(self.ids):
            one = first.setdefault(raw, row)
            if one == row:
                continue
            if self.vectors is not None:
                if not np.array_equal(self.vectors[one], self.vectors[row]):
                    raise ValueError(
                        f"{self.source}: the id {raw!r} has two vectors, in rows {one + 1:,} and "
                        f"{row + 1:,}"
                    )
            elif self.texts is not None and self.texts[one] != self.texts[row]:
                there, here = self.texts[one], self.texts[row]
                if there is None:
                    first[raw] = row
                elif here is not None:
                    raise ValueError(
                        f"{self.source}: the id {raw!r} has two texts, {there!r} and {here!r}"
                    )
        return list(first.values())
