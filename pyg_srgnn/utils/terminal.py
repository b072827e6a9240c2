"""Terminal output: styles, and tables that fit the width; plain text in files."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing import TextIO


_GAP = 2  # blanks between the columns of a table
_LEAST = 20  # columns in which a text can still be read
_IN_A_FILE = 200  # where no line is wrapped


class Styled(str):
    """Plain text that a terminal shows with styles.

    Args:
        plain: The text.
        styled: The text with the terminal's control codes.
    """

    styled: str

    def __new__(cls, plain: str, styled: str) -> Styled:  # noqa: D102
        text = super().__new__(cls, plain)
        text.styled = styled
        return text


class TerminalHandler(logging.StreamHandler[Any]):
    """Logs to ``sys.stdout`` as it is at the moment: a live bar replaces it, to stay below."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """Where the lines go."""
        return sys.stdout

    def format(self, record: logging.LogRecord) -> str:
        """The message, with its styles where it has some."""
        return record.msg.styled if isinstance(record.msg, Styled) else super().format(record)


def is_live() -> bool:
    """Whether lines can be redrawn: on a capable terminal, in the main process."""
    from multiprocessing import parent_process  # of the jobs of a sweep that run at once

    able = os.environ.get("TERM") not in ("dumb", "unknown")
    return able and sys.stdout.isatty() and parent_process() is None


def width() -> int:
    """Columns of the terminal, or ``COLUMNS`` where that is set."""
    if (columns := os.environ.get("COLUMNS", "")).isdigit():
        return int(columns)
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        try:
            if stream is not None and (found := os.get_terminal_size(stream.fileno()).columns):
                return found
        except (OSError, ValueError):
            continue  # no terminal
    return _IN_A_FILE


def styled(text: str, style: str) -> Styled:
    """A text in one style, such as ``"bold"`` or ``"dim"``."""
    from rich.text import Text

    return _rendered(Text(text, style))


def lines(*parts: str) -> Styled:
    """Texts below one another, each with its styles."""
    return Styled("\n".join(parts), "\n".join(getattr(part, "styled", part) for part in parts))


def facts(found: Mapping[str, str]) -> Styled:
    """A line for everything that has a name; long ones are left to the terminal, to be copied."""
    parts = []
    for name, text in found.items():
        rest = " " * (11 - len(name)) + text
        parts.append(Styled(name + rest, styled(name, "dim").styled + rest))
    return lines(*parts)


def show(text: str) -> None:
    """Print a text with its styles."""
    print(getattr(text, "styled", text))


class Column(NamedTuple):
    """A column of a table."""

    title: str
    """Its header; may have several lines."""
    kind: str = "number"
    """``"number"``, to the right; ``"label"``; or ``"text"``, which may be folded."""
    rank: int = 0
    """Where there is no room, the columns with the greatest ranks go first; 0: it stays."""


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    bold: Collection[int] = (),
    elsewhere: str = "",
    indent: int = 0,
) -> Styled:
    """A table that fits the terminal: columns are left out, or all are set below one another.

    Args:
        columns: Its columns.
        rows: A text for every column.
        bold: The numbers of the rows in bold. (default: none)
        elsewhere: Where the columns are that were left out. (default: nowhere)
        indent: Blanks before every line. (default: 0)
    """
    from rich.cells import cell_len
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    def needed(place: int) -> int:
        cells = [*columns[place].title.split("\n"), *(row[place] for row in rows)]
        most = max(map(cell_len, cells))
        return min(most, _LEAST) if columns[place].kind == "text" else most

    room = width() - indent
    needs = [needed(place) for place in range(len(columns))]
    shown = list(range(len(columns)))
    going = sorted((p for p in shown if columns[p].rank), key=lambda p: columns[p].rank)
    while sum(needs[p] + _GAP for p in shown) - _GAP > room and going:
        shown.remove(going.pop())
    if sum(needs[p] + _GAP for p in shown) - _GAP > room:
        kept = [[row[p] for p in shown] for row in rows]
        return _stacked([_one_line(columns[p]) for p in shown], kept, " " * indent)
    high = max(columns[place].title.count("\n") for place in shown)
    titled = any(column.title for column in columns)
    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=titled)
    for place in shown:
        title, kind, _ = columns[place]
        grid.add_column(
            Text("\n" * (high - title.count("\n")) + title),
            justify="right" if kind == "number" else "left",
            no_wrap=kind != "text",
            overflow="fold",
        )
    for number, row in enumerate(rows):
        cells = [Text(row[place]) for place in shown]
        grid.add_row(*cells, style="bold" if number in bold else None)
    gone = ", ".join(_one_line(column) for p, column in enumerate(columns) if p not in shown)
    parts = [_rendered(Padding(grid, (0, 0, 0, indent), expand=False))]
    if gone:
        parts.append(styled(f"no room for {gone}{elsewhere and f': {elsewhere}'}", "dim"))
    return lines(*parts)


def _stacked(names: Sequence[str], rows: Sequence[Sequence[str]], indent: str) -> Styled:
    longest = max(map(len, names))
    blocks = [
        "\n".join(f"{indent}{n:<{longest}}  {cell}" for n, cell in zip(names, row, strict=True))
        for row in rows
    ]
    text = "\n\n".join(blocks)
    return Styled(text, text)


def _one_line(column: Column) -> str:
    return re.sub(r"(?<!\.)\n", " ", column.title).replace("\n", "")


def _rendered(what: Any) -> Styled:
    """The output of rich, styled where standard output is a terminal."""
    from rich.console import Console

    def drawn(**settings: Any) -> str:
        console = Console(file=io.StringIO(), width=width(), highlight=False, **settings)
        console.print(what, soft_wrap=isinstance(what, str))
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in text.splitlines())

    plain = drawn(color_system=None)
    return Styled(plain, drawn(force_terminal=True) if is_live() else plain)
