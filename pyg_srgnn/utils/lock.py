"""A lock on an output: one command writes it at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def sole_writer(output: Path) -> Iterator[None]:
    """Lock a file or folder for who writes it; the lock ends with the block or the process.

    Args:
        output: What is written; ``.NAME.lock`` lies beside it meanwhile.

    Raises:
        ValueError: If another command writes it.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    path = output.with_name(f".{output.name}.lock")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"{output}: another command is writing it; wait for its end, or give another name"
        ) from None
    try:
        yield
    finally:
        # Before the lock ends, so that nobody else can have it yet; Windows lets it go only then.
        with suppress(OSError):
            path.unlink()
        lock.release()
