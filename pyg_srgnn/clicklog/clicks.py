"""Reads a click log: its clicks as a lazy frame, and its bad rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import narwhals as nw

from pyg_srgnn.clicklog.engine import Engine, Staged
from pyg_srgnn.clicklog.layout import Layout
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.clicklog.times import expected_time
from pyg_srgnn.clicklog.zones import in_file_order, localised
from pyg_srgnn.functional.marks import EARLIEST, LATEST


@dataclass(frozen=True)
class Found:
    """Counts and times of a log, before any rule.

    Args:
        rows: Rows read, without the header.
        chosen: Rows that ``where`` chose, bad ones among them.
        bad_rows: For each reason the number of rows and where the first one is.
        first: The earliest time in microseconds since 1970; 0 without times.
        last: The latest, or one that no click is later than.
        timed: Whether the clicks have times.
        repeated_times: Clicks at a time that the clock of ``time_zone`` shows twice.
    """

    rows: int
    chosen: int
    bad_rows: list[dict[str, Any]]
    first: int
    last: int
    timed: bool
    repeated_times: int


def read_clicks(
    engine: Engine, layout: Layout, preparation: Preparation, folder: Path
) -> tuple[nw.LazyFrame[Any], Found]:
    """Stage a log's clicks in Parquet files and leave out, or refuse, its bad rows.

    The staged columns are ``session`` and ``item`` (whole numbers or text), ``time`` (microseconds
    since 1970 UTC), ``order``, ``event`` (the number of the type), ``user`` (text, null where there
    is none) and ``text`` (of the item) where there are any, and ``row``, which counts the log's
    rows.

    Returns:
        The clicks, and what was found.

    Raises:
        ValueError: If a row is bad and ``on_bad_rows`` is ``"error"``.
    """
    layout, staged = _staged(engine, layout, preparation, folder)
    clicks, zone = _with_events(staged.clicks, preparation), preparation.time_zone
    if zone:
        within = nw.col("time").clip(EARLIEST, LATEST)  # the others make bad rows
        span = engine.one_row(clicks.select(within.min().alias("from"), within.max().alias("to")))
        clicks = localised(clicks, zone, *(int(span[end] or EARLIEST) for end in ("from", "to")))
    reasons = _reasons(layout, zone)
    asked = [nw.len().alias("rows")]
    for number, (_, bad) in enumerate(reasons):
        asked.append(bad.cast(nw.Int64).sum().alias(f"bad{number}"))
        first = nw.when(bad).then(nw.col("row")).otherwise(None).min()
        asked.append(first.alias(f"first{number}"))
    good = nw.all_horizontal(*[~bad for _, bad in reasons], ignore_nulls=False)
    if "time" in layout.columns:
        time = nw.when(good).then(nw.col("time")).otherwise(None)
        latest = time + nw.col("later") if zone else time  # which in_file_order may choose
        asked += [time.min().alias("from"), latest.max().alias("to")]
    if zone:
        asked.append((good & (nw.col("later") > 0)).cast(nw.Int64).sum().alias("repeated"))
    answer = engine.one_row(clicks.select(*asked))
    bad_rows = staged.bad_rows
    for number, (reason, _) in enumerate(reasons):
        if count := answer[f"bad{number}"] or 0:
            where, cells = engine.locate(layout, preparation, int(answer[f"first{number}"]))
            message = _message(reason, cells, layout, preparation)
            bad_rows.add(reason, count, where, message)
    if preparation.on_bad_rows == "error":
        bad_rows.refuse()
    refused = sum(int(answer[f"bad{number}"] or 0) for number in range(len(reasons)))
    if refused and refused == answer["rows"]:
        raise ValueError(f"there is no good row:\n{bad_rows.described()}")
    clicks = clicks.filter(good) if refused else clicks
    if zone:
        clicks = engine.store(in_file_order(clicks), folder / "utc")
    return clicks, Found(
        staged.rows,
        int(answer["rows"]),
        bad_rows.listed(),
        int(answer.get("from") or 0),
        int(answer.get("to") or 0),
        "time" in layout.columns,
        int(answer.get("repeated") or 0),
    )


def _staged(
    engine: Engine, layout: Layout, preparation: Preparation, folder: Path
) -> tuple[Layout, Staged]:
    """Stage as the first rows are written; once more with care if later rows differ."""
    staged = engine.stage(layout, preparation, folder / "1", careful=False)
    null = {
        role: nw.col(role).is_null().cast(nw.Int64).sum().alias(role)
        for role in ("session", "item", "time")
        if role in layout.whole
        or (role in layout.columns and role == "time" and "%" not in str(layout.time_format))
    }
    found = engine.one_row(staged.clicks.select(*null.values())) if null else {}
    missing = {role for role, count in found.items() if count}
    if not missing:
        return layout, staged
    text = set()
    for role in missing - {"time"}:
        column = layout.session if role == "session" else layout.columns[role]
        if found[role] > engine.nulls(layout, preparation, column):
            text.add(role)
    if not text and "time" not in missing:
        return layout, staged
    layout = replace(layout, whole=layout.whole - text)
    return layout, engine.stage(layout, preparation, folder / "2", careful=True)


def _with_events(clicks: nw.LazyFrame[Any], preparation: Preparation) -> nw.LazyFrame[Any]:
    """The type of each click as its number among ``events``; null where it is none of them."""
    if preparation.events is None:
        return clicks
    number = nw.lit(None).cast(nw.Int64)
    for at, name in reversed([*enumerate(preparation.events)]):
        number = nw.when(nw.col("event") == name).then(nw.lit(at)).otherwise(number)
    return clicks.with_columns(event=number)


def _reasons(layout: Layout, zone: str | None) -> list[tuple[str, nw.Expr]]:
    """Why a row may be bad; a row is counted once, under the first reason that holds."""
    found = [("no session", nw.col("session").is_null()), ("no item", nw.col("item").is_null())]
    if "time" in layout.columns:
        time = nw.col("time")
        found.append(("unreadable time", time.is_null()))
        if zone:
            found.append((f"time that {zone} skips", nw.col("later") < 0))
        if layout.time_format != "number":
            absurd = ((time < EARLIEST) | (time > LATEST)).fill_null(False)
            found.append(("time before 1990 or after 2100", absurd))
    if "order" in layout.columns:
        found.append(("unreadable order", nw.col("order").is_null()))
    if "event" in layout.columns:
        found.append(("unknown event", nw.col("event").is_null()))
    reasons: list[tuple[str, nw.Expr]] = []
    for reason, bad in found:
        for _, earlier in found[: len(reasons)]:
            bad = bad & ~earlier
        reasons.append((reason, bad))
    return reasons


def _message(reason: str, cells: dict[str, Any], layout: Layout, preparation: Preparation) -> str:
    """Describe the value of a bad row, and the expected one."""
    zone = preparation.time_zone
    if "event" in reason:
        types = ", ".join(preparation.events or ())
        return f"{_found(layout.columns['event'], cells)}, expected one of {types} (dataset.events)"
    if "time" in reason:
        column = layout.columns["time"]
        if "skips" in reason:
            return (
                f"{_found(column, cells)}, expected what a clock in {zone} shows; is it of another "
                f"zone? Give dataset.time_zone"
            )
        message = f"{_found(column, cells)}, expected {expected_time(str(layout.time_format))}"
        if "1990" in reason:
            message += "; is it in another unit? Give dataset.time_format=s, ms, us or ns"
        return message
    role = reason.split()[-1]
    column = layout.session if role == "session" else layout.columns[role]
    what = "a whole number" if role == "order" else "an id"
    value = cells.get(column)
    if isinstance(value, bytes):
        what += " in UTF-8; write raw bytes as text, such as hexadecimal"
    if role != "order" and isinstance(value, float) and isfinite(value):
        what += "; floats this large do not tell all whole numbers apart, write integers or text"
    return f"{_found(column, cells)}, expected {what}"


def _found(column: str, cells: dict[str, Any]) -> str:
    value = cells.get(column)
    return f"{column} is empty" if value in (None, "") else f"{column}={value!r}"
