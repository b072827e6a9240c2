"""Finds the files of a click log in folders and by globs."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Sequence
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path

from pyg_srgnn.clicklog.dialect import best_delimiter, fields, is_binary, lines_of
from pyg_srgnn.utils.files import is_parquet

_TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".log")
_TABLES = {"_delta_log": "Delta", ".hoodie": "Hudi", "metadata/*.metadata.json": "Iceberg"}
_NAMED = 3


def find_files(path: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """The files of a path, a folder, a glob or several of them, each in name order.

    The content of a file decides whether it is Parquet or text. A file that is reached twice counts
    once. Below a folder or a glob, names that begin with ``.`` or ``_`` are left out, as are files
    of a folder that are no log; a warning names them.

    Raises:
        FileNotFoundError: If one of them has no file.
        ValueError: If Parquet and text are mixed, or if a table's log lists which of its files
            are current.
    """
    files: dict[Path, Path] = {}  # by their real path
    for one in [path] if isinstance(path, str | Path) else path:
        place = Path(one).expanduser()
        found = [place] if place.is_file() else _below(place)
        if not found:
            raise FileNotFoundError(
                f"{one}: there is no such file, nor a CSV or Parquet file in it"
            )
        for file in found:
            files.setdefault(file.resolve(), file)
    if len({is_parquet(file) for file in files.values()}) > 1:
        raise ValueError(f"{path}: a log is either all Parquet or all text, found both")
    return tuple(files.values())


def _below(place: Path) -> list[Path]:
    """The files of a log below a folder, or those that a glob names."""
    if place.is_dir():
        given, paths = len(place.parts), sorted(place.rglob("*"))
    else:
        given = len(list(takewhile(lambda part: not glob.has_magic(part), place.parts)))
        paths = [Path(path) for path in sorted(glob.glob(str(place), recursive=True))]
    there = [path for path in paths if path.is_file()]
    asked = [part for part in place.parts if part[0] in "._"]
    hidden = {
        path
        for path in there
        for part in path.parts[given:]
        if part[0] in "._" and not any(fnmatch(part, name) for name in asked)
    }
    files = [path for path in there if path not in hidden]
    for folder in {folder for file in files for folder in file.parents}:
        _refuse_table(folder)
    logs = [file for file in files if _is_log(file)] if place.is_dir() else files
    left_out = [path for path in there if path not in logs]
    # Marks and checksums such as _SUCCESS and .part-0.csv.crc hold no clicks.
    left_out = [path for path in left_out if path not in hidden or _is_log(path)]
    if logs and left_out:
        names = ", ".join(map(str, left_out[:_NAMED])) + ", …" * (len(left_out) > _NAMED)
        warnings.warn(
            f"{place}: files left out: {len(left_out):,}, hidden (. or _ first) or neither Parquet "
            f"nor named like a text log: {names}",
            stacklevel=3,
        )
    return logs


def _is_log(file: Path) -> bool:
    """Whether a file of a folder holds clicks."""
    if is_parquet(file):
        return True
    suffixes = [s for s in map(str.lower, file.suffixes) if s not in (".gz", ".zst")][-1:]
    if suffixes:
        return suffixes[0] in _TEXT_SUFFIXES
    # A README has no suffix either, but hardly columns: after its commas there are blanks.
    line = next(filter(str.strip, lines_of(file)), "")
    cells = fields(line, best_delimiter(line))[1:]
    return not is_binary(line) and bool(cells) and not any(cell[:1] == " " for cell in cells)


def _refuse_table(folder: Path) -> None:
    """Refuse a table whose log says which of its files are current: the others count twice."""
    for mark, kind in _TABLES.items():
        if next(folder.glob(mark), None):
            raise ValueError(
                f"{folder} is a {kind} table, whose log says which of its files are current; "
                f"write its rows to Parquet files of their own, and give dataset.path these"
            )
