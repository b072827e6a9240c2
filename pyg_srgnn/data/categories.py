"""Categories of a catalogue's items: the values of some columns of their attributes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_srgnn.data.attributes import ItemAttributes, Label
from pyg_srgnn.data.vocabulary import Vocabulary


class TrainedCategories(NamedTuple):
    """The categories that a model learns of: those of items that were clicked in training."""

    codes: Tensor
    """The value of each item in each column, -1 of none and of one that training lacks [V, C]."""
    values: dict[str, list[str]]
    """The values of each column, in the order of their codes."""

    @property
    def sizes(self) -> list[int]:
        """Number of values of each column [C]."""
        return [len(names) for names in self.values.values()]


@dataclass(frozen=True, eq=False)
class Categories:
    """The values that a catalogue's items have in some columns; of a list of texts, the first one.

    Args:
        source: Where they are from, which errors name.
        names: The values of each column, sorted.
        codes: The value of each item in each column, -1 of one without, int64 [V, C].
        others: Number of ids that are not in the catalogue. (default: 0)
    """

    source: str
    names: dict[str, list[str]]
    codes: NDArray[np.int64]
    others: int = 0

    @classmethod
    def of(
        cls, attributes: ItemAttributes, columns: Sequence[str], vocabulary: Vocabulary
    ) -> Categories:
        """Take columns of attributes.

        Args:
            attributes: The attributes, also of other items.
            columns: Names of the columns. Every different number is a value of its own.
            vocabulary: The catalogue, V items.

        Raises:
            ValueError: If there is no such column, no id is in the catalogue, or no item of the
                catalogue has a value in a column.
        """
        attributes = attributes.like(vocabulary)
        row = attributes.rows(vocabulary)
        there = row >= 0
        if not there.any():
            found = ", ".join(map(repr, attributes.ids[:3])) or "none"
            wanted = ", ".join(map(repr, vocabulary.ids[:3]))
            raise ValueError(
                f"{attributes.source}: none of its ids is in the catalogue (found: {found}; "
                f"expected such as: {wanted})"
            )
        names: dict[str, list[str]] = {}
        codes = np.full((len(vocabulary), len(columns)), -1)
        for number, column in enumerate(columns):
            labels = attributes.labels(column)
            of_item = np.where(there, labels.first[row], -1)
            used = np.unique(of_item[of_item >= 0])
            if not len(used):
                raise ValueError(
                    f"{attributes.source}: no item of the catalogue has a value in the column "
                    f"{column!r}"
                )
            written = [_written(labels.values[code]) for code in used]
            order = sorted(range(len(used)), key=written.__getitem__)
            names[column] = [written[place] for place in order]
            place_of = np.full(len(labels.values) + 1, -1)  # the last one is that of none
            place_of[used[order]] = np.arange(len(used))
            codes[:, number] = place_of[of_item]
        return cls(attributes.source, names, codes, len(attributes) - int(there.sum()))

    def __str__(self) -> str:
        """One line of a log."""
        known = int((self.codes >= 0).any(axis=1).sum())
        columns = ", ".join(f"{name} ({len(values):,})" for name, values in self.names.items())
        others = f"; ids that are not in the catalogue: {self.others:,}" if self.others else ""
        return f"{known:,} of {len(self.codes):,} items, values of {columns}{others}"

    @cached_property
    def content(self) -> str:
        """The sha256 of the values of the catalogue's items, in hexadecimal."""
        digest = hashlib.sha256(json.dumps(self.names).encode())
        digest.update(self.codes.astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides what a model knows of them, as plain values."""
        return {"columns": list(self.names), "content": self.content}

    def facts(self, trained: TrainedCategories) -> dict[str, Any]:
        """What describes them in a checkpoint, as plain values.

        ``source``, ``columns``, ``content`` (the sha256 of the catalogue's values), ``values`` (of
        each column, those that the model knows) and ``items`` (how many have one).
        """
        known = int((trained.codes >= 0).any(dim=1).sum())
        return {
            "source": self.source,
            **self.fingerprint,
            "values": list(trained.values.values()),
            "items": known,
        }

    def trained(self, clicks: Tensor) -> TrainedCategories:
        """The values that training has.

        Args:
            clicks: Clicks of each item in training [V].

        Raises:
            ValueError: If a column has none.
        """
        clicked = clicks.numpy() > 0
        codes = np.full_like(self.codes, -1)
        values: dict[str, list[str]] = {}
        for number, (column, names) in enumerate(self.names.items()):
            of_item = self.codes[:, number]
            used = np.unique(of_item[clicked & (of_item >= 0)])
            if not len(used):
                raise ValueError(
                    f"{self.source}: no item of the training sessions has a value in the column "
                    f"{column!r}"
                )
            place_of = np.full(len(names) + 1, -1)
            place_of[used] = np.arange(len(used))
            codes[:, number] = place_of[of_item]
            values[column] = [names[code] for code in used]
        return TrainedCategories(torch.from_numpy(codes), values)


def _written(value: Label) -> str:
    """A value as a name: whole numbers without a point, truth values in small letters."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
