"""Opens a Parquet file of a dataset, with the columns that it must have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pyg_srgnn.clicklog.layout import scan_parquet


def scan_columns(file: Path, names: Sequence[str]) -> pl.LazyFrame:
    """Open some columns of a Parquet file.

    Args:
        file: The file.
        names: The columns.

    Raises:
        ValueError: If the file is damaged or lacks a column; names file and column.
    """
    table = scan_parquet(file)
    found = table.collect_schema().names()
    if missing := [name for name in names if name not in found]:
        raise ValueError(
            f"{file}: there is no column {', '.join(map(repr, missing))}; expected "
            f"{', '.join(names)}, found {', '.join(found)}"
        )
    return table.select(names)
