"""Reads a file with the names of items."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyg_srgnn.data.vocabulary import Vocabulary

NAMES = "names.csv"  # beside an export: taken unless others are given
_DELIMITERS = {".csv": (",", ";"), ".tsv": ("\t",)}
_EXPECTED = "a first line with the columns id and name"


def load_names(path: str | Path, vocabulary: Vocabulary) -> dict[int | str, str]:
    """Read the names of items from a table or a JSON object.

    A table, ``.csv`` or ``.tsv``, begins with a line of column names, among them ``id`` and
    ``name``; other columns are ignored. A ``.json`` file is one object that maps ids to names.
    Names of items outside the catalogue are kept for a later model; empty names are not.

    Args:
        path: The file, UTF-8.
        vocabulary: The catalogue; the ids of the file are read as its type.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If the file cannot be read, an id has two different names, or no id is in the
            catalogue; names file and row.
    """
    path = Path(path)
    if path.suffix not in (*_DELIMITERS, ".json"):
        raise ValueError(f"{path}: a file of names ends in .csv, .tsv or .json")
    whole = bool(vocabulary.ids) and type(vocabulary.ids[0]) is int
    names: dict[int | str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _object(file.read(), path) if path.suffix == ".json" else _table(file, path)
            for place, raw, text in rows:
                item = _whole(raw, place) if whole else raw
                name = " ".join(text.split())
                if name and names.setdefault(item, name) != name:
                    raise ValueError(
                        f"{place}: the id {raw!r} has two names, {names[item]!r} and {name!r}"
                    )
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error.reason})") from error
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from error
    if not any(item in vocabulary for item in names):
        found = ", ".join(repr(item) for item in list(names)[:3]) or "no name"
        wanted = ", ".join(repr(item) for item in vocabulary.ids[:3])
        raise ValueError(
            f"{path}: none of its ids is in the catalogue (found: {found}; expected such as: "
            f"{wanted})"
        )
    return names


def _table(file: Any, path: Path) -> Iterator[tuple[str, str, str]]:
    """The rows of a table: place, id, name."""
    first = file.readline()
    file.seek(0)
    delimiters = _DELIMITERS[path.suffix]
    delimiter = max(delimiters, key=first.count)
    rows = csv.reader(file, delimiter=delimiter, strict=True)
    header = [column.strip().lower() for column in next(rows, [])]
    if header.count("id") != 1 or header.count("name") != 1:
        raise ValueError(f"{path}: expected {_EXPECTED} (got {first.strip()[:80]!r})")
    at, name = header.index("id"), header.index("name")
    for row in rows:
        place = f"{path}, line {rows.line_num}"
        if not row:
            continue
        if len(row) <= max(at, name):
            raise ValueError(f"{place}: expected {len(header)} columns (got {len(row)})")
        yield place, row[at].strip(), row[name]


def _object(text: str, path: Path) -> Iterator[tuple[str, str, str]]:
    """The pairs of a JSON object: place, id, name."""
    try:  # pairs, so that a repeated id is noticed
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(pairs, _Pairs):
        raise ValueError(f'{path}: expected one object, {{"id": "name", …}}')
    for raw, name in pairs:
        place = f"{path}, key {raw!r}"
        if not isinstance(name, str):
            raise ValueError(f"{place}: expected a text (got {json.dumps(name)[:80]})")
        yield place, raw, name


class _Pairs(list[tuple[str, Any]]):
    """A JSON object, as opposed to a list."""


def _whole(raw: str, place: str) -> int:
    if raw.isascii() and raw.removeprefix("-").isdecimal() and len(raw) < 1000:
        return int(raw)
    raise ValueError(f"{place}: the catalogue's ids are whole numbers (got {raw[:80]!r})")
