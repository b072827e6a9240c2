"""Files: written whole or not at all, hashed, and identified by their content."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PARQUET = b"PAR1\x15"  # the mark, and the first field of what follows; PAR1 may begin a text


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to, and rename it to ``path`` once it is whole.

    The name aside holds the machine and the process id, so that two writers never share one; what
    a failed writer leaves is removed.

    Raises:
        OSError: Such as that the disk is full; names the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.part")
    try:
        with os_errors(path):
            yield aside
            flush(aside)
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8 as :func:`written_aside` does."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def target_of(path: Path) -> Path:
    """What a link points to, which need not be there; any other path as it is."""
    return path.resolve() if path.is_symlink() else path


@contextmanager
def folder_written_aside(folder: Path, aside: Path) -> Iterator[Path]:
    """Make the folder ``aside`` to write files to, and rename it to ``folder`` once it is whole.

    Folders of either name are replaced; files of a failed writer are removed. A folder that
    is there is called ``.NAME.old`` between two renames. Where a writer was killed just then, the
    next one gives it back its name before anything else. A link is not followed: give
    :func:`target_of` it.

    Raises:
        OSError: Such as that the disk is full.
    """
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with os_errors(aside):
            if old.is_dir() and not os.path.lexists(folder):
                old.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
            aside.mkdir(parents=True)
            yield aside
            for file in aside.rglob("*"):
                if file.is_file():
                    flush(file)
            _swap(folder, aside, old)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _swap(folder: Path, aside: Path, old: Path) -> None:
    """Rename a folder that is there to ``old``, and ``aside`` to its name; then remove it."""
    if folder.is_dir() and not folder.is_symlink():
        folder.rename(old)
    try:
        aside.rename(folder)
    except BaseException:
        with suppress(OSError):  # that there is none, or that its name is taken
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_bytes(file: Path) -> bytes:
    """The first bytes of a file."""
    with file.open("rb") as opened:
        return opened.read(1024)


def is_parquet(file: Path) -> bool:
    """Whether a file is Parquet, by its content."""
    return first_bytes(file).startswith(_PARQUET)


def flush(path: Path) -> None:
    """Wait until a file's bytes are on the disk, so that no later rename can overtake them."""
    mode = "rb"
    if os.name == "nt":  # which flushes only what is open for writing
        if not os.access(path, os.W_OK):
            return  # a copy of what is read-only, such as git's objects
        mode = "r+b"
    with path.open(mode) as file:
        os.fsync(file.fileno())


@contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Raise errors of the operating system as ``OSError`` with their path.

    Polars and safetensors raise exceptions of their own, with its number in the text, and torch a
    ``RuntimeError`` in whose context it is.

    Raises:
        OSError: Such as that the disk is full.
    """
    try:
        yield
    except Exception as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        cause = error.__context__ if isinstance(error, RuntimeError) else error
        number = int(found[1]) if found else getattr(cause, "errno", None)
        if number is None or getattr(error, "filename", None):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
