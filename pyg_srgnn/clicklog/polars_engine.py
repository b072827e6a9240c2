"""The Polars engine: one machine, streaming."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from pyg_srgnn.clicklog.bad_rows import BadRows, copy_without, look_at_lines, nth_record
from pyg_srgnn.clicklog.dialect import dialect, scan_text, whole_file
from pyg_srgnn.clicklog.engine import Staged, parquet_row, piece_folders
from pyg_srgnn.clicklog.layout import Layout, scan_parquet
from pyg_srgnn.clicklog.polars_values import id_of, is_asked, joined_text, no_id, whole_of
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.clicklog.times import is_local, micros
from pyg_srgnn.utils.files import os_errors
from pyg_srgnn.utils.progress import working


@dataclass(frozen=True)
class _Source:
    """A file of a log as Polars reads it.

    Args:
        file: The file.
        read: What is read: the file, or a copy without its bad records.
        records: How many numbers its rows take: blank lines and bad records have one, too.
        rows: How many of them are not blank.
        gaps: Whether there are blank lines in what is read.
    """

    file: Path
    read: Path
    records: int
    rows: int
    gaps: bool


CLICKS_AT_ONCE = 1 << 22
"""Clicks that are made sessions of in memory at once: about 0.8 GB."""

_CHECKED = pl.lit(False).alias("short"), pl.lit(False).alias("others")


class PolarsEngine:
    """One machine: Polars' streaming engine."""

    def __init__(self) -> None:
        self.sources: list[_Source] = []
        self.staged: list[Path] = []
        self.bad_rows = BadRows()

    def stage(
        self,
        layout: Layout,
        preparation: Preparation,
        folder: Path,
        careful: bool,
    ) -> Staged:
        """Write one Parquet file for each file of the log."""
        folder.mkdir(parents=True)
        if not careful:
            self.sources, self.bad_rows = [], BadRows()
        self.staged, offset = [], 0
        for number, file in enumerate(layout.files):
            staged = folder / f"{number:06}.parquet"
            self.staged.append(staged)
            if careful:
                self._sink(number, layout, preparation, staged, offset, careful)
            elif not self._sink_regular(file, layout, preparation, staged, offset):
                self.sources.append(self._source(file, layout, staged.with_suffix(".csv")))
                self._sink(number, layout, preparation, staged, offset, careful)
            offset += self.sources[number].records
        if preparation.on_bad_rows == "error":
            self.bad_rows.refuse()
        rows = sum(source.rows for source in self.sources)
        return Staged(nw.from_native(pl.scan_parquet(self.staged, glob=False)), rows, self.bad_rows)

    def _sink_regular(
        self, file: Path, layout: Layout, preparation: Preparation, part: Path, offset: int
    ) -> bool:
        """Stage a text file in one go; False where a row of it may have a wrong form."""
        if layout.parquet or not dialect(file, layout.delimiter).plain:
            return False
        scan = scan_text(file, layout.delimiter, layout.names, layout.header)
        names = list(scan.collect_schema())
        # Polars fills a row that is too short with nulls, and reports one that is too long only
        # if every column is selected.
        others = set(names) - {*layout.columns.values(), *preparation.where, names[-1]}
        unused = pl.any_horizontal(pl.col(*others).is_null()) if others else pl.lit(False)
        checks = pl.col(names[-1]).is_null().alias("short"), unused.alias("others")
        source = _Source(file, file, 0, 0, gaps=False)
        numbered = _numbered(source, layout, offset)
        try:
            with whole_file(file), working(f"reading {file.name}", part):
                _write(_parsed(numbered, layout, preparation, False, *checks), part)
                counted = scan if preparation.where else pl.scan_parquet(part, glob=False)
                rows = int(counted.select(pl.len()).collect(engine="streaming").item())
        except pl.exceptions.ComputeError:
            return False
        if pl.scan_parquet(part, glob=False).select(pl.col("short").any()).collect().item():
            return False
        self.sources.append(replace(source, records=rows, rows=rows))
        return True

    def _source(self, file: Path, layout: Layout, clean: Path) -> _Source:
        if layout.parquet:
            rows = int(scan_parquet(file).select(pl.len()).collect().item())
            return _Source(file, file, rows, rows, gaps=False)
        if not dialect(file, layout.delimiter).plain:
            return self._cleaned(file, layout, clean)
        with working(f"looking at {file.name}"):
            found = look_at_lines(file, layout)
        if found.plain:
            lines = found.lines - layout.header
            return _Source(file, file, lines, lines - found.blank, found.blank > 0)
        return self._cleaned(file, layout, clean)

    def _cleaned(self, file: Path, layout: Layout, clean: Path) -> _Source:
        with os_errors(clean), working(f"looking for bad rows in {file.name}", clean):
            counts = copy_without(file, layout, self.bad_rows, clean)
            return _Source(file, clean, *counts, gaps=True)

    def _sink(
        self,
        number: int,
        layout: Layout,
        preparation: Preparation,
        part: Path,
        offset: int,
        careful: bool,
    ) -> None:
        """Stage one file."""
        source = self.sources[number]
        try:
            scan = _numbered(source, layout, offset)
            with working(f"reading {source.file.name}", part):
                _write(_parsed(scan, layout, preparation, careful, *_CHECKED), part)
        except pl.exceptions.ComputeError as error:
            if layout.parquet or source.read != source.file:
                raise ValueError(f"{source.file} cannot be read: {error}") from error
            # Python's reader understands quotes that Polars does not.
            clean = part.with_suffix(".csv")
            self.sources[number] = self._cleaned(source.file, layout, clean)
            if preparation.on_bad_rows == "error":
                self.bad_rows.refuse()
            self._sink(number, layout, preparation, part, offset, careful)

    def nulls(self, layout: Layout, preparation: Preparation, column: str) -> int:
        """Number of rows without a value in a column."""
        count = 0
        for source in self.sources:
            scan = _scan(source, layout)
            schema = scan.collect_schema()
            asked = scan.filter(is_asked(preparation, schema))
            frame = asked.select(no_id(pl.col(column), schema[column]).sum())
            count += int(frame.collect(engine="streaming").item() or 0)
        return count

    def locate(
        self,
        layout: Layout,
        preparation: Preparation,
        row: int,
    ) -> tuple[str, dict[str, Any]]:
        """File and line of a row as text, and its values."""
        for source in self.sources:
            if row < source.records:
                break
            row -= source.records
        file = source.file
        if layout.parquet:
            return parquet_row(file, row)
        names = list(_scan(source, layout).collect_schema())
        number = row + layout.header + 1
        if source.read == file:
            line = pl.scan_lines(file, glob=False).slice(number - 1, 1).collect().item()
            cells = next(csv.reader([line], delimiter=layout.delimiter))
        else:
            number, cells = nth_record(file, layout, row)
        return f"{file}, line {number:,}", dict(zip(names, cells, strict=False))

    def one_row(self, frame: nw.LazyFrame[Any]) -> dict[str, Any]:
        """Compute a frame of one row."""
        with working("counting clicks"):
            answer: pl.DataFrame = frame.to_native().collect(engine="streaming")
        return answer.row(0, named=True)

    def keep(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        """Compute a frame now, in memory."""
        with working("making sessions"):
            kept: pl.DataFrame = frame.to_native().collect(engine="streaming")
        return nw.from_native(kept.lazy())

    def store(self, frame: nw.LazyFrame[Any], path: Path) -> nw.LazyFrame[Any]:
        """Compute a frame now, into a file."""
        path = path.with_suffix(".parquet")
        with working("making sessions", path):
            _write(frame.to_native(), path)
        return nw.from_native(pl.scan_parquet(path, glob=False))

    def gather(self, frame: nw.LazyFrame[Any], path: Path) -> pl.DataFrame:
        """Hand a frame over to Polars, as it is."""
        native: pl.DataFrame = frame.to_native().collect()
        return native

    def parts(self, clicks: nw.LazyFrame[Any], rows: int, path: Path) -> list[nw.LazyFrame[Any]]:
        """Divide clicks by a hash of their session; the staged files are deleted."""
        count = 1 + rows // CLICKS_AT_ONCE
        if count == 1:
            return [clicks]
        piece = (pl.col("session").hash(seed=0) % count).cast(pl.Int64).alias("piece")
        pieces = self.scatter([nw.from_native(clicks.to_native().with_columns(piece))], path)
        for file in self.staged:
            file.unlink()
        return [nw.from_native(scan_folders(folders)) for folders in pieces]

    def scatter(self, frames: Iterable[nw.LazyFrame[Any]], path: Path) -> list[list[Path]]:
        """Write frames to folders of Parquet files, in each a folder for each piece."""
        for number, frame in enumerate(frames):
            below = path / str(number)
            with working("sorting clicks", below):
                pieces = pl.PartitionBy(below, key="piece", include_key=False)
                _write(frame.to_native(), below, pieces)
        return piece_folders(path)

    def scan(self, path: Path) -> nw.LazyFrame[Any]:
        """Open a Parquet file."""
        return nw.from_native(pl.scan_parquet(path, glob=False))


def _scan(source: _Source, layout: Layout, **options: Any) -> pl.LazyFrame:
    if layout.parquet:
        return scan_parquet(source.read, **options)
    scan = scan_text(source.read, layout.delimiter, layout.names, layout.header, **options)
    if not source.gaps:
        return scan
    # A line with nothing in it is no click.
    return scan.filter(pl.any_horizontal(pl.col(layout.names).str.strip_chars() != ""))


def _numbered(source: _Source, layout: Layout, offset: int) -> pl.LazyFrame:
    """The rows of a file, their number in the column that :func:`_row` names."""
    return _scan(source, layout, row_index_name=_row(layout), row_index_offset=offset)


def _row(layout: Layout) -> str:
    """A name that no column of the log has."""
    name = "row"
    while name in layout.names:
        name += "_"
    return name


def scan_folders(folders: list[Path]) -> pl.LazyFrame:
    """The Parquet files of some folders, as one table."""
    files = [file for folder in folders for file in sorted(folder.glob("*.parquet"))]
    return pl.scan_parquet(files, glob=False, hive_partitioning=False)


def _write(frame: pl.LazyFrame, path: Path, pieces: pl.PartitionBy | None = None) -> None:
    # It is read a few times and thrown away: compression and statistics cost more than they save.
    with os_errors(path):
        frame.sink_parquet(pieces or path, compression="uncompressed", statistics=False)


def _parsed(
    frame: pl.LazyFrame, layout: Layout, preparation: Preparation, careful: bool, *checks: pl.Expr
) -> pl.LazyFrame:
    """Typed columns, and whether a row is too short or lacks a value in an unused column."""
    schema = frame.collect_schema()
    columns = [
        id_of(pl.col(name), schema[name], role in layout.whole).alias(role)
        for role, name in (("session", layout.session), ("item", layout.columns["item"]))
    ]
    if name := layout.columns.get("time", ""):
        time = micros(pl.col(name), schema[name], str(layout.time_format), layout.sample, careful)
        columns.append(time.alias("time"))
        if preparation.time_zone:
            local = is_local(pl.col(name), schema[name], str(layout.time_format))
            columns.append(local.alias("local"))
    if name := layout.columns.get("order", ""):
        columns.append(whole_of(pl.col(name), schema[name]).alias("order"))
    if name := layout.columns.get("event", ""):
        columns.append(id_of(pl.col(name), schema[name], whole=False).alias("event"))
    if name := layout.known_user or "":
        columns.append(id_of(pl.col(name), schema[name], whole=False).alias("user"))
    if preparation.text:
        columns.append(
            joined_text([(pl.col(c), schema[c]) for c in preparation.text]).alias("text")
        )
    if preparation.where:  # a row whose form is wrong is looked at though it is not asked for
        frame = frame.filter(is_asked(preparation, schema) | checks[0])
    return frame.select(*columns, pl.col(_row(layout)).cast(pl.Int64).alias("row"), *checks)
