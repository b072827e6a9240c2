"""Reads sessions in OTTO's form: JSON Lines, one session per line with its events."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from pyg_srgnn.utils.files import written_aside

_EVENT = {"aid": pl.Int64, "ts": pl.Int64, "type": pl.String}
_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "session": pl.Int64,
    "events": pl.List(pl.Struct(_EVENT)),
}
_EXPECTED = (
    'a session such as {"session": 7, "events": [{"aid": 42, "ts": 1661724000278, '
    '"type": "clicks"}]}'
)


def clicks_of_sessions(file: Path, clicks: Path) -> Path:
    """Write a Parquet file with one row per click, ``session``, ``aid``, ``ts`` and ``type``.

    It is read and written in parts, so that memory does not grow with the file.

    Args:
        file: The file of sessions.
        clicks: The Parquet file.

    Returns:
        The Parquet file.

    Raises:
        ValueError: If a line holds something else; names it.
    """
    sessions = pl.scan_ndjson(file, schema=_SCHEMA)
    sessions = sessions.filter(pl.col("events").list.len().fill_null(1) > 0)
    rows = sessions.explode("events").unnest("events")
    try:
        with written_aside(clicks) as aside:
            rows.sink_parquet(aside)
    except pl.exceptions.PolarsError as error:
        _refuse(file)
        raise ValueError(f"{file} cannot be read as sessions: {error}") from error
    empty = pl.scan_parquet(clicks).select(pl.any_horizontal(pl.all().is_null()).any()).collect()
    if empty.item():
        _refuse(file)
    return clicks


def _refuse(file: Path) -> None:
    """Name the first line that is no session.

    Raises:
        ValueError: If there is one.
    """
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip() and not _is_session(line):
                found = line.strip()
                found = found if len(found) < 80 else found[:80] + "…"
                raise ValueError(f"{file}, line {number:,}: expected {_EXPECTED}, found {found}")


def _is_session(line: str) -> bool:
    try:
        held = json.loads(line)
        events = held["events"]
        whole = [held["session"], *(event[key] for event in events for key in ("aid", "ts"))]
        return all(type(number) is int for number in whole) and all(
            isinstance(event["type"], str) for event in events
        )
    except (ValueError, TypeError, KeyError):
        return False
