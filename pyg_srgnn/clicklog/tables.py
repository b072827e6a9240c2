"""The intermediate tables of a preparation, each kept under a name of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from pyg_srgnn.clicklog.engine import Engine

Frame = nw.LazyFrame[Any]


class Tables:
    """Computes tables now, so that later queries do not compute them again.

    Args:
        engine: What computes them.
        folder: Where intermediate files go.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.count = 0

    def path(self) -> Path:
        """A name for another table."""
        self.count += 1
        return self.folder / f"kept-{self.count}"

    def keep(self, frame: Frame) -> Frame:
        """Compute a frame that fits into memory."""
        return self.engine.keep(frame, self.path())

    def store(self, frame: Frame) -> Frame:
        """Compute a frame of any length."""
        return self.engine.store(frame, self.path())

    def table(self, frame: Frame) -> pl.DataFrame:
        """Compute a frame and hand it over to Polars."""
        return self.engine.gather(frame, self.path())

    def write(self, table: pl.DataFrame) -> Path:
        """Write a table of Polars to a file that every engine reads with ``scan``."""
        path = self.path().with_suffix(".parquet")
        table.write_parquet(path, compression="uncompressed", statistics=False)
        return path

    def rows(self, clicks: Frame) -> int:
        """Number of rows."""
        return int(self.engine.one_row(clicks.select(nw.len().alias("n")))["n"])

    def size(self, *sessions: Frame) -> tuple[int, int]:
        """Clicks and sessions of all of some tables of sessions with ``n`` clicks each."""
        asked = nw.col("n").sum().alias("clicks"), nw.len().alias("rows")
        answers = [self.engine.one_row(frame.select(*asked)) for frame in sessions]
        return (
            sum(int(answer["clicks"] or 0) for answer in answers),
            sum(int(answer["rows"]) for answer in answers),
        )
