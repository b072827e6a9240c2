"""Bad rows of a click log: counted, the first one named, the file copied without them."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyg_srgnn.data.clicks import Layout, lines_of


@dataclass
class BadRows:
    """Bad rows by reason."""

    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, reason: str, rows: int, where: str, said: str) -> None:
        """Count rows of a reason; the first one added is the one that is named."""
        known = self.found.setdefault(
            reason, {"reason": reason, "rows": 0, "first": f"{where}: {said}"}
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
        if not self.found:
            return
        lines = []
        for known in self.found.values():
            more = known["rows"] - 1
            others = f" (and {more:,} more such row{'s' if more > 1 else ''})" if more else ""
            lines.append(f"{known['first']} – {known['reason']}{others}")
        raise ValueError(
            "\n".join(lines) + "\ndataset.on_bad_rows=skip leaves such rows out, and counts them"
        )


def check_form(file: Path, layout: Layout, bad_rows: BadRows, clean: Path | None = None) -> int:
    """Find the rows of a text file whose very form is wrong.

    Args:
        file: The file, plain or compressed.
        layout: How it is to be read.
        bad_rows: Where they are counted.
        clean: A copy without them, plain and in UTF-8. (default: none is written)

    Returns:
        The number of rows, good and bad, without the header.

    Raises:
        ValueError: If the compressed file ends too early.
    """
    rows = 0
    writer = None
    out = None if clean is None else clean.open("w", encoding="utf-8", newline="")
    try:
        if out is not None:
            writer = csv.writer(out, delimiter=layout.delimiter)
        for line, cells in _records(file, layout.delimiter):
            if line == 1 and layout.header:
                expected = len(cells)
                good = True
            else:
                expected = len(layout.names)
                rows += 1
                good = _judge(cells, expected, f"{file}, line {line:,}", bad_rows)
            if good and writer is not None:
                writer.writerow(cells)
    except EOFError as error:
        raise cut_short(file) from error
    finally:
        if out is not None:
            out.close()
    return rows


def cut_short(file: Path) -> ValueError:
    """What is said of a compressed file without an end."""
    return ValueError(
        f"{file} is cut short: the compressed file ends before its content does; fetch it again"
    )


def _judge(cells: list[str], expected: int, where: str, bad_rows: BadRows) -> bool:
    shown = ",".join(cells)[:80]
    if any("\udc80" <= c <= "\udcff" or c == "�" for cell in cells for c in cell):
        said = f"found {_visible(shown)}, expected text in UTF-8"
        bad_rows.add("bytes that are not UTF-8", 1, where, said)
    elif len(cells) != expected:
        quote = ", perhaps a quote that is not closed" if any("\n" in c for c in cells) else ""
        bad_rows.add(
            "wrong number of columns",
            1,
            where,
            f"found {len(cells)} column{'s' if len(cells) > 1 else ''} ({_visible(shown)!r}{quote})"
            f", expected {expected}",
        )
    else:
        return True
    return False


def _visible(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _records(file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, with the line on which it begins."""
    with _opened(file) as lines:
        reader = csv.reader(lines, delimiter=delimiter)
        line = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:  # a field without an end, longer than any field may be
                cells = ["\n"]
            if cells:
                yield line, cells
            line = reader.line_num + 1


def _opened(file: Path) -> Any:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    if file.suffix == ".zst":  # Python knows it from 3.14 on
        return _Lines(file)
    return file.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


class _Lines:
    """The lines of a file that only the engine can decompress."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> Iterator[str]:
        return (line + "\n" for line in lines_of(self.file, None))

    def __exit__(self, *_: object) -> None:
        return None
