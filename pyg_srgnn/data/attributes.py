"""Attributes of items: columns of numbers, texts, truth values or lists of texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.data.vocabulary import Vocabulary

Label = str | bool | float


@dataclass(frozen=True, eq=False)
class Labels:
    """A column of labels, of which an item has none, one, or of a column of lists several.

    Args:
        kind: What the values are: ``"texts"``, ``"truth values"``, ``"lists of texts"`` or
            ``"numbers"``.
        values: The different labels, in the order of their codes.
        rows: The item of each label that an item has, int64 [m].
        codes: And the label, int64 [m].
        count: Number of items n.
    """

    kind: str
    values: list[Any]
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    count: int

    @property
    def empty(self) -> bool:
        """Whether no item has a label."""
        return len(self.rows) == 0

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """The code of each item's first label, -1 of an item without one [n]."""
        codes = np.full(self.count, -1)
        codes[self.rows[::-1]] = self.codes[::-1]
        return codes

    @cached_property
    def index(self) -> dict[Label, int]:
        """The code of each label."""
        return {value: code for code, value in enumerate(self.values)}

    def replaced(self, rows: NDArray[np.int64], given: Labels, count: int) -> Labels:
        """The column of more items, where some have what another column gives them.

        Args:
            rows: The items whose labels are replaced [r].
            given: Their labels, of r items.
            count: Number of items.
        """
        values = list(dict.fromkeys(chain(self.values, given.values)))
        index = {value: code for code, value in enumerate(values)}
        codes = np.array([index[value] for value in given.values], np.int64)[given.codes]
        kept = ~np.isin(self.rows, rows)
        # A value that no item has any more is forgotten.
        used, codes = np.unique(np.concatenate([self.codes[kept], codes]), return_inverse=True)
        there = np.concatenate([self.rows[kept], rows[given.rows]])
        return Labels(self.kind, [values[code] for code in used], there, codes, count)


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column of numbers.

    Args:
        values: The number of each item, NaN of an item without one, float64 [n].
    """

    values: NDArray[np.float64]
    kind = "numbers"

    @property
    def empty(self) -> bool:
        """Whether no item has a number."""
        return bool(np.isnan(self.values).all())

    @cached_property
    def labels(self) -> Labels:
        """The numbers as labels, as a category that is written as a number is one."""
        rows = np.flatnonzero(~np.isnan(self.values))
        different, codes = np.unique(self.values[rows], return_inverse=True)
        return Labels("numbers", different.tolist(), rows, codes, len(self.values))

    def replaced(self, rows: NDArray[np.int64], given: Numbers, count: int) -> Numbers:
        """As :meth:`Labels.replaced`."""
        values = np.full(count, np.nan)
        values[: len(self.values)] = self.values
        values[rows] = given.values
        return Numbers(values)


class ItemAttributes:
    """What is known of items by their raw ids: columns with a value for each item, or none.

    The values of a column are numbers, texts, truth values or lists of texts. None, NaN, an empty
    text and an empty list are no value. An instance never changes.

    Args:
        ids: Raw ids, each once [n].
        columns: Values of each column [n], by its name.
        source: Where they are from, which errors name. (default: ``"attributes"``)

    Raises:
        ValueError: If an id is given twice, a column has not one value for each id, or values of
            different kinds; names the column and the id.

    Example:
        >>> attributes = ItemAttributes([7, 9], {"category": ["shoes", None], "price": [20, 3.5]})
        >>> attributes
        ItemAttributes(2 items, category: texts, price: numbers)
        >>> attributes.labels("category").first.tolist()
        [0, -1]
    """

    def __init__(
        self,
        ids: Iterable[int | str],
        columns: Mapping[str, Iterable[Any]],
        source: str = "attributes",
    ) -> None:
        self.ids: list[int | str] = _plain(ids)
        self.source = source
        if len(self.index) < len(self.ids):
            twice = next(raw for row, raw in enumerate(self.ids) if self.index[raw] != row)
            raise ValueError(f"{source}: the id {twice!r} is given twice")
        self.columns = {
            name: _column(f"{source}: the column {name!r}", self.ids, _plain(values))
            for name, values in columns.items()
        }

    def __len__(self) -> int:
        """Number of items n."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Number of items, and kind of each column."""
        kinds = "".join(f", {name}: {column.kind}" for name, column in self.columns.items())
        return f"ItemAttributes({len(self)} items{kinds})"

    @cached_property
    def index(self) -> dict[int | str, int]:
        """The row of each id."""
        return dict(zip(self.ids, range(len(self.ids)), strict=True))

    def column(self, name: str) -> Numbers | Labels:
        """A column by its name.

        Raises:
            ValueError: If there is none; names those that there are.
        """
        if name not in self.columns:
            there = ", ".join(map(repr, self.columns)) or "none"
            raise ValueError(f"{self.source}: there is no column {name!r}; the columns are {there}")
        return self.columns[name]

    def labels(self, name: str) -> Labels:
        """A column as labels, in which every different number is one.

        Raises:
            ValueError: If there is no such column.
        """
        column = self.column(name)
        return column.labels if isinstance(column, Numbers) else column

    def rows(self, vocabulary: Vocabulary) -> NDArray[np.int64]:
        """The row of each item of a vocabulary, -1 of one without attributes [V]."""
        found = map(self.index.get, vocabulary.ids)
        return np.array([-1 if row is None else row for row in found], np.int64)

    def like(self, vocabulary: Vocabulary) -> ItemAttributes:
        """The same with ids of the vocabulary's type; see :meth:`Vocabulary.like`.

        Raises:
            ValueError: If two ids become the same, as ``"7"`` and ``"007"`` do.
        """
        ids = vocabulary.like(self.ids)
        if ids == self.ids:
            return self
        made = ItemAttributes(ids, {}, self.source)
        made.columns = self.columns
        return made

    def updated(
        self, ids: Iterable[int | str], columns: Mapping[str, Iterable[Any]]
    ) -> ItemAttributes:
        """The same with other values of some items in some columns; all others stay.

        Args:
            ids: Raw ids, known or new, each once [r].
            columns: Values [r] of columns that are there or new, by name; None takes a value away.

        Raises:
            ValueError: If an id is given twice, or values are of another kind than their column.
        """
        given = ItemAttributes(ids, columns, self.source)
        new = [raw for raw in given.ids if raw not in self.index]
        made = copy(self)
        made.columns = dict(self.columns)
        if new:
            made.ids = [*self.ids, *new]
            made.index = self.index | {raw: len(self) + i for i, raw in enumerate(new)}
            for name, column in self.columns.items():
                nobody = _blank(column.kind, 0)
                made.columns[name] = column.replaced(np.empty(0, np.int64), nobody, len(made))
        rows = np.array([made.index[raw] for raw in given.ids], np.int64)
        there: Any  # of the kind of the cells
        for name, cells in given.columns.items():
            there = self.columns.get(name)
            if there is None or there.empty:
                there = _blank(cells.kind, len(made))
            elif cells.empty:
                cells = _blank(there.kind, len(given))
            elif there.kind != cells.kind:
                raise ValueError(
                    f"{self.source}: the column {name!r} holds {there.kind} (got {cells.kind})"
                )
            made.columns[name] = there.replaced(rows, cells, len(made))
        return made


def _plain(values: Any) -> list[Any]:
    """The values of any collection, of an array, a tensor or a series as Python's own."""
    for name in ("to_list", "tolist"):
        if hasattr(values, name):
            values = getattr(values, name)()
    return list(values)


def _blank(kind: str, count: int) -> Any:
    """A column without a value."""
    if kind == "numbers":
        return Numbers(np.full(count, np.nan))
    return Labels(kind, [], np.empty(0, np.int64), np.empty(0, np.int64), count)


def _column(what: str, ids: Sequence[int | str], values: list[Any]) -> Numbers | Labels:
    """A column of values of one kind."""
    if len(values) != len(ids):
        raise ValueError(f"{what} has {len(values):,} values, expected {len(ids):,}, one an id")
    kinds = set(map(type, values)) - {type(None)}
    if kinds and kinds <= {int, float}:
        return _numbers(what, ids, values)
    if kinds <= {str}:
        return _labels("texts", [[value] if value else [] for value in values])
    if kinds == {bool}:
        return _labels("truth values", [[] if value is None else [value] for value in values])
    if kinds == {list}:
        lists = [[one for one in value or () if one is not None] for value in values]
        fits = [set(map(type, each)) <= {str} for each in lists]
        if all(fits):
            each_once = [list(dict.fromkeys(filter(None, each))) for each in lists]
            return _labels("lists of texts", each_once)
        wrong = fits.index(False)
        raise ValueError(f"{what} expects lists of texts (got {values[wrong]!r} of {ids[wrong]!r})")
    shown = {type(value): f"{value!r} of {raw!r}" for raw, value in zip(ids, values, strict=True)}
    shown.pop(type(None), None)
    raise ValueError(
        f"{what} expects values of one kind: numbers, texts, truth values or lists of texts (got "
        f"{', '.join(shown.values())})"
    )


def _numbers(what: str, ids: Sequence[int | str], values: list[Any]) -> Numbers:
    numbers = np.array([math.nan if value is None else value for value in values], np.float64)
    if np.isinf(numbers).any():
        row = int(np.isinf(numbers).argmax())
        raise ValueError(f"{what} expects finite numbers (got {values[row]!r} of {ids[row]!r})")
    return Numbers(numbers)


def _labels(kind: str, lists: list[list[Any]]) -> Labels:
    """The labels of items that have a list of them each."""
    flat = list(chain.from_iterable(lists))
    values = list(dict.fromkeys(flat))
    index = {value: code for code, value in enumerate(values)}
    codes = np.fromiter(map(index.__getitem__, flat), np.int64, len(flat))
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return Labels(kind, values, np.arange(len(lists)).repeat(lengths), codes, len(lists))
