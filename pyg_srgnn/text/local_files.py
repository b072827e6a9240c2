"""Identifies a model by its files on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pyg_srgnn.utils.files import sha256_of


def content_of(path: Path) -> str:
    """The first 16 digits of a sha256 of a file, or of all files of a folder with their names.

    Hidden files and ``.md`` files of a folder do not count. A gigabyte takes a second or two.
    """
    if path.is_file():
        return sha256_of(path)[:16]
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path)
        hidden = any(part.startswith(".") for part in name.parts)
        if file.is_file() and not hidden and file.suffix != ".md":
            digest.update(f"{name.as_posix()} {sha256_of(file)}\n".encode())
    return digest.hexdigest()[:16]
