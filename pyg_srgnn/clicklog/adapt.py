"""Adapts the preparation of one log to another log with a different layout."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyg_srgnn.clicklog.columns import COMMON_NAMES
from pyg_srgnn.clicklog.layout import column_names, find_layout
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.clicklog.times import has_clock

log = logging.getLogger(__name__)


def adapt(trained: Preparation, files: Sequence[Path], given: Mapping[str, Any]) -> Preparation:
    """The same rules, and the same columns where the new log has them; the others are guessed.

    A condition of ``where`` on a column that the new log lacks is left out, with a warning, and so
    are types of clicks.

    Args:
        trained: The preparation of the first log.
        files: The files of the new log.
        given: Fields of :class:`Preparation` that are known of the new log.

    Raises:
        ValueError: If what is given does not fit together or the log cannot be read.
    """
    other = {"session": "user", "user": "session"}
    cleared: dict[str, Any] = {other[name]: None for name in given if name in other}
    asked = replace(trained, **(cleared | dict(given)))
    asked, names = _read_as(asked, files[0], given)
    gone = [
        role
        for role in COMMON_NAMES
        if role not in given and getattr(asked, role) not in (None, *names)
    ]
    if ("time" in gone or asked.time != trained.time) and "time_format" not in given:
        gone.append("time_format")  # that of another column
    where = {name: v for name, v in asked.where.items() if "where" in given or name in names}
    for name in asked.where.keys() - where.keys():
        log.warning(
            "%s has no column %r: %s=%s, as in training, is not required",
            *(files[0], name, name, asked.where[name]),
        )
    if "event" not in given and asked.event not in (None, *names):
        log.warning("%s has no column %r: its clicks have no types", files[0], asked.event)
        gone += ["event", "events", "targets"]
    guessed: dict[str, Any] = dict.fromkeys(gone)
    found = replace(asked, where=where, **guessed)
    if found.time_zone is not None and "time_zone" not in given:
        without = replace(found, time_zone=None)
        written = find_layout(tuple(files), without).time_format
        if not (written and has_clock(written)):  # such times need no zone
            return without
    return found


def _read_as(
    asked: Preparation, file: Path, given: Mapping[str, Any]
) -> tuple[Preparation, tuple[str, ...]]:
    """The names of a file's columns, and how they were found."""
    declared = {getattr(asked, role) for role in COMMON_NAMES} - {None} | {*(asked.columns or ())}
    # First with a header, which the new log may have where the first one had none.
    for free in (("columns",), (), ("columns", "delimiter")):
        guessed: dict[str, Any] = {name: None for name in free if name not in given}
        form = replace(asked, **guessed)
        try:
            names = column_names(file, form)
        except ValueError:
            continue
        if declared.intersection(names) or (not declared and len(names) > 1):
            break
    else:
        names = column_names(file, form)  # raises what stands in the way, or all is guessed
    return form, names
