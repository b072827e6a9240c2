"""A directory is written by one process at a time."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

# What a killed process leaves holds its lock for a moment: workers that look after it now and then.
_PASSING_AWAY = 30.0


class DirectoryTaken(ValueError):
    """Another process is at work in the directory."""


@contextmanager
def sole_process(directory: Path, waits: bool) -> Iterator[None]:
    """Be the only process that writes into a directory; however it ends, the lock ends with it.

    Args:
        directory: Made where it is missing; holds ``.lock`` and ``.pid`` meanwhile.
        waits: For as long as another one is at work, instead of refusing.

    Raises:
        DirectoryTaken: If another process is at work there; names its id.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock, named = FileLock(directory / ".lock"), directory / ".pid"
    try:
        lock.acquire(timeout=0 if _is_alive(_read(named)) else _PASSING_AWAY)
    except Timeout:
        other = _read(named)
        told = f"{directory}: process {other or 'unknown'} is at work there already"
        if not waits or other == os.getpid():
            raise DirectoryTaken(
                f"{told}; wait for it, or choose another directory (hydra.sweep.dir=DIR)"
            ) from None
        log.info("%s; waiting for it", told)
        lock.acquire()
    try:
        named.write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield
    finally:
        named.unlink(missing_ok=True)
        lock.release()


def _read(named: Path) -> int | None:
    """The process id in a file; None where there is none, or not yet."""
    try:
        return int(named.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _is_alive(process: int | None) -> bool:
    """Whether there is such a process here; one of another machine counts as alive if it may be."""
    if process is None:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
