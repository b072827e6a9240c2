"""Reads tables of items: CSV, TSV, JSON Lines and Parquet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pyg_srgnn.utils.files import is_parquet, os_errors

if TYPE_CHECKING:
    import polars as pl

_TEXT = (".csv", ".tsv", ".txt")
_JSON = (".jsonl", ".ndjson", ".json")
TABLES = (*_TEXT, *_JSON, ".parquet")
"""The endings of tables; all but Parquet may be followed by ``.gz`` or ``.zst``."""

ID_NAMES = (
    *("itemid", "iid", "productid", "articleid", "songid", "asin", "parentasin", "sku"),
    *("stockcode", "id", "item", "product"),
)
"""Names of a column of ids, the likeliest first, compared without case, - and _."""


def is_table(path: Path) -> bool:
    """Whether a file is a table, by its ending, or Parquet by its content."""
    return _ending(path) in TABLES or is_parquet(path)


def holds_texts(path: Path) -> bool:
    """Whether all values of a table are texts, as those of CSV and TSV are."""
    return _ending(path) in _TEXT and not is_parquet(path)


def read_table(path: Path) -> pl.DataFrame:
    """Read a table; the values of CSV and TSV stay texts, so that ids keep their leading zeros.

    The columns of CSV are separated as its first line is, which names them.

    Raises:
        ValueError: If the file cannot be read; names the line.
    """
    import polars as pl

    with os_errors(path), _refusing(path):
        if is_parquet(path):
            return pl.read_parquet(path, glob=False)
        if _ending(path) in _JSON:
            return _json_lines(path)
    return _text(path)


def id_column_of(path: Path, table: pl.DataFrame, given: str | None, key: str) -> str:
    """The column of the ids.

    Args:
        path: The file, which errors name.
        table: What it holds.
        given: The name of the column; None guesses it.
        key: The key that names it.

    Raises:
        ValueError: If there is none.
    """
    if given is not None:
        if given not in table.columns:
            raise ValueError(no_column(path, table, f"no column {given!r} ({key})"))
        return given
    plain = {re.sub(r"[\W_]", "", name.lower()): name for name in reversed(table.columns)}
    found = next((plain[name] for name in ID_NAMES if name in plain), None)
    if found is None:
        what = "no column known to hold the ids"
        raise ValueError(f"{no_column(path, table, what)}. Give {key}=COLUMN")
    return found


def ids_of(path: Path, column: pl.Series) -> list[int | str]:
    """The ids, texts without blanks around them or whole numbers.

    Raises:
        ValueError: If one is empty, or of another kind.
    """
    import polars as pl

    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype.is_float() and bool((column.drop_nulls() % 1 == 0).all()):
        column = column.cast(pl.Int64)  # as of a column with nulls that pandas wrote
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        empty = column.is_null() | (column == "")
    elif column.dtype.is_integer():
        empty = column.is_null()
    else:
        raise ValueError(
            f"{path}: the column {column.name!r} holds {column.dtype}, expected ids: whole numbers "
            f"or texts"
        )
    if empty.any():
        row = int(empty.arg_max() or 0) + 1
        raise ValueError(f"{path}: the column {column.name!r} has no id in row {row:,}")
    return column.to_list()


def no_column(path: Path, table: pl.DataFrame, what: str) -> str:
    """What an error says of a column that is not there, with those that are."""
    kinds = ", ".join(f"{name!r} ({kind})" for name, kind in table.schema.items())
    return f"{path}: there is {what}; its columns are {kinds}"


def _ending(path: Path) -> str:
    """The last ending but that of a compressed file."""
    endings = [each for each in map(str.lower, path.suffixes) if each not in (".gz", ".zst")]
    return endings[-1] if endings else ""


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn what Polars says of a file into a ValueError that names it."""
    from polars.exceptions import PolarsError

    try:
        yield
    except PolarsError as error:
        raise ValueError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error


def _json_lines(path: Path) -> pl.DataFrame:
    """A table with an object a line."""
    import polars as pl
    from polars.exceptions import PolarsError

    from pyg_srgnn.clicklog.dialect import lines_of

    try:
        with path.open("rb") as file:  # of a path, Polars would expand patterns
            return pl.read_ndjson(file, infer_schema_length=None)
    except PolarsError:
        for number, line in enumerate(lines_of(path), 1):
            try:
                fits = not line.strip() or isinstance(json.loads(line), dict)
            except (ValueError, RecursionError):
                fits = False
            if not fits:
                raise ValueError(
                    f"{path}, line {number:,}: expected a JSON object on each line (got "
                    f"{line[:80]!r})"
                ) from None
        raise


def _text(path: Path) -> pl.DataFrame:
    """A table with columns between delimiters."""
    import polars as pl

    from pyg_srgnn.clicklog.dialect import best_delimiter, dialect, is_utf8, lines_of, records

    first = next(lines_of(path), "")
    delimiter = dialect(path).delimiter or best_delimiter(first)
    names: list[str] = []
    rows: list[list[str]] = []
    for number, cells, line in records(path, delimiter):
        if cells is None:
            raise ValueError(f"{path}, line {number:,}: a quote is out of place ({line[:80]!r})")
        if not cells:
            continue
        if not names:
            names = [cell.strip() for cell in cells]
        elif len(cells) == len(names):
            rows.append(cells)
        else:
            raise ValueError(
                f"{path}, line {number:,}: expected {len(names)} columns (got {len(cells)})"
            )
        if not is_utf8(*cells):
            raise ValueError(f"{path}, line {number:,}: not UTF-8 ({line[:80]!r})")
    if not names:
        raise ValueError(f"{path}: empty; expected a first line with the names of the columns")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path}: two columns are called {twice!r}")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
