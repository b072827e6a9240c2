"""Bad rows of a click log: counts them, names the first, copies the file without them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from pyg_srgnn.clicklog.dialect import is_utf8, records, whole_file
from pyg_srgnn.clicklog.layout import Layout


@dataclass
class BadRows:
    """Bad rows by reason."""

    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, reason: str, rows: int, where: str, message: str) -> None:
        """Count rows of a reason; the first one added is the one that is named."""
        known = self.found.setdefault(
            reason, {"reason": reason, "rows": 0, "first": f"{where}: {message}"}
        )
        known["rows"] += rows

    def listed(self) -> list[dict[str, Any]]:
        """The reasons as plain values."""
        return list(self.found.values())

    def refuse(self) -> None:
        """Raise what names the first row of every reason, if there is any.

        Raises:
            ValueError: If there is a bad row.
        """
        if self.found:
            remedy = "dataset.on_bad_rows=skip leaves such rows out, and counts them"
            raise ValueError(f"{self.described()}\n{remedy}")

    def described(self) -> str:
        """One line per reason."""
        lines = []
        for known in self.found.values():
            more = known["rows"] - 1
            others = f" (and {more:,} more such row{'s' if more > 1 else ''})" if more else ""
            lines.append(f"{known['first']} – {known['reason']}{others}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Lines:
    """Counts of the lines of a text file.

    Args:
        lines: Their number, the header among them.
        blank: How many of them have nothing in any column.
        plain: Whether each of the others is one record with as many columns as there should be.
    """

    lines: int
    blank: int
    plain: bool


def look_at_lines(file: Path, layout: Layout) -> Lines:
    """Count a text file's lines and their columns: all of them, not only those of a click."""
    line, mark, width = pl.col("line"), layout.delimiter, len(layout.names)
    columns = line.str.count_matches(mark, literal=True) + 1
    quotes = line.str.contains('"', literal=True)
    # A line with a value in each column has so many bytes. Most files have no other lines, and
    # none with quotes: then that is all there is to know.
    short = line.str.len_bytes() < 2 * width - 1
    found = _counted(file, lines=pl.len(), odd=(short | quotes | (columns != width)).any())
    if found and not found["odd"]:
        return Lines(found["lines"], 0, True)
    blank = line.str.strip_chars(f' \t\r"{mark}') == ""
    # A quote that is left after this is out of place, or its value continues on the next line.
    bare = line.str.replace_all(f'(^|{pl.escape_regex(mark)})"(?:[^"]|"")*"', "${1}")
    columns = bare.str.count_matches(mark, literal=True) + 1
    odd = (columns != width) & ~blank | bare.str.contains('"', literal=True)
    late = blank.first()  # Polars leaves blank lines at the beginning out
    found = found and _counted(file, lines=pl.len(), blank=blank.sum(), odd=odd.any() | late)
    return Lines(found["lines"], found["blank"], not found["odd"]) if found else Lines(0, 0, False)


def _counted(file: Path, **asked: pl.Expr) -> dict[str, Any]:
    """Aggregate over the lines of a file; empty if bytes are not UTF-8."""
    scan = pl.scan_lines(file, glob=False).select(**asked)
    try:
        with whole_file(file):
            return scan.collect(engine="streaming").row(0, named=True)
    except pl.exceptions.ComputeError:
        return {}


def copy_without(file: Path, layout: Layout, bad_rows: BadRows, clean: Path) -> tuple[int, int]:
    """Copy a text file, plain and in UTF-8, with a blank line in place of each bad record.

    Returns:
        The number of records, and how many of them are not blank; without the header.
    """
    expected = len(layout.names)
    count = rows = 0
    with clean.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        writer = csv.writer(out, delimiter=layout.delimiter, lineterminator="\n")
        header, body = _header_and_body(file, layout)
        if header:
            writer.writerow(header)
        for number, cells, line in body:
            count += 1
            rows += cells != []
            if (cells and len(cells) == expected and "".join(cells).isascii()) or (
                cells != [] and judge(cells, line, expected, f"{file}, line {number:,}", bad_rows)
            ):
                writer.writerow(cells or ())
            else:
                out.write("\n")
    return count, rows


def nth_record(file: Path, layout: Layout, n: int) -> tuple[int, list[str]]:
    """The line on which a record begins, counted from 0 as :func:`copy_without` does, and it."""
    _, body = _header_and_body(file, layout)
    number, cells, _ = next(islice(body, n, None))
    return number, cells or []


def _header_and_body(
    file: Path, layout: Layout
) -> tuple[list[str], Iterator[tuple[int, list[str] | None, str]]]:
    body = records(file, layout.delimiter, len(layout.names))
    if not layout.header:
        return [], body
    header = next(cells for _, cells, _ in body if cells != [])
    return header or list(layout.names), body


def judge(cells: list[str] | None, line: str, expected: int, where: str, bad_rows: BadRows) -> bool:
    """Whether a record is well-formed; if not, it is added to the bad rows."""
    shown = repr(line[:80])
    if not is_utf8(line, *(cells or ())):
        message = f"found {line[:80].encode('utf-8', 'surrogateescape')!r}, expected UTF-8"
        bad_rows.add("bytes that are not UTF-8", 1, where, message)
    elif cells is None:
        message = f"found {shown}, expected quotes around whole values, and each of them closed"
        bad_rows.add("a quote out of place", 1, where, message)
    elif len(cells) != expected:
        many = f"{len(cells)} column{'s' if len(cells) > 1 else ''}"
        bad_rows.add(
            "wrong number of columns", 1, where, f"found {many} ({shown}), expected {expected}"
        )
    else:
        return True
    return False
