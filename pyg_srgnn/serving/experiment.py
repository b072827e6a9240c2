"""An A/B test: which sessions the challenger answers, and a log of what was answered."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import IO, Any

from pyg_srgnn.inference.answer import Answer

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "A", "B"
"""The names of the models: that of ``checkpoint``, and that of ``challenger``."""


def model_of(session: str | None, share: float, experiment: str) -> str:
    """The model that answers a session: always the same one of a session.

    Args:
        session: Its key; without one, ``"A"`` answers.
        share: Share of the sessions that ``"B"`` answers, from 0 to 1. A session that it answers
            it also answers with a greater share.
        experiment: What tells this test from others, in which other sessions go to ``"B"``.
    """
    if session is None:
        return CHAMPION
    digest = blake2b(f"{experiment}\0{session}".encode(), digest_size=8).digest()
    return CHALLENGER if int.from_bytes(digest) < share * 2**64 else CHAMPION


class AnswerLog:
    """Appends a line of JSON for every session answered: ids alone, no scores and no addresses.

    A line has the ``time`` (UTC), the key of the ``session`` or null, the ``model``, the ``items``
    clicked and the items ``recommended``. A file that is moved away, as logrotate does, is made
    anew with the next line. Several processes may append to one file.

    Args:
        path: The file; it is appended to.

    Raises:
        OSError: If it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        _end_line(Path(path))
        self._handler = _WholeLines(path, encoding="utf-8")

    def write(
        self, session: str | None, model: str, items: Sequence[int | str], answer: Answer
    ) -> None:
        """Add a line; where that fails, as on a full disk, stderr says so, and no answer fails."""
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "session": session,
            "model": model,
            "items": list(items),
            "recommended": [raw for raw, _ in answer.items],
        }
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        try:
            self._handler.handle(logging.makeLogRecord({"msg": text}))
        except OSError as error:  # it was moved away, and cannot be made anew
            log.error("an answer cannot be logged: %s", error, extra={"event": "answer_lost"})

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class _WholeLines(WatchedFileHandler):
    """Writes a line at once, whatever its length, so that those of several processes do not mix."""

    def _open(self) -> io.TextIOWrapper:
        file = io.FileIO(self.baseFilename, "a")
        return io.TextIOWrapper(file, encoding=self.encoding, write_through=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, while no other process looks whether the last one was finished."""
        self.reopenIfNeeded()
        locked = self.stream is not None and _lock(self.stream, exclusive=False)
        try:
            logging.FileHandler.emit(self, record)
        finally:
            if locked and self.stream is not None:
                fcntl.flock(self.stream, fcntl.LOCK_UN)


def _lock(file: IO[Any], exclusive: bool) -> bool:
    """Wait for a lock; False where the system or the file system has none, as some mounts."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
    except OSError:
        return False
    return True


def _end_line(path: Path) -> None:
    """End a line that a killed service has left unfinished, so that the next one is whole."""
    if path.is_file() and path.stat().st_size:
        with path.open("ab+") as file:  # what is written comes last, whatever others write
            # Several workers start at once, and others may be in the middle of a line.
            _lock(file, exclusive=True)
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
