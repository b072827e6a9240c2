"""The Spark engine: for logs that outgrow one machine; needs the extra ``spark`` and Java."""

from __future__ import annotations

import csv
import json
import os
import re
from bisect import bisect_right
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import narwhals as nw
import polars as pl

from pyg_srgnn.clicklog.bad_rows import BadRows, judge
from pyg_srgnn.clicklog.dialect import cut_short, dialect
from pyg_srgnn.clicklog.engine import Staged, parquet_row, piece_folders
from pyg_srgnn.clicklog.layout import Layout
from pyg_srgnn.clicklog.spark_lines import BLANK, PROBLEMS, clicks_of, url, used_columns
from pyg_srgnn.clicklog.spark_values import no_id
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.utils.extras import pip_install
from pyg_srgnn.utils.files import first_bytes

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",  # times without a zone
    "spark.sql.ansi.enabled": "false",  # what cannot be cast is null, not an error
    "spark.sql.legacy.parquet.nanosAsLong": "true",  # Spark has no type for them
    "spark.sql.caseSensitive": "true",  # item and Item are two columns
}


class SparkEngine:
    """A cluster, or the cores of one machine.

    Takes the Spark session of this process where there is one, and starts one otherwise, with
    what ``spark-defaults.conf`` and ``MASTER`` say (``local[*]`` if nothing does). The log's files
    and ``scratch`` must lie where every executor and this process find them under the same path.
    A quoted value must end on its line, and a text file is plain or a ``.gz``.

    Raises:
        ValueError: If PySpark or Java is not there.
    """

    def __init__(self) -> None:
        try:
            from pyspark.errors import PySparkRuntimeError
            from pyspark.sql import SparkSession
        except ModuleNotFoundError as error:
            raise ValueError(
                f"engine=spark needs {error.name}, which is not installed: {pip_install('spark')}"
            ) from error
        builder = SparkSession.builder.appName("pyg-srgnn").config("spark.ui.enabled", "false")
        if "MASTER" in os.environ:
            builder = builder.master(os.environ["MASTER"])
        try:
            # The settings are ours alone, whoever else works in this process.
            self.spark = builder.getOrCreate().newSession()
        except (PySparkRuntimeError, OSError) as error:
            raise ValueError(
                f"engine=spark: Spark does not start; is Java 17 or later there? {error}"
            ) from error
        for key, value in SETTINGS.items():
            self.spark.conf.set(key, value)
        self._layout: Layout | None = None
        self._staged: Staged | None = None

    def stage(
        self,
        layout: Layout,
        preparation: Preparation,
        folder: Path,
        careful: bool,
    ) -> Staged:
        """Read a log into Parquet files, its rows numbered in their order in the files."""
        from pyspark.sql import functions as F

        if self._staged and layout == self._layout:  # times were read with all care before
            return self._staged
        for file in layout.files:
            _refuse_unknown(file, layout)
        try:
            lines = clicks_of(self.spark, layout, preparation)
            read = self._written(lines, folder / "read")
        except Exception as error:
            raise _readable(error) from error
        self._layout = layout
        rows, bad_rows = self._number(read, layout)
        if preparation.on_bad_rows == "error":
            bad_rows.refuse()
        roles = [
            role
            for role in ("session", "item", "time", "order", "event", "user", "local", "text")
            if role in read.columns
        ]
        good = F.col("_problem").isNull() & F.col("_chosen")
        clicks = self._numbered.filter(good).select(*roles, "row")
        self._staged = Staged(nw.from_native(clicks), rows, bad_rows)
        return self._staged

    def _number(self, read: Any, layout: Layout) -> tuple[int, BadRows]:
        """Give each line or row its number in the log; count them, and the bad ones.

        Within a block of a file the ids count its lines. Which block comes first, they do not say.
        """
        from pyspark.sql import functions as F

        asked = [F.count("*").alias("lines"), F.min("_id").alias("first")]
        for problem in (BLANK, *PROBLEMS):
            bad = F.when(F.col("_problem") == problem, F.col("_id"))
            asked += [F.count(bad).alias(problem), F.min(bad).alias(f"first {problem}")]
        solid = F.when(F.col("_problem").isNull() | (F.col("_problem") != BLANK), F.col("_id"))
        asked.append(F.min(solid).alias("solid"))
        numbers = {str(file.resolve()): number for number, file in enumerate(layout.files)}
        found = [
            (numbers[_path(block["_file"])], block["_block"], block.asDict())
            for block in read.groupBy("_file", "_block").agg(*asked).collect()
        ]
        self._starts, places, lines, rows = [], [], 0, 0
        counts = dict.fromkeys(PROBLEMS, 0)
        firsts: dict[str, int] = {}
        for number, start, block in sorted(found, key=itemgetter(0, 1)):
            if start == 0:
                self._starts.append((lines, layout.files[number]))
            header = layout.header and not layout.parquet and start == 0
            shift = lines - block["first"]
            places.append((block["_file"], start, shift, block["solid"] if header else -1))
            lines += block["lines"]
            rows += block["lines"] - block[BLANK] - header
            for problem in PROBLEMS:
                counts[problem] += block[problem]
                if block[problem]:
                    firsts.setdefault(problem, block[f"first {problem}"] + shift)
        schema = "_file string, _block bigint, _shift bigint, _header bigint"
        shifts = F.broadcast(self.spark.createDataFrame(places, schema))
        numbered = read.join(shifts, ["_file", "_block"]).filter(F.col("_id") != F.col("_header"))
        self._numbered = numbered.withColumn("row", F.col("_id") + F.col("_shift"))
        bad_rows = BadRows()
        for problem, row in sorted(firsts.items(), key=itemgetter(1)):
            where, line = self._shown(row)
            try:
                cells = next(csv.reader([line], delimiter=layout.delimiter, strict=True))
            except csv.Error:
                cells = None
            one = BadRows()
            judge(cells, line, len(layout.names), where, one)
            for known in one.listed():
                bad_rows.found[problem] = known | {"reason": problem, "rows": counts[problem]}
        return rows, bad_rows

    def _shown(self, row: int) -> tuple[str, str]:
        """File and line of a bad row of a text file, and the line."""
        from pyspark.sql import functions as F

        file, number = self._place(row)
        shown = F.col("_shown").cast("binary")
        (found,) = self._numbered.filter(F.col("row") == row).select(shown).collect()
        text = bytes(found[0]).decode("utf-8", "surrogateescape")
        return f"{file}, line {number + 1:,}", text

    def _place(self, row: int) -> tuple[Path, int]:
        """The file of a row, and its number there from 0."""
        start, file = self._starts[bisect_right(self._starts, row, key=itemgetter(0)) - 1]
        return file, row - start

    def nulls(self, layout: Layout, preparation: Preparation, column: str) -> int:
        """Number of rows without a value in a column."""
        from pyspark.sql import functions as F

        role = "session" if column == layout.session else "item"
        null = F.col("_problem").isNull() & F.col("_chosen") & F.col(role).isNull()
        value = F.get_json_object("_shown", f"$.{role}")
        empty = value.isNull() | no_id(value) | value.isin("NaN")
        return int(self._numbered.filter(null & empty).count())

    def locate(
        self,
        layout: Layout,
        preparation: Preparation,
        row: int,
    ) -> tuple[str, dict[str, Any]]:
        """File and line of a row as text, and its values."""
        if layout.parquet:
            return parquet_row(*self._place(row))
        where, text = self._shown(row)
        cells = json.loads(text)
        return where, {name: cells.get(role) for role, name in used_columns(layout).items()}

    def one_row(self, frame: nw.LazyFrame[Any]) -> dict[str, Any]:
        """Compute a frame of one row."""
        (row,) = frame.to_native().collect()
        return dict(row.asDict())

    def keep(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        """Compute a frame now, into a folder of Parquet files."""
        kept: nw.LazyFrame[Any] = nw.from_native(self._written(frame.to_native(), path))
        return kept

    store = keep

    def gather(self, frame: nw.LazyFrame[Any], path: Path) -> pl.DataFrame:
        """Hand a frame over to Polars, as Parquet files."""
        self._written(frame.to_native(), path)
        return pl.read_parquet(path / "*.parquet")

    def parts(self, clicks: nw.LazyFrame[Any], rows: int, path: Path) -> list[nw.LazyFrame[Any]]:
        """All clicks in one part: Spark divides them itself."""
        return [clicks]

    def scatter(self, frames: Iterable[nw.LazyFrame[Any]], path: Path) -> list[list[Path]]:
        """Write frames to folders of Parquet files, in each a folder for each piece."""
        for number, frame in enumerate(frames):
            frame.to_native().write.partitionBy("piece").parquet(url(path / str(number)))
        return piece_folders(path)

    def scan(self, path: Path) -> nw.LazyFrame[Any]:
        """Open a Parquet file."""
        return nw.from_native(self.spark.read.parquet(url(path)))  # type: ignore[no-any-return]

    def _written(self, frame: Any, path: Path) -> Any:
        frame.write.parquet(url(path))
        return self.spark.read.schema(frame.schema).parquet(url(path))


def _refuse_unknown(file: Path, layout: Layout) -> None:
    """Refuse files that Spark skips silently or reads wrongly."""
    if file.name[0] in "._":
        raise ValueError(f"{file}: engine=spark passes over files named with . or _ first")
    start = first_bytes(file)
    gzipped, named = start.startswith(b"\x1f\x8b"), file.suffix == ".gz"
    if gzipped != named or start.startswith(b"\x28\xb5\x2f\xfd"):
        raise ValueError(
            f"{file}: engine=spark reads plain text, gzip in files named .gz, and Parquet"
        )
    if not layout.parquet and not dialect(file, layout.delimiter).plain:
        raise ValueError(
            f"{file}: engine=spark reads lines that end in a newline, with quotes within quotes "
            f"doubled, no blanks after delimiters, and no first line such as sep=;; "
            f"engine=polars reads this file"
        )


def _path(url: str) -> str:
    """The path of a file that Spark names."""
    return unquote(re.sub("^file:/+", "/", url))


def _readable(error: Exception) -> Exception:
    """Spark's error about an unreadable file, without the Java stack."""
    if "FAILED_READ_FILE" not in str(error):
        return error
    found = re.search(r"file:/+\S+", str(error))
    file = Path(_path(found[0].rstrip("."))) if found else Path("a file")
    if file.suffix == ".gz":
        return cut_short(file)
    return ValueError(f"{file}: engine=spark cannot read it: {str(error).splitlines()[0]}")
