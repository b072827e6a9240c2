"""Reads text files of clicks, plain or compressed, with Polars or record by record."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from pyg_srgnn.utils.files import first_bytes

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_START = 1 << 16  # characters by which a dialect is known
DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Dialect:
    r"""Differences of a text file from the CSV that every engine reads.

    Args:
        newline: The end of a line: ``"\r"`` in files of old Macs, ``"\r\r\n"`` where a program
            converted newlines twice. (default: ``"\n"``, perhaps after one ``"\r"``)
        delimiter: The delimiter that a first line such as ``sep=;``, as Excel writes it, names.
            (default: ``""``, there is no such line)
        escaped: Whether a quote within quotes is written ``\\"`` instead of ``""``.
            (default: False)
        blanks: Whether a blank follows, or precedes, each delimiter. (default: False)
    """

    newline: str = "\n"
    delimiter: str = ""
    escaped: bool = False
    blanks: bool = False

    @property
    def plain(self) -> bool:
        """Whether every engine can read the file as it is."""
        return self == Dialect()


def dialect(file: Path, delimiter: str = "") -> Dialect:
    """Find out the dialect of a text file from its beginning.

    Args:
        file: The file.
        delimiter: The delimiter of its columns. (default: unknown; then only the newlines and
            the first line are examined)
    """
    start = _start(file)
    newline = "\r\r\n" if "\r\r\n" in start else "\n"
    if "\n" not in start and "\r" in start[:-1]:
        newline = "\r"
    lines = start.split(newline)
    named = re.fullmatch(r'"?(?i:sep)=(.)"?\r?', lines[0])
    if named:
        del lines[0]
    if not delimiter:
        return Dialect(newline, named[1] if named else "")
    whole = lines[:-1] or lines  # the last one may be cut
    escaped = '\\"' in start and _is_escaped(whole, delimiter)
    beside = f"{delimiter} " in start or f" {delimiter}" in start
    blanks = beside and _has_blanks(whole, delimiter)
    return Dialect(newline, named[1] if named else "", escaped, blanks)


def best_delimiter(line: str) -> str:
    """The delimiter that splits a line into most columns."""
    return max(DELIMITERS, key=lambda d: len(fields(line, d)))


def fields(line: str, delimiter: str) -> list[str]:
    """The columns of a line."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # such as a line end within it
        return line.split(delimiter)


def _is_escaped(lines: list[str], delimiter: str) -> bool:
    """Whether a line is a record only with backslashes before quotes, and none only without."""

    def width(line: str, escape: str | None) -> int:
        reader = csv.reader([line], delimiter=delimiter, strict=True, escapechar=escape)
        try:
            return len(next(reader))
        except (csv.Error, StopIteration):
            return 0

    columns = width(next(filter(str.strip, lines)), None)
    reader = csv.reader([f"{line}\n" for line in lines], delimiter=delimiter, strict=True)
    with suppress(csv.Error):  # records over several lines, too
        if all(len(cells) in (0, columns) for cells in reader):
            return False
    odd = [line for line in lines if '\\"' in line]
    plain, escaped = ([width(line, escape) == columns for line in odd] for escape in (None, "\\"))
    only_escaped = [one > other for one, other in zip(escaped, plain, strict=True)]
    only_plain = [one < other for one, other in zip(escaped, plain, strict=True)]
    return any(only_escaped) and not any(only_plain)


def _has_blanks(lines: list[str], delimiter: str) -> bool:
    """Whether all delimiters have a blank on the same side; a header may have none."""
    after = before = found = 0
    for line in lines[1:] or lines:
        cells = re.sub('"(?:[^"]|"")*"', "x", line).split(delimiter)
        after += sum(cell[:1] == " " for cell in cells[1:])
        before += sum(cell[-1:] == " " for cell in cells[:-1])
        found += len(cells) - 1
        if max(after, before) < found:
            return False
    return found > 0


def scan_text(
    file: Path | BytesIO, delimiter: str, names: Sequence[str], header: bool, **options: Any
) -> pl.LazyFrame:
    """All columns of a text file, as text."""
    schema = None if header else dict.fromkeys(names, pl.String)
    return pl.scan_csv(
        file,
        separator=delimiter,
        has_header=header,
        schema=schema,
        infer_schema=False,
        glob=False,
        **options,
    )


@contextmanager
def whole_file(file: Path) -> Iterator[None]:
    """Raise one clear error for a compressed file that is cut short or damaged.

    Raises:
        ValueError: In place of the errors of the decompressor.
    """
    try:
        yield
    except (EOFError, zlib.error, OSError) as error:
        # Errors of the operating system have a number; Polars puts it into the text.
        if getattr(error, "errno", None) or "(os error" in str(error) or not _magic(file):
            raise
        raise cut_short(file) from error


def cut_short(file: Path) -> ValueError:
    """The error for a compressed file that is cut short or damaged."""
    return ValueError(f"{file} is cut short or damaged, it cannot be decompressed; fetch it again")


def _magic(file: Path) -> bytes:
    """First bytes that identify a compressed file; empty for a plain one."""
    start = first_bytes(file)
    return next((magic for magic in (_GZIP, _ZSTD) if start.startswith(magic)), b"")


def is_binary(text: str) -> bool:
    """Whether a text contains a null character."""
    return "\0" in text


def is_utf8(*texts: str) -> bool:
    """Whether texts contain no surrogates, which stand for bytes that are not UTF-8."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def lines_of(file: Path) -> Iterator[str]:
    """The lines of a text file without a first one such as ``sep=;``.

    Bytes that are not UTF-8 become surrogates.
    """
    with whole_file(file), _opened(file, dialect(file)) as lines:
        for line in lines:
            yield line.rstrip("\r\n")


def records(
    file: Path, delimiter: str, expected: int | None = None
) -> Iterator[tuple[int, list[str] | None, str]]:
    """Read a text file record by record: slower than Polars, but malformed records are no obstacle.

    Bytes that are not UTF-8 become surrogates.

    Args:
        file: The file.
        delimiter: The delimiter.
        expected: The number of columns. (default: any)

    Yields:
        The number of the line on which the record begins, its cells (an empty list for a
        blank line, None where a quote is out of place or not closed), and that line. Of a record
        over several lines with another number of columns than expected, only the first line
        counts, so that a quote that is never closed costs one line, not all that follow.
    """
    form = dialect(file, delimiter)
    options = {"delimiter": delimiter, "skipinitialspace": form.blanks}
    options |= {"escapechar": "\\"} if form.escaped else {}
    with whole_file(file), _opened(file, form) as opened:
        lines = _Lines(opened)
        reader, number = lines.reader(options), 2 if form.delimiter else 1
        while True:
            lines.taken.clear()
            cells: list[str] | None
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                cells = None
            line = lines.taken[0]
            if len(lines.taken) > 1 and (cells is None or len(cells) != (expected or len(cells))):
                lines.give_back()
                reader, cells = lines.reader(options), None  # the old one may be at its end
            if cells and form.blanks:
                cells = [cell.rstrip(" ") for cell in cells]
            if cells is not None and not any(map(str.strip, cells)):
                cells = []
            yield number, cells, line.rstrip("\r\n")
            number += len(lines.taken)


class _Lines:
    """Lines that can be given back to be read again."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines
        self.taken: list[str] = []
        self.again: list[str] = []

    def __iter__(self) -> Iterator[str]:
        while line := self.again.pop() if self.again else next(self.lines, ""):
            self.taken.append(line)
            yield line

    def reader(self, options: dict[str, Any]) -> Iterator[list[str]]:
        """The records of the lines from here on."""
        return csv.reader(iter(self), strict=True, **options)

    def give_back(self) -> None:
        """Give back what was taken after the first line."""
        self.again += reversed(self.taken[1:])
        del self.taken[1:]


def _start(file: Path) -> str:
    """The beginning of a text file; bytes that are not UTF-8 are replaced."""
    with whole_file(file):
        magic = _magic(file)
        if magic == _ZSTD:
            return "".join(islice(_decompressed(file, "\n"), 1_000)).removesuffix("\n")
        with gzip.open(file) if magic else file.open("rb") as opened:
            return opened.read(_START).decode("utf-8-sig", "replace")


@contextmanager
def _opened(file: Path, form: Dialect) -> Iterator[Iterator[str]]:
    """The lines of a file, without the one that names the delimiter."""
    magic, end = _magic(file), form.newline[-1]
    if magic == _ZSTD:  # Python knows it from 3.14 on
        lines = _decompressed(file, end)
        yield islice(lines, 1 if form.delimiter else 0, None)
        return
    options = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": end}
    with gzip.open(file, "rt", **options) if magic else file.open(**options) as lines:  # type: ignore[call-overload]
        yield islice(lines, 1 if form.delimiter else 0, None)


def _decompressed(file: Path, newline: str) -> Iterator[str]:
    # No text has the separator; what is not UTF-8 becomes the character that stands for it.
    options = {"quote_char": None, "encoding": "utf8-lossy", "eol_char": newline}
    for batch in scan_text(file, "\0", ["line"], False, **options).collect_batches(
        maintain_order=True
    ):
        for line in batch["line"]:
            yield (line or "").replace("\ufffd", "\udcff") + "\n"
