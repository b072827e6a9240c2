"""Reads a file of item texts, or of vectors that somebody made of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.text.item_texts import ItemTexts
from pyg_srgnn.text.tables import TABLES, id_column_of, ids_of, is_table, no_column, read_table
from pyg_srgnn.text.vector_files import VECTOR_FILES, checked

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)

_SIGNS = r"[-+\d\s.,:/%$€£eETZ]"  # of numbers, amounts of money, and times
_NUMBER_OR_TIME = rf"^{_SIGNS}*\d{_SIGNS}*$"


def read_item_texts(
    path: str | Path, id_column: str | None = None, columns: Sequence[str] | None = None
) -> ItemTexts:
    """Read the texts of items, or vectors of them.

    A table has a row for each item, with its id and columns of text, which are joined as
    ``title. brand. category``; empty parts are left out. It is ``.csv``, ``.tsv`` or ``.jsonl``,
    each also ``.gz`` or ``.zst``, or Parquet. A column of lists of numbers holds ready-made vectors
    instead, as do ``.npy`` (:func:`~pyg_srgnn.text.vector_files.read_npy`) and ``.safetensors``
    (:func:`~pyg_srgnn.text.vector_files.read_safetensors`). Which columns are taken is logged.

    Args:
        path: The file.
        id_column: The column of the ids. (default: guessed by its name)
        columns: The columns of text, or the one of vectors. (default: the only one of vectors, else
            all of text but those that hold nothing but numbers or times)

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it cannot be read, columns are missing, an id is empty or has two texts, or a
            vector is not finite, all zeros, or of another length than the others.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    if read := VECTOR_FILES.get(path.suffix.lower()):
        if id_column or columns:
            raise ValueError(f"{path}: has no columns; text_id and text_columns must be null")
        return read(path)
    if not is_table(path):
        raise ValueError(
            f"{path}: a file of texts ends in {', '.join((*TABLES, *VECTOR_FILES))} (tables also "
            f"in .gz or .zst)"
        )
    table = read_table(path)
    name = id_column_of(path, table, id_column, "text_id")
    ids = ids_of(path, table[name])
    vectors = _vector_column(path, table, columns)
    taken = [vectors] if vectors else _text_columns(path, table, name, columns)
    guessed = " (guessed)"
    log.info(
        *("%s: id=%s%s, %s=%s%s", path, name, "" if id_column else guessed),
        *("vectors" if vectors else "text", ", ".join(taken), "" if columns else guessed),
    )
    if vectors is None:
        return ItemTexts(ids, str(path), joined(table.select(taken)), columns=taken)
    there = table[vectors].is_not_null()
    ids = [raw for raw, has in zip(ids, there, strict=True) if has]
    made = _array(path, ids, table[vectors].filter(there))
    return ItemTexts(ids, str(path), vectors=made, columns=taken)


def _vector_column(path: Path, table: pl.DataFrame, columns: Sequence[str] | None) -> str | None:
    """The column of vectors; None if the items have texts."""
    import polars as pl

    found = [
        name
        for name, kind in table.schema.items()
        if isinstance(kind, pl.List | pl.Array) and kind.inner.is_numeric()
        if not columns or name in columns
    ]
    if len(found) > 1:
        names = ", ".join(map(repr, found))
        raise ValueError(f"{path}: the columns {names} hold vectors; give text_columns=[ONE]")
    if found and columns and len(columns) > 1:
        raise ValueError(
            f"{path}: the column {found[0]!r} of text_columns holds vectors; no other may be there"
        )
    return found[0] if found else None


def _text_columns(
    path: Path, table: pl.DataFrame, id_column: str, columns: Sequence[str] | None
) -> list[str]:
    """The columns of text."""
    import polars as pl

    if columns:
        for name in columns:
            if name not in table.columns:
                raise ValueError(no_column(path, table, f"no column {name!r} (text_columns)"))
        return list(columns)
    kinds = (pl.String, pl.Categorical, pl.Enum, pl.List(pl.String))
    taken = [
        name
        for name, kind in table.schema.items()
        if name != id_column and kind in kinds and not _numbers_or_times(table[name])
    ]
    if not taken:
        raise ValueError(
            no_column(path, table, "no column of text") + ". Give text_columns=[COLUMN, …]"
        )
    return taken


def _numbers_or_times(column: pl.Series) -> bool:
    """Whether a column of text holds nothing but numbers or times, or nothing at all."""
    import polars as pl

    if column.dtype == pl.List:
        return False
    values = column.cast(pl.String).str.strip_chars().drop_nulls()
    return bool(values.filter(values != "").str.contains(_NUMBER_OR_TIME).all())


def joined(table: pl.DataFrame) -> list[str | None]:
    """The texts of each row in one, without needless blanks; None where there are none.

    Args:
        table: The columns of text, in their order.
    """
    import polars as pl

    def part(name: str, kind: pl.DataType) -> pl.Expr:
        column = pl.col(name)
        column = column.list.join(", ") if kind == pl.List(pl.String) else column.cast(pl.String)
        column = column.str.replace_all(r"\s+", " ").str.strip_chars()
        return pl.when(column != "").then(column)

    parts = [part(name, kind) for name, kind in table.schema.items()]
    joined = pl.concat_str(parts, separator=". ", ignore_nulls=True)
    return table.select(pl.when(joined != "").then(joined).alias("text"))["text"].to_list()


def _array(path: Path, ids: list[int | str], column: pl.Series) -> NDArray[np.float32]:
    """The vectors of a column [n, F]."""
    import polars as pl

    lists = column.cast(pl.List(pl.Float64))
    lengths = lists.list.len()
    if lengths.n_unique() > 1:
        row = int((lengths != lengths[0]).arg_max() or 0)
        raise ValueError(
            f"{path}: the column {column.name!r} holds a vector of {lengths[0]} dimensions for "
            f"{ids[0]!r}, and one of {lengths[row]} for {ids[row]!r}"
        )
    flat = lists.explode().to_numpy() if len(ids) else np.empty(0)
    return checked(ids, flat.reshape(len(ids), -1), path)
