"""A third engine, for tests alone: Polars reads the log, DuckDB runs the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import polars as pl

from pyg_srgnn.data.clicks import Layout
from pyg_srgnn.data.engines import PolarsEngine
from pyg_srgnn.data.reading import Found, read_clicks


class DuckDBEngine:
    """Keeps what was computed in tables of a database in memory."""

    def __init__(self) -> None:
        self.polars = PolarsEngine()
        self.database = duckdb.connect(config={"threads": 1})
        self.nulls, self.locate = self.polars.nulls, self.polars.locate

    def read(
        self, layout: Layout, preparation: Any, folder: Path
    ) -> tuple[nw.LazyFrame[Any], Found]:
        clicks, found = read_clicks(self.polars, layout, preparation, folder)
        return self._relation(clicks.to_native().collect()), found

    def _relation(self, frame: pl.DataFrame) -> nw.LazyFrame[Any]:
        return nw.from_native(self.database.from_arrow(frame))

    def one_row(self, frame: nw.LazyFrame[Any]) -> dict[str, Any]:
        (row,) = frame.to_native().fetchall()
        return dict(zip(frame.collect_schema().names(), row, strict=True))

    def keep(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        frame.to_native().create(path.name)
        return nw.from_native(self.database.table(path.name))

    store = keep

    def gather(self, frame: nw.LazyFrame[Any], order: list[str], path: Path) -> pl.LazyFrame:
        relation = frame.to_native()
        return pl.DataFrame(relation.fetchnumpy()).lazy()
