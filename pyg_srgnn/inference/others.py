"""What lies in the folder of a model beside its files, and stays there when it is written anew."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from pyg_srgnn.inference.card import is_front_matter
from pyg_srgnn.inference.formats import FILES
from pyg_srgnn.inference.manifest import CARD, INDEX, MANIFEST, VOCABULARY, WEIGHTS
from pyg_srgnn.inference.mixture_facts import MEMBER

README = "README.md"
_EXPORTED = {MANIFEST, WEIGHTS, VOCABULARY, INDEX, CARD, *FILES.values()}


def keep_others(before: Path, after: Path, written: Collection[str] = ()) -> None:
    """Copy what is none of a model's own files, such as names of the items or ``.git``.

    Args:
        before: The folder of a model, if there is one.
        after: The folder that takes its place.
        written: Names that were written there beside those of an export. (default: none)

    Raises:
        ValueError: If the new model has a file of the same name.
        OSError: If something cannot be copied.
    """
    if not before.is_dir():
        return
    for path in before.iterdir():
        if path.name in _EXPORTED or path.name in written or MEMBER.fullmatch(path.name):
            continue
        if path.name == README and is_saved_readme(path):
            continue
        kept = after / path.name
        if os.path.lexists(kept):
            raise ValueError(
                f"{path} is no file of a saved model, so it is left alone; move it away"
            )
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, kept, symlinks=True)
        else:
            with suppress(FileNotFoundError):  # removed meanwhile
                shutil.copy2(path, kept, follow_symlinks=False)


def is_saved_readme(path: Path) -> bool:
    """Whether a file is the card that :meth:`pyg_srgnn.Recommender.save` writes."""
    try:
        return is_front_matter(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return False
