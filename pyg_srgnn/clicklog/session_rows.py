"""Reads the sessions of a file, a row each: from a Parquet file of lists, or a click log."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from pyg_srgnn.clicklog.adapt import adapt
from pyg_srgnn.clicklog.bad_rows import BadRows
from pyg_srgnn.clicklog.clicks import read_clicks
from pyg_srgnn.clicklog.layout import find_layout, scan_parquet
from pyg_srgnn.clicklog.polars_engine import PolarsEngine
from pyg_srgnn.clicklog.session_rules import last_sessions
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.functional.marks import MICROS
from pyg_srgnn.utils.files import is_parquet, os_errors

log = logging.getLogger(__name__)

MARKS = ("types", "times")
"""Columns of lists with what is known of each click: its type, and its time in seconds."""


def session_rows(
    files: Sequence[Path],
    preparation: Preparation,
    new_log: Mapping[str, Any] | None,
    whole: bool,
    work: Path,
) -> tuple[pl.LazyFrame, str]:
    """Read sessions as a table with a row for each.

    Types and times of the clicks, where the input has them, are in columns named :data:`MARKS`: of
    a log, what ``preparation.event`` and ``preparation.pauses`` ask for.

    Args:
        files: Parquet files with a column of lists, or the files of a click log.
        preparation: The columns and rules of a click log.
        new_log: Fields in which this log differs from the one that ``preparation`` was made for;
            None if it has the same layout.
        whole: Whether the catalogue's ids are whole numbers.
        work: A folder for the sessions of a log; those that are complete there are used again.

    Returns:
        The table, and the name of the column that holds each session's clicks as raw ids: null
        stands for a click that cannot be an id of the catalogue.

    Raises:
        ValueError: If the files cannot be understood.
    """
    column = _list_column(files[0]) if is_parquet(files[0]) else None
    if column is None:
        staged = _staged(files, preparation, new_log, whole, work / "sessions")
        return _with_ids(pl.scan_parquet(staged, glob=False), "clicks", whole), "clicks"
    if new_log:
        raise ValueError(
            f"{files[0]}: column {column!r} holds one session per row, and "
            f"{', '.join(f'dataset.{name}' for name in new_log)} is for click logs; leave it out"
        )
    first = scan_parquet(files[0]).collect_schema().names()
    for file in files[1:]:
        if _list_column(file) != column:
            raise ValueError(f"{file}: expected a column {column!r} of lists, as in {files[0]}")
        names = scan_parquet(file).collect_schema().names()
        if {*names} != {*first}:
            raise ValueError(
                f"{file}: columns {', '.join(names)}; expected those of {files[0]}: "
                f"{', '.join(first)}"
            )
    scans = [_with_ids(scan_parquet(file).select(first), column, whole) for file in files]
    return pl.concat(scans, how="vertical_relaxed"), column


def _list_column(file: Path) -> str | None:
    """The column of a Parquet file that holds lists; None where there is none.

    Raises:
        ValueError: If there are several, or they hold no ids.
    """
    schema = scan_parquet(file).collect_schema()
    lists = {name: kind for name, kind in schema.items() if isinstance(kind, pl.List | pl.Array)}
    marks = {name: lists.pop(name) for name in MARKS if name in lists and len(lists) > 1}
    if len(lists) > 1:
        raise ValueError(
            f"{file}: columns {', '.join(lists)} hold lists; expected one, of clicks, beside "
            f"{' and '.join(MARKS)}"
        )
    for name, kind in marks.items():
        fits = kind.inner.is_numeric() if name == "times" else kind.inner == pl.String
        if not (fits or kind.inner == pl.Null):
            expected = "seconds" if name == "times" else "types of clicks, texts"
            raise ValueError(
                f"{file}: column {name!r} holds lists of {kind.inner}; expected {expected}"
            )
    for name, kind in lists.items():
        inner = kind.inner
        if not (inner.is_integer() or inner in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
            raise ValueError(
                f"{file}: column {name!r} holds lists of {inner}; expected raw item ids, whole "
                f"numbers or text"
            )
    return next(iter(lists), None)


def _with_ids(sessions: pl.LazyFrame, column: str, whole: bool) -> pl.LazyFrame:
    """Ids of the catalogue's type; null stands for one that it cannot hold."""
    lists, inner = pl.col(column), sessions.collect_schema()[column].inner  # type: ignore[attr-defined]
    if whole and not inner.is_integer():
        lists = lists.cast(pl.List(pl.String))
        number = pl.element().cast(pl.Int64, strict=False)
        same = number.cast(pl.String) == pl.element()  # "0017" is not the item 17
        lists = lists.list.eval(pl.when(same).then(number))
    kind = pl.List(pl.Int64 if whole else pl.String)
    return sessions.with_columns(lists.cast(kind, strict=False))


def _staged(
    files: Sequence[Path],
    preparation: Preparation,
    new_log: Mapping[str, Any] | None,
    whole: bool,
    folder: Path,
) -> list[Path]:
    """Files with the sessions of a click log, written unless a run before has completed them."""
    complete = folder / "complete"
    if not complete.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        known = bool(preparation.earlier_clicks) and not preparation.of_users
        preparation = replace(preparation.anonymous(), text=None)  # those of training
        if new_log is not None:
            # Users whose sessions have a column of their own are not known here.
            given = {key: value for key, value in new_log.items() if not (known and key == "user")}
            preparation = adapt(preparation, files, given)
        _write_sessions(files, preparation, whole, folder)
        complete.touch()
    return sorted(folder.glob("*.parquet"))


def _write_sessions(
    files: Sequence[Path], preparation: Preparation, whole: bool, folder: Path
) -> None:
    """Write the sessions of a click log, in files each of which fits into memory."""
    staged = folder / "clicks"
    staged.mkdir()
    engine = PolarsEngine()
    layout = find_layout(tuple(files), preparation)
    log.info("%s", layout.describe())
    for doubt in layout.doubts:
        log.warning("%s", doubt)
    if not whole:
        layout = replace(layout, whole=layout.whole - {"item"})
    if preparation.dedupe and "time" not in layout.columns:
        log.warning("dataset.dedupe is left out: without times, a row that repeats may be a click")
        preparation = replace(preparation, dedupe=False)
    clicks, found = read_clicks(engine, layout, preparation, staged)
    if found.bad_rows:
        log.warning(
            "bad rows are left out, as in training (dataset.on_bad_rows=skip); a session that "
            "consists only of such rows gets no recommendation:\n%s",
            BadRows({one["reason"]: one for one in found.bad_rows}).described(),
        )
    marks = _marks(preparation)
    parts = engine.parts(clicks, found.rows, staged / "parts") if found.chosen else []
    for number, part in enumerate(parts):
        path = folder / f"{number:06d}.parquet"
        aside = staged / f"part-{number}"
        aside.mkdir()
        ordered = last_sessions(part, preparation, engine, found, aside).to_native()
        sessions = ordered.group_by("session", maintain_order=True)
        with os_errors(path):
            sessions.agg(pl.col("item").alias("clicks"), *marks).sink_parquet(path)
        shutil.rmtree(aside)
    if not parts:  # no row passes dataset.where
        kinds = clicks.collect_schema().to_polars()
        empty = {"session": kinds["session"], "clicks": pl.List(kinds["item"])}
        pl.DataFrame(schema=empty).write_parquet(folder / "none.parquet")
    shutil.rmtree(staged)


def _marks(preparation: Preparation) -> list[pl.Expr]:
    """The types and times of a session's clicks, as lists."""
    found = []
    if preparation.events is not None:
        names = [*preparation.events]
        types = pl.col("event").replace_strict(range(len(names)), names, return_dtype=pl.String)
        found.append(types.alias("types"))
    if preparation.pauses is not None:
        found.append((pl.col("clock") / MICROS).alias("times"))
    return found
