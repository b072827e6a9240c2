"""The result of a preparation, and its folder of Parquet files."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.utils.files import folder_written_aside, target_of

TRAINING, TEST, ITEMS, REPORT = FILES = (
    "training.parquet",
    "test.parquet",
    "items.parquet",
    "report.json",
)
"""The files of such a folder."""

_VISITS = "user", "start", "end"  # columns of the same values for all clicks of a session


@dataclass(frozen=True)
class Prepared:
    """The sessions of a click log, and the report of their preparation.

    Args:
        training: Training sessions in time order.
        test: Test sessions in time order, of items of the vocabulary.
        vocabulary: The raw ids of all items of the training sessions; after them, where they are
            kept, those of the test sessions alone.
        report: Counts of what was read and dropped, and why; plain JSON values.
        texts: The text of every item of the vocabulary, None for one without; None where the log
            was read without texts. (default: None)
    """

    training: Sessions
    test: Sessions
    vocabulary: Vocabulary
    report: dict[str, Any]
    texts: list[str | None] | None = None

    def save(self, folder: str | Path) -> None:
        """Write a folder that any tool can read and any machine can train on.

        ``training.parquet`` and ``test.parquet`` hold one row per click (``session`` and ``item``
        as numbers from 0, ``time`` of the session in seconds since 1970 UTC, if there are times,
        ``event`` and ``pause`` of the click, if there are types or pauses, ``user`` of the session,
        -1 of none, and ``start`` and ``end``, its first and last second, if users are known),
        ``items.parquet`` the raw id of item 0, 1, … and, if there are texts, its ``text``,
        ``report.json`` the report. The folder is written whole or not at all; an older one of that
        name is replaced.

        Raises:
            ValueError: If there is something else under that name.
        """
        folder = target_of(Path(folder))
        folder.parent.mkdir(parents=True, exist_ok=True)
        other = folder.exists() and not is_prepared(folder)
        if other and not (folder.is_dir() and not any(folder.iterdir())):
            raise ValueError(f"{folder} is there and holds something else; name another folder")
        aside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        with folder_written_aside(folder, aside):
            _write(self.training, aside / TRAINING)
            _write(self.test, aside / TEST)
            items = pl.DataFrame({"item": self.vocabulary.ids})
            if self.texts is not None:
                items = items.with_columns(text=pl.Series(self.texts, dtype=pl.String))
            items.write_parquet(aside / ITEMS)
            (aside / REPORT).write_text(json.dumps(self.report, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Prepared:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If the files do not belong together; names the folder.
        """
        folder = Path(folder)
        table = pl.read_parquet(folder / ITEMS)
        items = table["item"].to_list()
        texts = table["text"].to_list() if "text" in table.columns else None
        training, test = (_read(folder / name) for name in (TRAINING, TEST))
        for name, part in ((TRAINING, training), (TEST, test)):
            if part.num_clicks and int(part.items.max()) >= len(items):
                raise ValueError(
                    f"{folder / name}: there is an item {int(part.items.max()):,}, {ITEMS} ends "
                    f"with {len(items) - 1:,}; the files are of different preparations"
                )
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        return cls(training, test, Vocabulary(items), report, texts)


def _write(sessions: Sessions, file: Path) -> None:
    """Write sessions with their marks, one row per click."""
    marks = {"event": sessions.events, "pause": sessions.pauses}
    if sessions.visits is not None:
        of_clicks = sessions.visits.repeat_interleave(sessions.lengths, dim=0)
        marks |= dict(zip(_VISITS, of_clicks.unbind(1), strict=True))
    columns = [pl.Series(name, one.numpy()) for name, one in marks.items() if one is not None]
    sessions.to_polars().with_columns(columns).write_parquet(file)


def _read(file: Path) -> Sessions:
    """Read what :func:`_write` wrote.

    Raises:
        ValueError: If a file with marks is not sorted by sessions.
    """
    sessions, names = Sessions.from_parquet(file), pl.read_parquet_schema(file)
    marks = [name for name in ("event", "pause", *_VISITS) if name in names]
    if not marks:
        return sessions
    table = pl.read_parquet(file, columns=["session", *marks])
    if not table["session"].is_sorted():
        raise ValueError(f"{file}: expected rows sorted by session, as they were written")
    found = {name: torch.from_numpy(table[name].to_numpy(writable=True)) for name in marks}
    of_clicks = found.get("event"), found.get("pause")
    visits = None
    if _VISITS[0] in found:
        visits = torch.stack([found[name] for name in _VISITS], dim=1)[sessions.offsets[:-1]]
    return Sessions(sessions.items, sessions.offsets, sessions.times, *of_clicks, visits)


def is_prepared(path: str | Path) -> bool:
    """Whether a path is a folder that :meth:`Prepared.save` wrote."""
    return all(Path(path, name).is_file() for name in FILES)
