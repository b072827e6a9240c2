"""What runs the preparation: how each engine reads files and keeps what was computed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import narwhals as nw
import polars as pl
from tqdm import tqdm

from pyg_srgnn.data.bad_rows import BadRows, check_form, cut_short
from pyg_srgnn.data.clicks import UNITS, Layout, scan_text
from pyg_srgnn.data.reading import Found, Staged, read_clicks

ENGINES = ("polars", "spark")


class Engine(Protocol):
    """What the pipeline needs of an engine beside what narwhals gives it."""

    def stage(self, layout: Layout, preparation: Any, folder: Path, careful: bool) -> Staged:
        """Read a log into Parquet files below a folder.

        Args:
            layout: How the log is to be read.
            preparation: What was declared.
            folder: Where the files go.
            careful: Read times in every form of ISO 8601, not in that of the first row alone.
        """
        ...

    def nulls(self, layout: Layout, preparation: Any, column: str) -> int:
        """How many rows have nothing in a column."""
        ...

    def locate(self, layout: Layout, preparation: Any, row: int) -> tuple[str, dict[str, Any]]:
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

    def gather(self, frame: nw.LazyFrame[Any], order: list[str], path: Path) -> pl.LazyFrame:
        """Hand a frame over to Polars; sorted, where the engine writes it to files for that."""
        ...

    def read(
        self, layout: Layout, preparation: Any, folder: Path
    ) -> tuple[nw.LazyFrame[Any], Found]:
        """Read the clicks of a log."""
        ...


def open_engine(name: str) -> Engine:
    """Open an engine by its name.

    Raises:
        ValueError: If there is none of that name, or what it needs is not installed.
    """
    if name == "polars":
        return PolarsEngine()
    if name == "spark":
        from pyg_srgnn.data.spark import SparkEngine

        return SparkEngine()
    raise ValueError(f"'engine' must be one of {', '.join(ENGINES)} (got {name!r})")


class PolarsEngine:
    """One machine: Polars' streaming engine."""

    def read(
        self, layout: Layout, preparation: Any, folder: Path
    ) -> tuple[nw.LazyFrame[Any], Found]:
        """Read the clicks of a log."""
        return read_clicks(self, layout, preparation, folder)

    def stage(self, layout: Layout, preparation: Any, folder: Path, careful: bool) -> Staged:
        """Read a log into one Parquet file for each of its own."""
        folder.mkdir(parents=True)
        bad_rows, rows = BadRows(), 0
        for number, file in enumerate(tqdm(layout.files, "reading", unit="file", delay=2)):
            part = folder / f"{number:06}.parquet"
            rows += self._stage(file, layout, preparation, part, rows, careful, bad_rows)
        return Staged(nw.from_native(pl.scan_parquet(folder / "*.parquet")), rows, bad_rows)

    def _stage(
        self,
        file: Path,
        layout: Layout,
        preparation: Any,
        part: Path,
        offset: int,
        careful: bool,
        bad_rows: BadRows,
    ) -> int:
        """Stage one file; how many rows it holds."""
        if not layout.parquet:
            found = self._sink(file, layout, preparation, part, offset, careful)
            if found is None:
                clean = part.with_suffix(".csv")
                rows = check_form(file, layout, bad_rows, clean)
                if preparation.on_bad_rows == "error":
                    bad_rows.refuse()
                if self._sink(clean, layout, preparation, part, offset, careful) is None:
                    raise ValueError(
                        f"{file} cannot be read as text of {len(layout.names)} columns"
                    )
                clean.unlink()
                return rows
            return found
        scan = pl.scan_parquet(file, row_index_name="row", row_index_offset=offset)
        _write(_parsed(scan, layout, preparation, careful), part)
        return int(pl.scan_parquet(file).select(pl.len()).collect().item())

    def _sink(
        self, file: Path, layout: Layout, preparation: Any, part: Path, offset: int, careful: bool
    ) -> int | None:
        """Stage a text file; how many rows it holds, or None where one has a wrong form."""
        scan = scan_text(file, layout.delimiter, layout.names, layout.header)
        numbered = scan_text(
            file,
            layout.delimiter,
            layout.names,
            layout.header,
            row_index_name="row",
            row_index_offset=offset,
        )
        last = layout.names[-1]
        try:
            _write(_parsed(numbered, layout, preparation, careful), part)
            # Polars fills a row that is too short with nulls, its last column first.
            rows, short = (
                scan.select(pl.len(), pl.col(last).null_count().alias("short"))
                .collect(engine="streaming")
                .row(0)
            )
        except pl.exceptions.ComputeError:
            return None
        except OSError as error:
            if file.suffix in (".gz", ".zst"):
                raise cut_short(file) from error
            raise
        if short and not _all_of_one_form(file, layout):
            return None
        return int(rows)

    def nulls(self, layout: Layout, preparation: Any, column: str) -> int:
        """How many rows have nothing in a column."""
        counts = [
            _chosen(_scan(file, layout), preparation)
            .select(pl.col(column).null_count())
            .collect(engine="streaming")
            .item()
            for file in layout.files
        ]
        return sum(counts)

    def locate(self, layout: Layout, preparation: Any, row: int) -> tuple[str, dict[str, Any]]:
        """Where a row is, in words, and what stands in it."""
        for file in layout.files:
            scan = _scan(file, layout)
            rows = int(scan.select(pl.len()).collect().item())
            if row < rows:
                (cells,) = scan.slice(row, 1).collect().to_dicts()
                if layout.parquet:
                    return f"{file}, row {row + 1:,}", cells
                broken = scan.head(row).select(pl.all().str.count_matches("\n").sum())
                extra = sum(broken.collect().row(0))  # a quoted value may go over several lines
                return f"{file}, line {row + 1 + layout.header + extra:,}", cells
            row -= rows
        raise IndexError(row)

    def one_row(self, frame: nw.LazyFrame[Any]) -> dict[str, Any]:
        """Compute a frame of one row."""
        return frame.to_native().collect(engine="streaming").row(0, named=True)

    def keep(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        """Compute a frame now, in memory."""
        return nw.from_native(frame.to_native().collect(engine="streaming").lazy())

    def store(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        """Compute a frame now, into a file."""
        path = path.with_suffix(".parquet")
        _write(frame.to_native(), path)
        return nw.from_native(pl.scan_parquet(path))

    def gather(self, frame: nw.LazyFrame[Any], order: list[str], path: Path) -> pl.LazyFrame:
        """Hand a frame over to Polars, as it is."""
        return frame.to_native()


def _scan(file: Path, layout: Layout) -> pl.LazyFrame:
    if layout.parquet:
        return pl.scan_parquet(file)
    return scan_text(file, layout.delimiter, layout.names, layout.header)


def _write(frame: pl.LazyFrame, path: Path) -> None:
    # It is read a few times and thrown away: compression and statistics cost more than they save.
    frame.sink_parquet(path, compression="uncompressed", statistics=False)


def _all_of_one_form(file: Path, layout: Layout) -> bool:
    """Whether every line that is not blank has as many delimiters as the columns need."""
    line = pl.col("line")
    lines = pl.scan_csv(
        file,
        separator="\x1f",
        has_header=False,
        quote_char=None,
        infer_schema=False,
        schema={"line": pl.String},
        truncate_ragged_lines=True,
    )
    wrong = line.str.count_matches(layout.delimiter, literal=True) != len(layout.names) - 1
    quoted = line.str.contains('"', literal=True)
    found = lines.filter(line != "").select((wrong | quoted).any()).collect(engine="streaming")
    if not found.item():
        return True
    bad_rows = BadRows()
    check_form(file, layout, bad_rows)
    return not bad_rows.found


def _chosen(frame: pl.LazyFrame, preparation: Any) -> pl.LazyFrame:
    """The rows that ``where`` asks for."""
    for name, value in preparation.where.items():
        values = value if isinstance(value, list | tuple) else [value]
        frame = frame.filter(pl.col(name).cast(pl.String).is_in([str(v) for v in values]))
    return frame


def _parsed(frame: pl.LazyFrame, layout: Layout, preparation: Any, careful: bool) -> pl.LazyFrame:
    schema = frame.collect_schema()
    used = [layout.session, layout.columns["item"]]
    columns = [
        _id(pl.col(name), schema[name], role in layout.whole).alias(role)
        for role, name in zip(("session", "item"), used, strict=True)
    ]
    if "time" in layout.columns:
        name = layout.columns["time"]
        used.append(name)
        columns.append(_micros(pl.col(name), schema[name], layout, careful).alias("time"))
    if "order" in layout.columns:
        used.append(layout.columns["order"])
        columns.append(pl.col(layout.columns["order"]).cast(pl.Int64, strict=False).alias("order"))
    frame = _chosen(frame, preparation)
    if not layout.parquet:  # a blank line is no click
        frame = frame.filter(~pl.all_horizontal(pl.col(name).is_null() for name in used))
    return frame.select(*columns, pl.col("row").cast(pl.Int64))


def _id(column: pl.Expr, kind: pl.DataType, whole: bool) -> pl.Expr:
    if not whole:
        return column.cast(pl.String)
    number = column.cast(pl.Int64, strict=False)
    if kind != pl.String:
        return number
    # 007 is not 7: where whole numbers are written so, the ids are text.
    padded = column.str.starts_with("0") & (column.str.len_bytes() > 1)
    return pl.when(padded | column.str.starts_with("+")).then(None).otherwise(number)


def _micros(column: pl.Expr, kind: pl.DataType, layout: Layout, careful: bool) -> pl.Expr:
    """Microseconds since 1970 UTC of a column of times."""
    form = str(layout.time_format)
    if kind.is_temporal():
        return (
            column.cast(pl.Datetime("us")).dt.epoch("us")
            if kind == pl.Date
            else column.dt.epoch("us")
        )
    if form == "iso":
        return iso_micros(column) if careful else _iso_like(column, layout.sample)
    if "%" in form:
        return column.str.to_datetime(form, time_unit="us", strict=False).dt.epoch("us")
    if kind == pl.Float64 or kind == pl.Float32 or "." in layout.sample:
        factor = 1e-3 if form == "ns" else UNITS.get(form, UNITS["s"])
        return (column.cast(pl.Float64, strict=False) * factor).round().cast(pl.Int64, strict=False)
    number = column.cast(pl.Int64, strict=False)
    if form == "ns":
        return number // 1_000
    return (
        number.clip(-9_000_000_000_000, 9_000_000_000_000) * UNITS.get(form, UNITS["s"])
        if form in ("s", "number")
        else number * UNITS[form]
    )


def iso_micros(text: pl.Expr) -> pl.Expr:
    """Microseconds since 1970 of ISO 8601 in any of its usual forms; UTC where no zone is given."""
    text = text.str.strip_chars().str.replace(" ", "T", literal=True)
    forms = ("%+", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
    return pl.coalesce(
        text.str.to_datetime(form, time_unit="us", strict=False).dt.epoch("us") for form in forms
    )


def _iso_like(text: pl.Expr, sample: str) -> pl.Expr:
    """The same for times that are all written as the sample is: three times as fast."""
    found = re.fullmatch(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d(\.(\d{1,6}))?(Z?)", sample)
    if not found:
        return iso_micros(text)
    digits = len(found[3] or "")
    micros = (
        text.str.head(19)
        .str.to_datetime(f"%Y-%m-%d{found[1]}%H:%M:%S", time_unit="us", strict=False)
        .dt.epoch("us")
    )
    alike = text.str.len_bytes() == len(sample)
    if digits:
        part = text.str.slice(20, digits)
        micros += part.cast(pl.Int64, strict=False) * 10 ** (6 - digits)
        alike &= text.str.slice(19, 1) == "."
    if found[4]:
        alike &= text.str.ends_with("Z")
    return pl.when(alike).then(micros)
