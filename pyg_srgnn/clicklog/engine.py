"""The interface of an engine: reading files and keeping tables, beside narwhals expressions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import narwhals as nw
import polars as pl

from pyg_srgnn.clicklog.bad_rows import BadRows
from pyg_srgnn.clicklog.layout import Layout
from pyg_srgnn.clicklog.spec import Preparation


@dataclass(frozen=True)
class Staged:
    """Clicks that an engine has written to Parquet files.

    Args:
        clicks: The frame.
        rows: Rows read, including those that ``where`` leaves out.
        bad_rows: Malformed rows, left out of the clicks.
    """

    clicks: nw.LazyFrame[Any]
    rows: int
    bad_rows: BadRows


class Engine(Protocol):
    """The operations that narwhals does not have, or not alike for every engine."""

    def stage(
        self,
        layout: Layout,
        preparation: Preparation,
        folder: Path,
        careful: bool,
    ) -> Staged:
        """Read a log into Parquet files below a folder.

        Args:
            layout: How the log is to be read.
            preparation: The declaration.
            folder: Where the files go.
            careful: Read times in every form of ISO 8601, not in that of the first row alone.
        """
        ...

    def nulls(self, layout: Layout, preparation: Preparation, column: str) -> int:
        """Number of rows without a value in a column."""
        ...

    def locate(
        self,
        layout: Layout,
        preparation: Preparation,
        row: int,
    ) -> tuple[str, dict[str, Any]]:
        """File and line of a row as text, and its values."""
        ...

    def one_row(self, frame: nw.LazyFrame[Any]) -> dict[str, Any]:
        """Compute a frame of one row."""
        ...

    def keep(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        """Compute a frame now, so that later queries do not compute it again."""
        ...

    def store(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        """The same for a frame as long as the log."""
        ...

    def gather(self, frame: nw.LazyFrame[Any], path: Path) -> pl.DataFrame:
        """Hand a frame over to Polars."""
        ...

    def parts(self, clicks: nw.LazyFrame[Any], rows: int, path: Path) -> list[nw.LazyFrame[Any]]:
        """Divide clicks into parts with whole sessions, each of which fits into memory.

        Args:
            clicks: All clicks; they are read once, and may be deleted then.
            rows: How many these are, or a few less.
            path: Where the parts go.
        """
        ...

    def scatter(self, frames: Iterable[nw.LazyFrame[Any]], path: Path) -> list[list[Path]]:
        """Write frames, one after the other, to folders of Parquet files.

        Returns:
            For each number in ``piece`` the folders that hold it.
        """
        ...

    def scan(self, path: Path) -> nw.LazyFrame[Any]:
        """Take a Parquet file over from Polars."""
        ...


def parquet_row(file: Path, number: int) -> tuple[str, dict[str, Any]]:
    """File and number of a Parquet row as text, and its values as they are stored."""
    values = pl.scan_parquet(file, glob=False).slice(number, 1).collect().row(0, named=True)
    return f"{file}, row {number + 1:,}", values


def piece_folders(path: Path) -> list[list[Path]]:
    """The folders ``piece=0`` in the folders below a path, then all ``piece=1``, …."""
    pieces: dict[int, list[Path]] = {}
    for folder in path.glob("*/piece=*"):
        pieces.setdefault(int(folder.name.split("=")[1]), []).append(folder)
    return [pieces[number] for number in sorted(pieces)]
