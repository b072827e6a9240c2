"""A lock on a directory: one process writes into it at a time."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

# Workers of a killed process hold its lock until they notice, seconds later.
_WORKERS_END = 30.0


class DirectoryTaken(ValueError):
    """Another process works in the directory."""


@contextmanager
def sole_process(directory: Path, waits: bool) -> Iterator[None]:
    """Lock a directory for this process; the lock ends with the block or the process.

    Args:
        directory: Created if missing; holds ``.lock`` and ``.pid`` meanwhile.
        waits: Whether to wait for another process, instead of refusing.

    Raises:
        DirectoryTaken: If another process works there; names its id.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock, named = FileLock(directory / ".lock"), directory / ".pid"
    try:
        lock.acquire(timeout=0 if _is_alive(_read(named)) else _WORKERS_END)
    except Timeout:
        other = _read(named)
        message = f"{directory}: process {other or 'unknown'} is at work there already"
        if not waits or other == os.getpid():
            raise DirectoryTaken(
                f"{message}; wait for it, or choose another directory (hydra.sweep.dir=DIR)"
            ) from None
        log.info("%s; waiting for it", message)
        lock.acquire()
    try:
        named.write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield
    finally:
        named.unlink(missing_ok=True)
        lock.release()


def _read(named: Path) -> int | None:
    """The process id in a file; None if it is missing or empty."""
    try:
        return int(named.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _is_alive(process: int | None) -> bool:
    """Whether there is such a process on this machine."""
    if process is None:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
