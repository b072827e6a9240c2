"""What an engine does for the preparation that narwhals does not do alike for every engine."""

from __future__ import annotations

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
    """Clicks as an engine has written them aside.

    Args:
        clicks: The frame.
        rows: Rows read, those that ``where`` left out among them.
        bad_rows: Rows whose very form is wrong, left out of the clicks.
    """

    clicks: nw.LazyFrame[Any]
    rows: int
    bad_rows: BadRows


class Engine(Protocol):
    """What the pipeline needs of an engine beside what narwhals gives it."""

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
            preparation: What was declared.
            folder: Where the files go.
            careful: Read times in every form of ISO 8601, not in that of the first row alone.
        """
        ...

    def nulls(self, layout: Layout, preparation: Preparation, column: str) -> int:
        """How many rows have nothing in a column."""
        ...

    def locate(
        self,
        layout: Layout,
        preparation: Preparation,
        row: int,
    ) -> tuple[str, dict[str, Any]]:
        """Where a row is, in words, and what stands in it."""
        ...

    def one_row(self, frame: nw.LazyFrame[Any]) -> dict[str, Any]:
        """Compute a frame of one row."""
        ...

    def keep(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        """Compute a frame now; what is asked of it later does not compute it again."""
        ...

    def store(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        """The same for a frame as long as the log."""
        ...

    def gather(self, frame: nw.LazyFrame[Any], path: Path) -> pl.DataFrame:
        """Hand a frame over to Polars."""
        ...

    def scatter(self, frame: nw.LazyFrame[Any], path: Path) -> list[Path]:
        """Write a frame to folders of Parquet files, one for each number in ``piece``."""
        ...

    def scan(self, path: Path) -> nw.LazyFrame[Any]:
        """Take a Parquet file over from Polars."""
        ...


def parquet_row(file: Path, number: int) -> tuple[str, dict[str, Any]]:
    """Where a row of a Parquet file is, in words, and its values as they are stored."""
    values = pl.scan_parquet(file, glob=False).slice(number, 1).collect().row(0, named=True)
    return f"{file}, row {number + 1:,}", values


def piece_folders(path: Path) -> list[Path]:
    """The folders ``piece=0``, ``piece=1``, … in the order of their numbers."""
    return sorted(path.glob("piece=*"), key=lambda folder: int(folder.name.split("=")[1]))
