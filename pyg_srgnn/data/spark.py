"""The Spark engine: for logs that outgrow one machine; needs the extra ``spark`` and Java."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from pyg_srgnn.data.bad_rows import BadRows
from pyg_srgnn.data.clicks import UNITS, Layout
from pyg_srgnn.data.reading import Found, Staged, read_clicks

_PATTERNS = {
    "%Y": "yyyy", "%m": "MM", "%d": "dd", "%H": "HH", "%M": "mm", "%S": "ss", "%f": "SSSSSS",
    "%y": "yy", "%b": "MMM", "%B": "MMMM", "%I": "hh", "%p": "a", "%z": "xx", "%j": "DDD",
    "%T": "HH:mm:ss", "%F": "yyyy-MM-dd",
}  # fmt: skip
"""Directives of strptime as Java's date patterns have them."""
_BROKEN = "_broken"


class SparkEngine:
    """A cluster, or the cores of one machine.

    Takes the Spark session of this process where there is one, and starts one otherwise, with
    what ``spark-defaults.conf`` and ``MASTER`` say (``local[*]`` if nothing does). Files must lie
    where every executor and this process find them under the same path.

    Raises:
        ValueError: If PySpark or Java is not there.
    """

    def __init__(self) -> None:
        try:
            from pyspark.errors import PySparkRuntimeError
            from pyspark.sql import SparkSession
        except ModuleNotFoundError as error:
            raise ValueError(
                "engine=spark needs a package that is not installed; "
                "pip install 'pyg-srgnn[spark]' brings it"
            ) from error
        builder = SparkSession.builder.appName("pyg-srgnn").config("spark.ui.enabled", "false")
        if "MASTER" in os.environ:
            builder = builder.master(os.environ["MASTER"])
        try:
            self.spark = builder.getOrCreate()
        except (PySparkRuntimeError, OSError) as error:
            raise ValueError(
                f"engine=spark: Spark does not start; is Java there? {error}"
            ) from error

    def read(
        self, layout: Layout, preparation: Any, folder: Path
    ) -> tuple[nw.LazyFrame[Any], Found]:
        """Read the clicks of a log."""
        # Times without a zone are UTC, and a value that cannot be cast is null, not an error.
        ours = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "false"}
        for key, value in ours.items():
            self.spark.conf.set(key, value)
        return read_clicks(self, layout, preparation, folder)

    def stage(self, layout: Layout, preparation: Any, folder: Path, careful: bool) -> Staged:
        """Read a log into Parquet files, its rows numbered in their order in the files."""
        from pyspark.sql import functions as F

        raw, broken = self._raw(layout), F.col(_BROKEN)
        path = str(folder / "read")
        place = F.col("_metadata.file_path"), F.col("_metadata.file_block_start")
        columns = self._parsed(raw, layout)
        raw.select(
            *columns, *self._where(layout, preparation), broken, place[0].alias("_file"),
            place[1].alias("_block"), F.monotonically_increasing_id().alias("_id"),
        ).write.parquet(path)  # fmt: skip
        read = self.spark.read.parquet(path)
        # Within a block of a file the ids count its rows; which block comes first they do not say.
        blocks = read.groupBy("_file", "_block").agg(
            F.min("_id").alias("_first"), F.count("*").alias("_rows")
        )
        order = {_uri(file): number for number, file in enumerate(layout.files)}
        found = sorted(blocks.collect(), key=lambda b: (order[b["_file"]], b["_block"]))
        offsets, rows = [], 0
        for block in found:
            offsets.append((block["_file"], block["_block"], rows - block["_first"]))
            rows += block["_rows"]
        starts = self.spark.createDataFrame(offsets, "_file string, _block bigint, _shift bigint")
        numbered = read.join(F.broadcast(starts), ["_file", "_block"]).withColumn(
            "row", F.col("_id") + F.col("_shift")
        )
        bad_rows = self._broken(numbered, layout)
        roles = [name for name in ("session", "item", "time", "order") if name in read.columns]
        numbered = numbered.filter(broken.isNull() & F.col("_chosen"))
        return Staged(nw.from_native(numbered.select(*roles, "row")), rows, bad_rows)

    def _raw(self, layout: Layout) -> Any:
        from pyspark.sql import functions as F

        files = [str(file) for file in layout.files]
        if layout.parquet:
            return self.spark.read.parquet(*files).withColumn(_BROKEN, F.lit(None).cast("string"))
        schema = ", ".join(f"`{name}` string" for name in (*layout.names, _BROKEN))
        return self.spark.read.csv(
            files, schema=schema, sep=layout.delimiter, header=layout.header, quote='"',
            escape='"', mode="PERMISSIVE", columnNameOfCorruptRecord=_BROKEN, enforceSchema=True,
        )  # fmt: skip

    def _broken(self, read: Any, layout: Layout) -> BadRows:
        """Rows with too many or too few columns."""
        from pyspark.sql import functions as F

        bad_rows = BadRows()
        wrong = read.filter(F.col(_BROKEN).isNotNull())
        if first := wrong.orderBy("row").select("_file", "row", _BROKEN).first():
            bad_rows.add(
                "wrong number of columns",
                wrong.count(),
                f"{first['_file']}, row {first['row'] + 1:,}",
                f"found {first[_BROKEN][:80]!r}, expected {len(layout.names)} columns",
            )
        return bad_rows

    def _where(self, layout: Layout, preparation: Any) -> list[Any]:
        from pyspark.sql import functions as F

        chosen = F.lit(True)
        for name, value in preparation.where.items():
            values = value if isinstance(value, list | tuple) else [value]
            chosen = chosen & F.col(name).cast("string").isin([str(v) for v in values])
        return [F.coalesce(chosen, F.lit(False)).alias("_chosen")]

    def _parsed(self, raw: Any, layout: Layout) -> list[Any]:
        from pyspark.sql import functions as F

        kinds = dict(raw.dtypes)
        columns = []
        for role, name in (("session", layout.session), ("item", layout.columns["item"])):
            text = F.col(name).cast("string")
            whole = text.rlike(r"^(0|[-]?[1-9][0-9]*)$") | F.lit(kinds[name] != "string")
            number = F.when(whole, F.col(name).cast("bigint"))
            columns.append((number if role in layout.whole else text).alias(role))
        if "time" in layout.columns:
            name = layout.columns["time"]
            columns.append(_micros(F.col(name), kinds[name], str(layout.time_format)).alias("time"))
        if "order" in layout.columns:
            columns.append(F.col(layout.columns["order"]).cast("bigint").alias("order"))
        return columns

    def nulls(self, layout: Layout, preparation: Any, column: str) -> int:
        """How many rows have nothing in a column."""
        from pyspark.sql import functions as F

        raw = self._raw(layout).withColumn("_chosen", self._where(layout, preparation)[0])
        good = F.col(_BROKEN).isNull() & F.col("_chosen")
        return int(raw.filter(good & F.col(column).isNull()).count())

    def locate(self, layout: Layout, preparation: Any, row: int) -> tuple[str, dict[str, Any]]:
        """Where a row is, in words, and what stands in it."""
        for file in layout.files:
            frame = self._raw_of(layout, file)
            rows = frame.count()
            if row < rows:
                cells = frame.limit(row + 1).tail(1)[0].asDict()
                return f"{file}, row {row + 1:,}", cells
            row -= rows
        raise IndexError(row)

    def _raw_of(self, layout: Layout, file: Path) -> Any:
        from dataclasses import replace

        return self._raw(replace(layout, files=(file,)))

    def one_row(self, frame: nw.LazyFrame[Any]) -> dict[str, Any]:
        """Compute a frame of one row."""
        (row,) = frame.to_native().collect()
        return dict(row.asDict())

    def keep(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        """Compute a frame now, into a folder of Parquet files."""
        frame.to_native().write.parquet(str(path))
        return nw.from_native(self.spark.read.parquet(str(path)))

    store = keep

    def gather(self, frame: nw.LazyFrame[Any], order: list[str], path: Path) -> pl.LazyFrame:
        """Hand a frame over to Polars, as sorted Parquet files."""
        frame.to_native().sort(*order).write.parquet(str(path))
        return pl.scan_parquet(path / "*.parquet")


def _uri(file: Path) -> str:
    return "file:" + str(file.resolve())


def _micros(column: Any, kind: str, form: str) -> Any:
    """Microseconds since 1970 UTC of a column of times."""
    from pyspark.sql import functions as F

    if kind in ("timestamp", "timestamp_ntz", "date"):
        return F.unix_micros(column.cast("timestamp"))
    if form == "iso":
        digits = column.rlike(r"^\s*\d{4}-\d\d-\d\d")  # Spark takes 2014 alone for a time
        return F.when(digits, F.unix_micros(F.try_to_timestamp(column)))
    if "%" in form:
        pattern = form
        for directive, java in _PATTERNS.items():
            pattern = pattern.replace(directive, java)
        if "%" in pattern:
            raise ValueError(
                f"dataset.time_format={form!r}: engine=spark knows {', '.join(_PATTERNS)}"
            )
        return F.unix_micros(F.try_to_timestamp(column, F.lit(pattern)))
    if form == "ns":
        return F.floor(column.cast("bigint") / 1000).cast("bigint")
    scaled = column.cast("decimal(28,9)") * UNITS.get(form, UNITS["s"])
    return F.round(scaled).cast("bigint")
