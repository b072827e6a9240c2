"""Reads a file of item attributes: category, brand, price, whether it is in stock, tags."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.text.tables import TABLES, holds_texts, id_column_of, ids_of, is_table, read_table

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)

_NUMBER = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$"  # no number: 007, 3,50 and $5


def read_attributes(path: str | Path, id_column: str | None = None) -> ItemAttributes:
    """Read the attributes of items, a row for each, with its id and any other columns.

    The file is ``.csv``, ``.tsv`` or ``.jsonl``, each also ``.gz`` or ``.zst``, or Parquet. A
    column of CSV or TSV whose values are all numbers, or all true or false, holds these, any other
    one texts. Columns of lists of numbers and of objects are left out. What is read is logged.

    Args:
        path: The file.
        id_column: The column of the ids. (default: guessed by its name)

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it cannot be read, Polars is not installed, an id is empty or stands twice,
            or a column has values of different kinds.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    if find_spec("polars") is None:
        raise ValueError(
            f"{path}: reading attributes needs the package polars, which is not installed"
        )
    if not is_table(path):
        raise ValueError(
            f"{path}: a file of attributes ends in {', '.join(TABLES)} (all but .parquet also in "
            f".gz or .zst)"
        )
    table = read_table(path)
    name = id_column_of(path, table, id_column, "attributes_id")
    read = {
        other: _plain(table[other], holds_texts(path)) for other in table.columns if other != name
    }
    columns = {other: column for other, column in read.items() if column is not None}
    found = ItemAttributes(ids_of(path, table[name]), columns, str(path))
    kinds = ", ".join(f"{other} ({column.kind})" for other, column in found.columns.items())
    left_out = [other for other, column in read.items() if column is None]
    log.info(
        *("%s: id=%s%s, attributes %s%s", path, name, "" if id_column else " (guessed)"),
        *(kinds or "none", f"; left out: {', '.join(left_out)}" if left_out else ""),
    )
    return found


def attribute_vectors(attributes: ItemAttributes, column: str, vocabulary: Vocabulary) -> Tensor:
    """A vector of each item's values in a column of its attributes, a place for every value [V, C].

    The cosine of two items is the share of the values that they have in common: of a category,
    which an item has one of, 1 of the same and 0 of another one.

    Args:
        attributes: The attributes.
        column: The column.
        vocabulary: The items.

    Raises:
        ValueError: If there is no such column, or no item has a value in it.
    """
    attributes = attributes.like(vocabulary)
    labels, rows = attributes.labels(column), attributes.rows(vocabulary)
    items = np.full(len(attributes), -1)
    items[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
    of, known = items[labels.rows], items[labels.rows] >= 0
    if not known.any():
        raise ValueError(
            f"{attributes.source}: no item of the catalogue has a value in column {column!r}"
        )
    vectors = torch.zeros(len(vocabulary), len(labels.values))
    vectors[torch.from_numpy(of[known]), torch.from_numpy(labels.codes[known])] = 1
    return vectors


def open_attributes(
    path: str | None, id_column: str | None, columns: Sequence[str]
) -> ItemAttributes | None:
    """The attributes that the keys of a command name; None where they name no file.

    Args:
        path: The key ``attributes``.
        id_column: The key ``attributes_id``.
        columns: Columns that there must be.

    Raises:
        ValueError: If the file is missing or cannot be read, or lacks a column.
    """
    if path is None:
        return None
    try:
        found = read_attributes(path, id_column)
    except FileNotFoundError as error:
        raise ValueError(f"attributes={path}: {error}") from error
    for name in columns:
        found.column(name)
    return found


def _plain(column: pl.Series, written: bool) -> pl.Series | None:
    """A column of numbers, texts, truth values or lists of texts; None of anything else.

    Args:
        column: The column.
        written: Whether it is of a file in which all values are texts.
    """
    import polars as pl

    kind = column.dtype
    if kind in (pl.Categorical, pl.Enum) or kind.is_temporal():
        column = column.cast(pl.String)
    elif kind.is_decimal():
        column = column.cast(pl.Float64)
    elif isinstance(kind, pl.List) and kind.inner in (pl.Categorical, pl.Enum):
        column = column.cast(pl.List(pl.String))
    elif not (kind.is_numeric() or kind in (pl.String, pl.Boolean, pl.Null, pl.List(pl.String))):
        return None
    if column.dtype != pl.String:
        return column
    column = column.str.strip_chars()
    there = column.filter(column != "").drop_nulls()
    if not written or there.is_empty():
        return column
    if bool(there.str.contains(_NUMBER).all()):
        return column.replace("", None).cast(pl.Float64)
    if bool(there.str.to_lowercase().is_in(["true", "false"]).all()):
        return column.str.to_lowercase().replace_strict(
            {"true": True, "false": False, "": None}, return_dtype=pl.Boolean
        )
    return column
