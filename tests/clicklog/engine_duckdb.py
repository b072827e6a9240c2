"""A third engine, for tests alone: Polars reads the log, DuckDB runs the rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import polars as pl

from pyg_srgnn.clicklog.engine import Staged
from pyg_srgnn.clicklog.layout import Layout
from pyg_srgnn.clicklog.polars_engine import PolarsEngine


class DuckDBEngine:
    """Keeps what was computed in tables of a database in memory."""

    def __init__(self) -> None:
        self.reader = PolarsEngine()
        self.database = duckdb.connect(config={"threads": 1})
        self.nulls, self.locate = self.reader.nulls, self.reader.locate

    def stage(self, layout: Layout, preparation: Any, folder: Path, careful: bool) -> Staged:
        staged = self.reader.stage(layout, preparation, folder, careful)
        clicks = self.database.read_parquet(str(folder / "*.parquet"))
        return replace(staged, clicks=nw.from_native(clicks))

    def one_row(self, frame: nw.LazyFrame[Any]) -> dict[str, Any]:
        (row,) = frame.to_native().fetchall()
        return dict(zip(frame.collect_schema().names(), row, strict=True))

    def keep(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        table = path.name.replace("-", "_")
        frame.to_native().create(table)
        return nw.from_native(self.database.table(table))

    store = keep

    def scan(self, path: Path) -> nw.LazyFrame[Any]:
        return nw.from_native(self.database.read_parquet(str(path)))

    def gather(self, frame: nw.LazyFrame[Any], path: Path) -> pl.DataFrame:
        return pl.DataFrame(frame.to_native())

    def parts(self, clicks: nw.LazyFrame[Any], rows: int, path: Path) -> list[nw.LazyFrame[Any]]:
        return [clicks]

    def scatter(self, frames: Iterable[nw.LazyFrame[Any]], path: Path) -> list[list[Path]]:
        frames = [nw.from_native(self.gather(frame, path).lazy()) for frame in frames]
        return self.reader.scatter(frames, path)
