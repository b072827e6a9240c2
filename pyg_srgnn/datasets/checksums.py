"""Checksums of local files, computed again only when a file has changed."""

from __future__ import annotations

import json
import time
from pathlib import Path

from pyg_srgnn.utils.files import sha256_of, write_text
from pyg_srgnn.utils.progress import working

_SETTLED = 2.0  # seconds after which a file's time of change would tell of another change


def remembered_sha256(path: Path, memory: Path) -> str:
    """Return the sha256 of a file that may be too large to be hashed at every start.

    It is taken from ``memory`` as long as the file's size and time of change are the ones noted
    there.

    Args:
        path: The file.
        memory: A JSON file that notes size, time of change and sha256 of files by their path; made
            if missing, made again if damaged. Where it cannot be written, nothing is remembered.

    Raises:
        OSError: If the file cannot be read.
    """
    name, state = str(path.resolve()), path.stat()
    found = _notes(memory)
    if found.get(name, [])[:2] == [state.st_size, state.st_mtime_ns]:
        return str(found[name][2])
    with working(f"hashing {path.name}"):
        checksum = sha256_of(path)
    if time.time() - state.st_mtime > _SETTLED:
        try:
            note = [state.st_size, state.st_mtime_ns, checksum]
            write_text(memory, json.dumps(_notes(memory) | {name: note}))
        except OSError:
            pass  # a read-only folder only costs time
    return checksum


def _notes(memory: Path) -> dict[str, list[int | str]]:
    try:
        notes = json.loads(memory.read_text(encoding="utf-8"))
        return {name: note for name, note in notes.items() if len(note) == 3}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
