"""The layout of a click log: its files, its columns, and how their values are written."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pyg_srgnn.clicklog.columns import roles
from pyg_srgnn.clicklog.dialect import (
    best_delimiter,
    dialect,
    fields,
    is_binary,
    is_utf8,
    lines_of,
    records,
    scan_text,
    whole_file,
)
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.clicklog.times import has_clock, time_format
from pyg_srgnn.utils.files import first_bytes, is_parquet

_SAMPLE = 1_000
_UTF8 = (
    "^(?:[0-7].|c[2-9a-f][89ab].|d.[89ab].|e0[ab].[89ab].|ed[89].[89ab].|e[1-9abcef](?:[89ab].){2}"
    "|f0[9ab].(?:[89ab].){2}|f[1-3](?:[89ab].){3}|f48.(?:[89ab].){2})*$"
)  # in hexadecimal


@dataclass(frozen=True)
class Layout:
    """Layout of the files of a log.

    Args:
        files: The files, in order.
        parquet: Whether they are Parquet; text otherwise.
        delimiter: The delimiter of a text file.
        header: Whether a text file begins with its column names.
        names: The names of all columns.
        columns: The column of each role: ``session``, or ``user`` where sessions are made of users'
            clicks, ``item``, ``time``, ``order``, ``event``, and ``user`` beside ``session`` where
            users are known.
        whole: The roles whose ids are whole numbers; the others are text.
        time_format: How times are written, as in ``Preparation``; None without times.
        sample: A time as the log writes it.
        guessed: The roles whose column was guessed, each with the other columns that it might have
            been.
    """

    files: tuple[Path, ...]
    parquet: bool
    delimiter: str
    header: bool
    names: tuple[str, ...]
    columns: dict[str, str]
    whole: frozenset[str]
    time_format: str | None
    sample: str
    guessed: dict[str, tuple[str, ...]]

    @property
    def session(self) -> str:
        """The column whose equal values make a session, or a user."""
        return self.columns.get("session") or self.columns["user"]

    @property
    def known_user(self) -> str | None:
        """The column of the user of each session, where there is one."""
        return self.columns.get("user") if "session" in self.columns else None

    @property
    def doubts(self) -> list[str]:
        """A line for each guess of a column that might have been another one."""
        return [
            f"{self.files[0]}: {role}={self.columns[role]} is a guess, and might be "
            f"{' or '.join(others)}; dataset.{role}=COLUMN settles it"
            for role, others in self.guessed.items()
            if others
        ]

    def describe(self) -> str:
        """One line with the columns, the format of times, and which of them were guessed."""
        roles = ", ".join(
            f"{role}={name}{' (guessed)' if role in self.guessed else ''}"
            for role, name in self.columns.items()
        )
        more = f" and {len(self.files) - 1} more files" if len(self.files) > 1 else ""
        times = f", time_format={self.time_format}" if self.time_format else ", no times"
        split = "" if self.parquet else f", delimiter={self.delimiter!r}"
        return f"{self.files[0]}{more}: {roles}{times}{split}"


def find_layout(files: tuple[Path, ...], preparation: Preparation) -> Layout:
    """Find the layout of a log from the declaration and its first rows.

    Raises:
        ValueError: If a file is empty, a column is missing or there twice, or times cannot be
            understood.
    """
    first = files[0]
    form = _form(first, preparation)
    columns, guessed = roles(first, form.names, preparation)
    used = {*columns.values(), *preparation.where, *(preparation.text or ())}
    rows = None
    for file in files:
        names = _names(file, form)
        if set(names) != set(form.names):
            raise ValueError(
                f"{file} has the columns {', '.join(names)}; expected those of {first}: "
                f"{', '.join(form.names)}"
            )
        if form.parquet:
            _refuse_other_kinds(file, first, columns)
        elif form.header:
            _refuse_repeated(file, form._replace(names=names), used)
        if rows is None:
            rows = _first_rows(file, form._replace(names=names))
    if rows is None:
        more = f", nor has any of the {len(files) - 1} others" if len(files) > 1 else ""
        raise ValueError(f"{first} has {'a header and ' if form.header else ''}no row{more}")
    for name in (*columns.values(), *(preparation.text or ())):
        if rows[name].dtype.is_nested():
            raise ValueError(f"{first}: column {name!r} holds values of type {rows[name].dtype}")
    base = "session" if "session" in columns else "user"
    whole = {
        "session" if role == base else role
        for role in (base, "item")
        if _is_whole(rows[columns[role]])
    }
    written, sample = None, ""
    if "time" in columns:
        values = rows[columns["time"]]
        where = f"{first}: column {values.name!r}"
        written, sample = time_format(values, preparation.time_format, where)
    if preparation.time_zone and not (written and has_clock(written)):
        found = f"those of {first} are written as {written}" if written else f"{first} has none"
        raise ValueError(
            f"dataset.time_zone is for times without a zone, and {found}: leave it out"
        )
    return Layout(files, *form, columns, frozenset(whole), written, sample, guessed)


def column_names(file: Path, preparation: Preparation) -> tuple[str, ...]:
    """The names of a file's columns.

    Raises:
        ValueError: If it is empty, or has no such columns as were declared.
    """
    return _form(file, preparation).names


def _refuse_other_kinds(file: Path, first: Path, columns: dict[str, str]) -> None:
    """Refuse ids of which some files hold another type, unless all are numbers or text."""
    kinds, expected = (scan_parquet(one).collect_schema() for one in (file, first))
    for role, name in columns.items():
        kind, other = kinds[name], expected[name]
        alike = all(one.is_numeric() or one in (pl.String, pl.Null) for one in (kind, other))
        if role in ("session", "user", "item") and kind != other and not alike:
            raise ValueError(
                f"{file}: column {name!r} holds {kind}, and {other} in {first}; expected one type"
            )


def _refuse_repeated(file: Path, form: _Form, used: set[str]) -> None:
    """Refuse needed columns of one name: Polars would read the first, and rename the others."""
    for name in sorted(used):
        if f"{name}_duplicated_0" not in form.names:
            continue
        times = _header_cells(file, form.delimiter).count(name)
        if times > 1:  # that is no name in the file itself
            raise ValueError(
                f"{file}: {times} columns are called {name!r}; expected one, rename the others"
            )


def scan_parquet(file: Path, **options: Any) -> pl.LazyFrame:
    """All columns of a Parquet file; text of any kind is text, bytes that are no text are empty.

    Raises:
        ValueError: If the file is damaged.
    """
    scan = pl.scan_parquet(file, glob=False, **options)
    try:
        schema = scan.collect_schema()
    except pl.exceptions.ComputeError as error:
        raise ValueError(f"{file} is not a whole Parquet file: {error}") from error
    text = [name for name, kind in schema.items() if kind in (pl.Categorical, pl.Enum)]
    bytes_ = [pl.col(name) for name, kind in schema.items() if kind == pl.Binary]
    # No cast leaves out what cannot be cast here.
    utf8 = [pl.when(b.bin.encode("hex").str.contains(_UTF8)).then(b).otherwise(b"") for b in bytes_]
    return scan.with_columns(pl.col(text).cast(pl.String), *(b.cast(pl.String) for b in utf8))


def number_text(text: str) -> str:
    """The text of a number, the same for every type of column: 1 for 1.0."""
    try:
        return f"{Decimal(text).normalize():f}"
    except InvalidOperation:
        return text


class _Form(NamedTuple):
    """The form of a file, as in ``Layout``."""

    parquet: bool
    delimiter: str
    header: bool
    names: tuple[str, ...]


def _form(file: Path, preparation: Preparation) -> _Form:
    if is_parquet(file):
        return _Form(True, ",", True, tuple(scan_parquet(file).collect_schema()))
    line = _first_line(file)
    delimiter = preparation.delimiter or dialect(file).delimiter or best_delimiter(line)
    if preparation.columns is None:
        return _Form(False, delimiter, True, _names(file, _Form(False, delimiter, True, ())))
    names = tuple(preparation.columns)
    found = fields(line, delimiter)
    if tuple(found) == names:
        raise ValueError(f"{file} has a header: leave dataset.columns out")
    if len(found) != len(names):
        raise ValueError(
            f"{file}: the first line has {len(found)} columns between {delimiter!r}, "
            f"dataset.columns names {len(names)}; found {line!r}"
        )
    return _Form(False, delimiter, False, names)


def _first_line(file: Path) -> str:
    """The first line that is not blank.

    Raises:
        ValueError: If there is none, or the file is no text.
    """
    first, *others = [*islice(lines_of(file), 3), ""]
    columns = len(fields(first, best_delimiter(first)))
    if is_binary(first) or (columns == 1 and any(map(is_binary, others))):
        start = first_bytes(file)[:4]
        raise ValueError(f"{file} is not text in UTF-8; it begins with {start!r}")
    line = next((line for line in lines_of(file) if line.strip()), None)
    if line is None:
        raise ValueError(f"{file} is empty; expected one line per click")
    return line


def _names(file: Path, form: _Form) -> tuple[str, ...]:
    """The names of a file's columns in their order."""
    if form.parquet:
        return tuple(scan_parquet(file).collect_schema())
    line = _first_line(file)
    if not form.header:
        return form.names
    try:
        with whole_file(file):
            source = file if dialect(file, form.delimiter).plain else _header(file, form.delimiter)
            return tuple(scan_text(source, form.delimiter, (), True, n_rows=0).collect_schema())
    except (pl.exceptions.PolarsError, csv.Error) as error:
        raise ValueError(f"{file}: its header cannot be read: {line!r}") from error


def _header_cells(file: Path, delimiter: str) -> list[str]:
    header = next(cells for _, cells, _ in records(file, delimiter) if cells != [])
    if header is None:
        raise csv.Error("a quote out of place")
    return header


def _header(file: Path, delimiter: str) -> io.BytesIO:
    """The header of a file as every engine reads it."""
    written = io.StringIO()
    header = _header_cells(file, delimiter)
    csv.writer(written, delimiter=delimiter, lineterminator="\n").writerow(header)
    return io.BytesIO(written.getvalue().encode("utf-8", "surrogateescape"))


def _first_rows(file: Path, form: _Form) -> pl.DataFrame | None:
    """Rows by which the types of columns are known; None where there is no row.

    Bad ones are left out: they are named when all is read.
    """
    if form.parquet:
        rows = scan_parquet(file).head(_SAMPLE).collect()
        return rows if len(rows) else None
    width = len(form.names)
    found = islice(records(file, form.delimiter, width), _SAMPLE)
    head = [cells for _, cells, _ in found if cells != []][form.header :]
    good = [cells for cells in head if cells and len(cells) == width and is_utf8(*cells)]
    schema = dict.fromkeys(form.names, pl.String)
    values = [[None if is_binary(cell) else cell or None for cell in cells] for cells in good]
    return pl.DataFrame(values, schema, orient="row") if head else None


def _is_whole(values: pl.Series) -> bool:
    """Whether ids are whole numbers, equal to their text and back."""
    kind = values.dtype
    if kind.is_integer():
        return True
    if kind.is_decimal():
        values = values.drop_nulls()
        whole = values.cast(pl.Int64, strict=False).cast(kind, strict=False) == values
        return bool(whole.fill_null(False).all())
    if kind.is_numeric():
        numbers = values.fill_nan(None).drop_nulls()
        return bool((numbers % 1 == 0).all())
    if kind != pl.String:
        return False
    return bool(values.drop_nulls().str.contains(r"^(0|-?[1-9]\d{0,17})$").all())
