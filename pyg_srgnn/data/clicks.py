"""What a click log looks like: its files, its columns, and how their values are to be read."""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from pyg_srgnn.data.preparation import Preparation

COMMON_NAMES = {
    "session": ("sessionid", "session", "sid", "visitid", "sessid", "sessionkey", "visit"),
    "user": ("userid", "user", "uid", "visitorid", "visitor", "customerid", "clientid"),
    "item": ("itemid", "item", "iid", "productid", "product", "sku", "articleid", "songid"),
    "time": ("timestamp", "time", "ts", "datetime", "eventtime", "eventdate", "date", "createdat"),
}
"""Column names that are understood without being told, compared without case, - and _."""

DELIMITERS = (",", ";", "\t", "|")
UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Microseconds in a unit of time since 1970; nanoseconds are divided."""
EARLIEST, LATEST = 631_152_000_000_000, 4_102_444_800_000_000
"""1990 and 2100, in microseconds since 1970: a time outside was read in a wrong unit."""

_TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".log")
_SAMPLE = 1_000
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d:?\d\d)?")


@dataclass(frozen=True)
class Layout:
    """How the files of a log are to be read.

    Args:
        files: The files, in order.
        parquet: Whether they are Parquet; text otherwise.
        delimiter: What stands between the columns of a text file.
        header: Whether a text file begins with the names of its columns.
        names: The names of all columns.
        columns: The column of each role: ``session`` (or ``user``), ``item``, ``time``, ``order``.
        whole: The roles whose ids are whole numbers; the others are text.
        time_format: How times are written, as in ``Preparation``; None without times.
        sample: A time as it stands in the log.
        guessed: The roles whose column was guessed.
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
    guessed: tuple[str, ...]

    @property
    def session(self) -> str:
        """The column whose equal values make a session, or a user."""
        return self.columns.get("session") or self.columns["user"]

    def describe(self) -> str:
        """One line that says how the log is read, and what of it was guessed."""
        roles = ", ".join(
            f"{role}={name}{' (guessed)' if role in self.guessed else ''}"
            for role, name in self.columns.items()
        )
        more = f" and {len(self.files) - 1} more files" if len(self.files) > 1 else ""
        times = f", time_format={self.time_format}" if self.time_format else ", no times"
        split = "" if self.parquet else f", delimiter={self.delimiter!r}"
        return f"{self.files[0]}{more}: {roles}{times}{split}"


def find_files(path: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """The files that a path, a folder, a glob or several of them stand for, each in name order.

    Raises:
        FileNotFoundError: If one of them stands for no file.
    """
    files: list[Path] = []
    for one in [path] if isinstance(path, str | Path) else path:
        place = Path(one).expanduser()
        if place.is_dir():
            found = [p for p in sorted(place.rglob("*")) if _is_log(p)]
        elif place.is_file():
            found = [place]
        else:
            found = [Path(p) for p in sorted(glob.glob(str(place), recursive=True))]
            found = [p for p in found if p.is_file()]
        if not found:
            raise FileNotFoundError(
                f"{one}: there is no such file, nor a CSV or Parquet file in it"
            )
        files += found
    kinds = {file.suffix == ".parquet" for file in files}
    if len(kinds) > 1:
        raise ValueError(f"{path}: a log is either all Parquet or all text, found both")
    return tuple(files)


def _is_log(path: Path) -> bool:
    suffixes = [s for s in path.suffixes if s not in (".gz", ".zst")][-1:]
    known = (*_TEXT_SUFFIXES, ".parquet")
    return (
        path.is_file() and path.name[0] not in "._" and suffixes[:1] != [] and suffixes[0] in known
    )


def look_at(files: tuple[Path, ...], preparation: Preparation) -> Layout:
    """Find out how a log is to be read from its first rows and what was declared.

    Raises:
        ValueError: If the file is empty, a column is missing, or times cannot be understood.
    """
    first = files[0]
    parquet = first.suffix == ".parquet"
    delimiter, header = ",", True
    if parquet:
        names = tuple(pl.read_parquet_schema(first))
    else:
        delimiter, names, header = _columns_of_text(first, preparation)
    for file in files:
        _same_columns(file, first, parquet, delimiter, header, names)
    columns, guessed = _roles(first, names, preparation, delimiter)
    head = scan_text(first, delimiter, names, header) if not parquet else pl.scan_parquet(first)
    try:
        rows = head.select(set(columns.values())).head(_SAMPLE).collect()
    except pl.exceptions.PolarsError:  # a bad row among the first: they are named when all is read
        rows = pl.DataFrame(schema={name: pl.String for name in set(columns.values())})
    base = "session" if "session" in columns else "user"
    whole = {
        "session" if role == base else role
        for role in (base, "item")
        if _is_whole(rows[columns[role]])
    }
    time_format, sample = None, ""
    if "time" in columns:
        time_format, sample = _time_format(first, columns["time"], rows, preparation)
    return Layout(
        files,
        parquet,
        delimiter,
        header,
        names,
        columns,
        frozenset(whole),
        time_format,
        sample,
        guessed,
    )


def scan_text(
    file: Path, delimiter: str, names: Sequence[str], header: bool, **options: Any
) -> pl.LazyFrame:
    """All columns of a text file, as text."""
    schema = None if header else {name: pl.String for name in names}
    return pl.scan_csv(
        file, separator=delimiter, has_header=header, schema=schema, infer_schema=False, **options
    )


def lines_of(file: Path, count: int | None) -> list[str]:
    """The first lines (None: all) of a text file, which may be compressed.

    Bytes that are not UTF-8 stand there as �.
    """
    try:
        frame = pl.scan_csv(
            file,
            separator="\x1f",
            has_header=False,
            quote_char=None,
            infer_schema=False,
            encoding="utf8-lossy",
            schema={"line": pl.String},
            truncate_ragged_lines=True,
            n_rows=count,
        ).collect()
    except pl.exceptions.NoDataError:
        return []
    return [line or "" for line in frame["line"].to_list()]


def _columns_of_text(file: Path, preparation: Preparation) -> tuple[str, tuple[str, ...], bool]:
    lines = lines_of(file, 2)
    if not any(line.strip() for line in lines):
        raise ValueError(f"{file} is empty; expected a line a click")
    if preparation.columns is not None:
        names = tuple(preparation.columns)
        delimiter = preparation.delimiter or _best_delimiter(lines[0])
        found = len(_fields(lines[0], delimiter))
        if found != len(names):
            raise ValueError(
                f"{file}: the first line has {found} columns between {delimiter!r}, "
                f"dataset.columns names {len(names)}; found {lines[0]!r}"
            )
        return delimiter, names, False
    delimiter = preparation.delimiter or _best_delimiter(lines[0])
    names = tuple(scan_text(file, delimiter, (), True, n_rows=0).collect_schema())
    if len(lines) < 2:
        raise ValueError(f"{file} has a header and no row: {lines[0]!r}")
    return delimiter, names, True


def _best_delimiter(line: str) -> str:
    return max(DELIMITERS, key=lambda d: len(_fields(line, d)))


def _fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _same_columns(
    file: Path, first: Path, parquet: bool, delimiter: str, header: bool, names: tuple[str, ...]
) -> None:
    if file == first or not (parquet or header):
        return
    if parquet:
        found = tuple(pl.read_parquet_schema(file))
    elif not any(line.strip() for line in lines_of(file, 1)):
        raise ValueError(f"{file} is empty; expected the columns {', '.join(names)}")
    else:
        found = tuple(scan_text(file, delimiter, (), True, n_rows=0).collect_schema())
    if set(found) != set(names):
        raise ValueError(
            f"{file} has the columns {', '.join(found)}; expected those of {first}: "
            f"{', '.join(names)}"
        )


def _roles(
    file: Path, names: tuple[str, ...], preparation: Preparation, delimiter: str
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The column of every role, and which of them were guessed."""
    plain = {re.sub(r"[\W_]", "", name.lower()): name for name in reversed(names)}
    guesses = {
        role: next((plain[n] for n in common if n in plain), None)
        for role, common in COMMON_NAMES.items()
    }
    told = {role: getattr(preparation, role) for role in COMMON_NAMES}
    base = "user" if preparation.gap and not told["session"] else "session"
    if base == "session" and not told["session"] and not guesses["session"] and guesses["user"]:
        raise ValueError(
            f"{file}: there is a column {guesses['user']!r} of users and none of sessions; give "
            f"dataset.gap=30m (how long a silence ends a session), or dataset.session=COLUMN"
        )
    columns: dict[str, str] = {}
    guessed = []
    for role in (base, "item", "time"):
        name = told[role] or guesses[role]
        if name is None and role == "time" and preparation.order == "file":
            continue
        if name is None or name not in names:
            raise ValueError(_no_column(file, role, name, names, delimiter))
        columns[role] = name
        guessed += [] if told[role] else [role]
    if preparation.order not in ("time", "file"):
        if preparation.order not in names:
            raise ValueError(_no_column(file, "order", preparation.order, names, delimiter))
        columns["order"] = preparation.order
    for name in preparation.where:
        if name not in names:
            raise ValueError(_no_column(file, "where", name, names, delimiter))
    return columns, tuple(guessed)


def _no_column(
    file: Path, role: str, name: str | None, names: Sequence[str], delimiter: str
) -> str:
    what = f"no column {name!r} (dataset.{role})" if name else f"no column known to be the {role}"
    text = f"{file}: there is {what}; its columns are {', '.join(map(repr, names))}"
    if len(names) == 1:
        other = _best_delimiter(names[0])
        count = len(_fields(names[0], other))
        if count > 1:
            return text + f". With {other!r} there are {count}: give dataset.delimiter={other!r}"
    if not name and role == "time":
        return text + ". Give dataset.time=COLUMN, or dataset.order=file if there is none"
    if not name and all(re.fullmatch(r"[\d\s.,:TZ+-]*", n) for n in names):
        return text + ". That looks like a row: give dataset.columns=[…] if there is no header line"
    return text + ("" if name else f". Give dataset.{role}=COLUMN")


def _is_whole(values: pl.Series) -> bool:
    """Whether ids are whole numbers that text can be turned into and back."""
    if values.dtype.is_integer():
        return True
    if values.dtype.is_float():
        return bool((values.drop_nulls() % 1 == 0).all())
    if values.dtype != pl.String:
        return False
    return bool(values.drop_nulls().str.contains(r"^(0|-?[1-9]\d{0,17})$").all())


def _time_format(
    file: Path, column: str, rows: pl.DataFrame, preparation: Preparation
) -> tuple[str, str]:
    values = rows[column].drop_nulls()
    told = preparation.time_format
    sample = str(values[0]) if len(values) else ""
    if told is not None:
        if told not in ("s", "ms", "us", "ns", "iso", "number") and "%" not in told:
            raise ValueError(
                f"dataset.time_format={told!r}: expected s, ms, us, ns, iso, number, or a pattern "
                f"such as '%d.%m.%Y %H:%M'"
            )
        return told, sample
    if values.dtype.is_temporal():
        return "iso", sample
    if values.dtype.is_numeric() or (len(values) and values.str.contains(r"^-?\d+(\.\d+)?$").all()):
        numbers = values.cast(pl.Float64)
        middle = abs(float(numbers.median() or 0))  # type: ignore[arg-type]
        # A present-day time has 10 digits in seconds, 13 in ms, 16 in µs, 19 in ns.
        return next(
            (u for u, top in (("s", 1e11), ("ms", 1e14), ("us", 1e17)) if middle < top), "ns"
        ), sample
    if len(values) and not values.str.contains(f"^{_ISO.pattern}$").any():
        raise ValueError(
            f"{file}: column {column!r} holds {sample!r}, which is neither a time since 1970 nor "
            f"ISO 8601; give dataset.time_format, such as '%d.%m.%Y %H:%M'"
        )
    return "iso", sample
