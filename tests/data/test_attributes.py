"""Attributes of items: kinds of columns, replaced values, and what is wrong about them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from pyg_srgnn.data.attributes import ItemAttributes, Labels, Numbers
from pyg_srgnn.data.vocabulary import Vocabulary

IDS = ["a", "b", "c", "d"]
COLUMNS: dict[str, list[Any]] = {
    "category": ["shoes", "hats", None, "shoes"],
    "price": [20, 3.5, None, math.nan],
    "in_stock": [True, None, False, True],
    "tags": [["new", "red"], [], None, ["red", None, ""]],
    "nothing": [None, None, None, None],
}


def cells(attributes: ItemAttributes, name: str) -> list[Any]:
    """The values of a column, by a loop."""
    column = attributes.column(name)
    if isinstance(column, Numbers):
        return [None if math.isnan(value) else value for value in column.values]
    assert isinstance(column, Labels) and column.count == len(attributes)
    found: list[list[Any]] = [[] for _ in attributes.ids]
    for row, code in zip(column.rows, column.codes, strict=True):
        found[row].append(column.values[code])
    if column.kind == "lists of texts":
        return found
    assert all(len(each) < 2 for each in found)
    return [each[0] if each else None for each in found]


def test_kinds_of_columns() -> None:
    attributes = ItemAttributes(IDS, COLUMNS)
    assert {name: column.kind for name, column in attributes.columns.items()} == {
        "category": "texts",
        "price": "numbers",
        "in_stock": "truth values",
        "tags": "lists of texts",
        "nothing": "texts",
    }
    assert cells(attributes, "category") == ["shoes", "hats", None, "shoes"]
    assert cells(attributes, "price") == [20, 3.5, None, None]
    assert cells(attributes, "in_stock") == [True, None, False, True]
    assert cells(attributes, "tags") == [["new", "red"], [], [], ["red"]]
    assert attributes.column("nothing").empty and not attributes.column("price").empty


def test_arrays_tensors_and_series_are_columns() -> None:
    pl = pytest.importorskip("polars")
    columns = {"n": np.array([1, 2]), "t": torch.tensor([1.5, 2]), "s": pl.Series(["x", "y"])}
    attributes = ItemAttributes(np.array([3, 4]), columns)
    assert attributes.ids == [3, 4] and cells(attributes, "s") == ["x", "y"]
    assert cells(attributes, "n") == [1, 2] and cells(attributes, "t") == [1.5, 2]


def test_labels_of_any_column() -> None:
    attributes = ItemAttributes(IDS, COLUMNS)
    assert attributes.labels("category").first.tolist() == [0, 1, -1, 0]
    assert attributes.labels("tags").first.tolist() == [0, -1, -1, 1]
    prices = attributes.labels("price")
    assert (prices.values, prices.first.tolist()) == ([3.5, 20], [1, 0, -1, -1])


def test_rows_of_a_vocabulary() -> None:
    attributes = ItemAttributes(IDS, COLUMNS)
    assert attributes.rows(Vocabulary(["d", "x", "a"])).tolist() == [3, -1, 0]
    assert ItemAttributes(["7", 8], {}).like(Vocabulary([1])).ids == [7, 8]
    with pytest.raises(ValueError, match="attributes: the id 7 is given twice"):
        ItemAttributes(["7", "007"], {}).like(Vocabulary([1]))


def reference(
    before: ItemAttributes, ids: list[str], columns: Mapping[str, list[Any]]
) -> dict[str, dict[str, Any]]:
    """The cells after an update, by loops."""
    names = dict.fromkeys([*before.columns, *columns])
    table = {name: dict.fromkeys([*before.ids, *ids]) for name in names}
    for name in before.columns:
        table[name] |= dict(zip(before.ids, cells(before, name), strict=True))
    for name, values in columns.items():
        table[name] |= dict(zip(ids, values, strict=True))
    return table


@pytest.mark.parametrize(
    ("ids", "columns"),
    [
        (["c", "a"], {"category": ["bags", None], "price": [None, 7]}),
        (["b"], {"in_stock": [False], "tags": [["sale", "new"]]}),
        (["new", "b"], {"price": [1, 2], "brand": ["Acme", None]}),
        (["a"], {"nothing": [3]}),
        (["d", "e"], {"tags": [None, ["x"]], "category": [None, None]}),
        ([], {}),
    ],
)
def test_replaced_values(ids: list[str], columns: dict[str, list[Any]]) -> None:
    before = ItemAttributes(IDS, COLUMNS)
    after = before.updated(ids, columns)
    wanted = reference(before, ids, columns)
    assert set(after.columns) == set(wanted)
    for name, values in wanted.items():
        found = dict(zip(after.ids, cells(after, name), strict=True))
        assert {raw: each or None for raw, each in found.items()} == {
            raw: each or None for raw, each in values.items()
        }
    assert cells(before, "price") == [20, 3.5, None, None]
    assert len(before) == 4


def test_values_that_no_item_has_any_more_are_forgotten() -> None:
    found = ItemAttributes(["a", "b"], {"promo": ["week 1", "all"], "tags": [["x", "x"], ["y"]]})
    assert cells(found, "tags") == [["x"], ["y"]]
    for week in range(2, 5):
        found = found.updated(["a"], {"promo": [f"week {week}"]})
    assert sorted(found.labels("promo").values) == ["all", "week 4"]


def test_a_column_keeps_its_kind() -> None:
    attributes = ItemAttributes(IDS, COLUMNS, "items.csv")
    message = "items.csv: the column 'price' holds numbers (got texts)"
    with pytest.raises(ValueError, match=re.escape(message)):
        attributes.updated(["a"], {"price": ["cheap"]})
    cleared = attributes.updated(["a", "b"], {"price": [None, None]})
    assert cleared.column("price").kind == "numbers" and cleared.column("price").empty
    assert cells(cleared.updated(["a"], {"price": ["cheap"]}), "price")[0] == "cheap"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"p": [1, "x", 2]}, "the column 'p' expects values of one kind: .* 'x' of 'b'"),
        ({"p": [1, True, None]}, "expects values of one kind: .*numbers"),
        ({"p": [1, math.inf, 2]}, "the column 'p' expects finite numbers (got inf of 'b')"),
        ({"p": [["x"], None, [3]]}, "expects lists of texts (got [3] of 'c')"),
        ({"p": [{}, None, None]}, "expects values of one kind"),
        ({"p": [1, 2]}, "the column 'p' has 2 values, expected 3, one an id"),
    ],
)
def test_wrong_columns(columns: dict[str, list[Any]], message: str) -> None:
    pattern = message if ".*" in message else re.escape(message)
    with pytest.raises(ValueError, match=pattern):
        ItemAttributes(["a", "b", "c"], columns)


def test_wrong_names() -> None:
    with pytest.raises(ValueError, match="items: the id 'a' is given twice"):
        ItemAttributes(["a", "b", "a"], {}, "items")
    expected = "no column 'colour'; the columns are 'category', 'price', 'in_stock', 'tags'"
    with pytest.raises(ValueError, match=expected):
        ItemAttributes(IDS, COLUMNS).column("colour")
