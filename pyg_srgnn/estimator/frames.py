"""Passes data frames to the preparation of click logs, and makes frames of recommendations."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from pyg_srgnn.clicklog.columns import COMMON_NAMES, likely
from pyg_srgnn.clicklog.layout import find_layout
from pyg_srgnn.clicklog.session_rows import MARKS, session_rows
from pyg_srgnn.clicklog.spec import Preparation

log = logging.getLogger(__name__)

# Of the modules that warn of a frame's file.
_LOGGERS = (__name__, "pyg_srgnn.clicklog.prepare", "pyg_srgnn.clicklog.session_rows")
_FILE = "frame.parquet"
_KEY = re.compile(r"\bdataset\.(?=(session|user|item|time|gap|order|min_support)\b)")
_SETTING = re.compile(r"\b(dataset\.on_bad_rows)=(\w+)")


def write_frame(frame: Any, folder: Path, name: str) -> Path:
    """Write a data frame as a Parquet file.

    Args:
        frame: A frame of pandas or Polars, or of another library that narwhals knows.
        folder: Where the file goes.
        name: What the frame is called, for errors.

    Raises:
        TypeError: If it is no data frame.
        ValueError: If it has no row, or two columns of one name.
    """
    try:
        given = nw.from_native(frame)
    except TypeError as error:
        raise TypeError(
            f"{name} must be a data frame with one row per click, of pandas or Polars (got "
            f"{type(frame).__name__})"
        ) from error
    except Exception as error:  # narwhals' own, of two columns with one name
        raise ValueError(f"{name}: {error}") from error
    eager = given.collect() if isinstance(given, nw.LazyFrame) else given
    if not len(eager):
        raise ValueError(f"{name} has no row; expected one row per click")
    columns = {str(column): _series(eager.get_column(column)) for column in eager.columns}
    path = folder / _FILE
    try:
        pl.DataFrame(columns).write_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{name}: {error}; leave out columns that are not needed") from error
    return path


def _series(values: nw.Series[Any]) -> pl.Series:
    """A column for Polars, without pyarrow; a missing value of any library is null."""
    if isinstance(values.dtype, nw.Datetime):
        micros = values.dt.timestamp("us").to_list()
        known = pl.Series(micros, dtype=pl.Float64).fill_nan(None)
        # What has a zone was counted in UTC; what has none may be of dataset.time_zone.
        zone = None if values.dtype.time_zone is None else "UTC"
        return known.cast(pl.Int64).cast(pl.Datetime("us", zone))
    native = values.to_native()
    if isinstance(native, pl.Series) and native.dtype != pl.Object:
        return native.fill_nan(None) if native.dtype.is_float() else native
    if values.dtype.is_numeric():
        return pl.Series(values.to_numpy()).fill_nan(None)
    missing = values.is_null().to_list()
    found = [None if gone else value for value, gone in zip(values.to_list(), missing, strict=True)]
    made = pl.Series(found, strict=False)
    if made.dtype == pl.Object:  # of Python, such as a UUID, which no file can hold
        return pl.Series([None if value is None else str(value) for value in found])
    return made


@contextmanager
def about(folder: Path, name: str) -> Iterator[None]:
    """Let errors about the file of a frame speak of the frame, and warn of what is logged of it.

    To be used by what the user calls, to which the warnings point.

    Args:
        folder: Where :func:`write_frame` put it.
        name: What the frame is called.
    """
    file, thread = str(folder / _FILE), threading.get_ident()
    found: list[str] = []

    def of_frame(text: str) -> str:
        text = _SETTING.sub(r'settings={"\1": "\2"}', text.replace(file, name))
        return _KEY.sub("", text)

    def heard(record: logging.LogRecord) -> bool:
        """Take the warnings of this thread that name the file out of the log."""
        ours = record.thread == thread and record.levelno == logging.WARNING
        if ours := ours and file in record.getMessage():
            found.append(of_frame(record.getMessage()))
        return not ours

    # Each logger by itself: a filter of their parent does not see what they log.
    loggers = [logging.getLogger(one) for one in _LOGGERS]
    for logger in loggers:
        logger.addFilter(heard)
    try:
        yield
    except ValueError as error:
        raise ValueError(of_frame(str(error))) from error
    finally:
        for logger in loggers:
            logger.removeFilter(heard)
        for text in found:
            warnings.warn(text, stacklevel=4)


def read_sessions(
    frame: Any, preparation: Preparation, whole: bool, folder: Path
) -> tuple[pl.DataFrame, tuple[str, str]]:
    """The sessions of a frame of clicks, made by the rules of training.

    A frame without the column of types is taken, with a warning, for clicks without types.

    Args:
        frame: The clicks; without the column of times, in the order of its rows, and without
            pauses.
        preparation: The columns and rules.
        whole: Whether the catalogue's ids are whole numbers.
        folder: Where temporary files go.

    Returns:
        ``session``, ``items`` and, where the model was trained with them, ``types`` and ``times``
        of the clicks, one row per session; and the names of the first two columns in the frame.

    Raises:
        TypeError: If it is no data frame.
        ValueError: If a column is missing or a value is none.
    """
    path = write_frame(frame, folder, "sessions")
    names = pl.read_parquet_schema(path)
    known = preparation.time
    timed = known in names if known else bool(likely([*names], COMMON_NAMES["time"]))
    if preparation.gap is None and not timed:
        preparation = _without_times(preparation)
    if preparation.event not in (None, *names):
        log.warning("%s has no column %r: its clicks have no types", path, preparation.event)
        preparation = replace(preparation, event=None, events=None, targets=None)
    layout = find_layout((path,), preparation)
    table, clicks = session_rows([path], preparation, None, whole, folder)
    marks = [name for name in MARKS if name in table.collect_schema()]
    found = table.select("session", pl.col(clicks).alias("items"), *marks).collect()
    return found, (layout.session, layout.columns["item"])


def _without_times(preparation: Preparation) -> Preparation:
    """The same for clicks in the order of their rows; by times, nothing is known of them."""
    if preparation.pauses == "order":
        return preparation  # its pauses are of a column, beside which times are needed, too
    return replace(
        preparation,
        time=None,
        time_format=None,
        time_zone=None,
        order="file",
        pauses=None,
        dedupe=False,
    )


def to_frame(like: Any, columns: dict[str, Sequence[Any]]) -> Any:
    """Make a frame of the library that another one is of."""
    backend = nw.from_native(like).implementation
    return nw.from_dict(columns, backend=backend).to_native()
