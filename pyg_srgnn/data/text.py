"""Text files of clicks, plain or compressed, as Polars scans them and as Python reads them."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def scan_text(
    file: Path, delimiter: str, names: Sequence[str], header: bool, **options: Any
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
    """Say it clearly where a compressed file ends too early or is damaged.

    Raises:
        ValueError: In place of what the reader of the format says.
    """
    try:
        yield
    except (EOFError, zlib.error, OSError) as error:
        # What the operating system has to say has a number; Polars puts it into the text.
        if getattr(error, "errno", None) or "(os error" in str(error) or not _magic(file):
            raise
        raise cut_short(file) from error


def cut_short(file: Path) -> ValueError:
    """What is said of a compressed file without an end."""
    return ValueError(f"{file} is cut short or damaged, it cannot be decompressed; fetch it again")


def first_bytes(file: Path) -> bytes:
    """Some bytes of the beginning of a file as it lies there."""
    with file.open("rb") as opened:
        return opened.read(1024)


def _magic(file: Path) -> bytes:
    """By which a compressed file is known, whatever its name; empty for a plain one."""
    start = first_bytes(file)
    return next((magic for magic in (_GZIP, _ZSTD) if start.startswith(magic)), b"")


def is_utf8(*texts: str) -> bool:
    """Whether texts that were read with surrogates have none."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def lines_of(file: Path) -> Iterator[str]:
    """The lines of a text file; bytes that are not UTF-8 become surrogates."""
    with whole_file(file), _opened(file) as lines:
        for line in lines:
            yield line.rstrip("\r\n")


def records(
    file: Path, delimiter: str, expected: int | None = None
) -> Iterator[tuple[int, list[str] | None, str]]:
    """Read a text file record by record: slower than Polars, but nothing stops it.

    Bytes that are not UTF-8 become surrogates.

    Args:
        file: The file.
        delimiter: What stands between its columns.
        expected: The number of columns. (default: any)

    Yields:
        The number of the line on which the record begins, its cells (none where nothing stands in
        them, None where a quote is out of place or not closed), and that line. Of a record over
        several
        lines that has not the expected number of columns only the first line counts, so that a
        quote that nobody closed costs one line, not all that follow.
    """
    with whole_file(file), _opened(file) as opened:
        lines = _Lines(opened)
        reader, number = lines.reader(delimiter), 1
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
                reader, cells = lines.reader(delimiter), None  # the old one may be at its end
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

    def reader(self, delimiter: str) -> Iterator[list[str]]:
        """The records of the lines from here on."""
        return csv.reader(iter(self), delimiter=delimiter, strict=True)

    def give_back(self) -> None:
        """Give back what was taken after the first line."""
        self.again += reversed(self.taken[1:])
        del self.taken[1:]


@contextmanager
def _opened(file: Path) -> Iterator[Iterator[str]]:
    magic = _magic(file)
    if magic == _ZSTD:  # Python knows it from 3.14 on
        yield _decompressed(file)
        return
    options = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": "\n"}
    with gzip.open(file, "rt", **options) if magic else file.open(**options) as lines:  # type: ignore[call-overload]
        yield lines


def _decompressed(file: Path) -> Iterator[str]:
    # No text has the separator; what is not UTF-8 becomes the character that stands for it.
    scan = scan_text(file, "\0", ["line"], False, quote_char=None, encoding="utf8-lossy")
    for batch in scan.collect_batches(maintain_order=True):
        for line in batch["line"]:
            yield (line or "").replace("\ufffd", "\udcff") + "\n"
