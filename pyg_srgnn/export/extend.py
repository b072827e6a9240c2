"""Writes an export again with new items, known by their texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from pyg_srgnn.export.model_card import with_added_items
from pyg_srgnn.export.write import (
    TOLERANCE,
    check_output,
    largest_difference,
    seal,
    write_items,
)
from pyg_srgnn.inference.artifact import MOST_OF_CARD, Artifact, checked_size
from pyg_srgnn.inference.exported import ExportedModel
from pyg_srgnn.inference.formats import FILES
from pyg_srgnn.inference.index import Index
from pyg_srgnn.inference.manifest import CARD, MANIFEST, VERSION
from pyg_srgnn.inference.new_texts import Texts, named
from pyg_srgnn.inference.others import keep_others
from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.text.files import read_item_texts
from pyg_srgnn.text.tables import is_table
from pyg_srgnn.utils.files import folder_written_aside, target_of
from pyg_srgnn.utils.lock import sole_writer


class NewItems(NamedTuple):
    """The items of a file that can be added to a model."""

    ids: list[int | str]
    given: Texts | Tensor | Sequence[Any]
    """Their texts, or their vectors."""
    known: int
    """How many others the model knows already."""
    without: int
    """How many others have no text."""


def read_new_items(
    path: str | Path,
    model: Recommender,
    id_column: str | None = None,
    columns: Sequence[str] | None = None,
    skip_known: bool = False,
) -> NewItems:
    """Read the items of a file of texts or vectors; those without a text are left out.

    Args:
        path: The file; see :func:`~pyg_srgnn.text.files.read_item_texts`.
        model: The model that they are added to.
        id_column: The column of the ids. (default: guessed by its name)
        columns: The columns of text, or of vectors. (default: those of the model's texts)
        skip_known: Whether items that the model knows are left out, not refused. (default: False)

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it cannot be read, or the model knows an item of it.
    """
    path = Path(path)
    if columns is None and model.text is not None and is_table(path):
        columns = model.text["columns"] or None
    texts = read_item_texts(path, id_column, columns).like(model.vocabulary)
    known = [raw in model.vocabulary for raw in texts.ids]
    if any(known) and not skip_known:
        ids = [raw for raw, one in zip(texts.ids, known, strict=True) if one]
        raise ValueError(
            f"{path}: ids that are in the catalogue already: {named(ids)}; known=skip leaves them "
            f"out"
        )
    if texts.vectors is not None:
        rows = [row for row, one in enumerate(known) if not one]
        given: Any = texts.vectors[rows]
    else:
        assert texts.texts is not None, "there are texts or vectors"
        some = enumerate(zip(texts.texts, known, strict=True))
        rows = [row for row, (text, one) in some if text is not None and not one]
        given = [texts.texts[row] for row in rows]
    without = len(known) - sum(known) - len(rows)
    return NewItems([texts.ids[row] for row in rows], given, sum(known), without)


def extend(artifact: Artifact, items: NewItems, output: str | Path) -> Path:
    """Write an export again, with more items; see :meth:`pyg_srgnn.Recommender.add_items`.

    The folder is written whole or not at all. It may be that of the export.

    Args:
        artifact: The export.
        items: The items.
        output: The folder; an export that is there is replaced; other files and folders in it are
            kept. Of a link, the folder that it points to.

    Returns:
        The folder.

    Raises:
        ValueError: If an item cannot be added, the folder holds something else, or another command
            is writing it.
        RuntimeError: If the scores of what was written differ.
    """
    output = target_of(Path(output))
    check_output(output)
    model = Recommender.of(artifact)
    model.add_items(items.ids, items.given)
    scorer = model.scorer
    assert isinstance(scorer, ExportedModel)
    manifest = json.loads((artifact.path / MANIFEST).read_text(encoding="utf-8"))
    encoder, card = FILES[manifest["export"]], artifact.path / CARD
    if card.is_file():
        checked_size(artifact.path, CARD, MOST_OF_CARD)
    manifest["version"] = VERSION
    manifest["scorer"] = asdict(scorer.facts)
    manifest["text"]["items"] += len(items.ids)
    manifest["added_items"] = manifest.get("added_items", 0) + len(items.ids)
    aside = output.with_name(f".{output.name}.part")
    with sole_writer(output), folder_written_aside(output, aside):
        shutil.copyfile(artifact.path / encoder, aside / encoder)
        index = scorer.catalogue if isinstance(scorer.catalogue, Index) else None
        write_items(aside, model.vocabulary, scorer.weights, index)
        seal(aside, manifest)
        off = largest_difference(model, Artifact.load(aside, precision="float32"))
        if off > TOLERANCE:
            raise RuntimeError(f"the scores of the new export differ by {off:.2g}")
        if card.is_file():
            before = card.read_text(encoding="utf-8", errors="replace")
            after = with_added_items(before, manifest, len(model.cold))
            (aside / CARD).write_text(after, encoding="utf-8")
            seal(aside, manifest)
        keep_others(output, aside)
    return output
