"""Makes the vectors of a catalogue from the texts of its items."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.text.cache import cached_vectors, describe
from pyg_srgnn.text.item_texts import ItemTexts

if TYPE_CHECKING:
    from pyg_srgnn.text.encoder import TextEncoder

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TextVectors:
    """The text vector of every item of a catalogue.

    Args:
        vectors: A vector for each item, zeros where it has no text, float32 [V, F].
        present: Which items have a text, bool [V].
        facts: What describes them, as plain values: ``source``, ``columns``, ``content`` (the
            sha256 of ids and texts), ``encoder`` (its name, version and settings; None of
            ready-made vectors), ``dimensions`` (F) and ``items`` (how many have a text).
    """

    vectors: Tensor
    present: Tensor
    facts: dict[str, Any]

    def __str__(self) -> str:
        """One line of a log."""
        encoder, columns = self.facts["encoder"], ", ".join(self.facts["columns"])
        by = f"encoder {encoder['name']} {encoder['version']}" if encoder else "ready-made vectors"
        return (
            f"{self.facts['items']:,} of {len(self.present):,} items"
            f"{columns and ', columns '}{columns}; {by}, {self.facts['dimensions']:,} dimensions"
        )


def encode_items(
    texts: ItemTexts,
    vocabulary: Vocabulary,
    encoder: TextEncoder | None,
    cache: Path | None,
    progress: bool = True,
) -> TextVectors:
    """Encode the texts of a catalogue's items, equal ones once.

    Items may lack a text, and texts may be of other items; both are counted in the log. An item
    whose vector is all zeros, as that of a text without a word may be, counts as without text.

    Args:
        texts: The texts, or vectors.
        vocabulary: The catalogue, V items.
        encoder: Makes the vectors; None where they are ready-made.
        cache: The folder in which vectors are kept; None: they are not.
        progress: Whether to show a bar where it takes long. (default: True)

    Raises:
        ValueError: If no id is in the catalogue, or no item of it has a text; names what was found
            and what is expected.
    """
    content, texts = texts.content, texts.like(vocabulary)
    item = np.array(vocabulary.encode(texts.ids), dtype=np.int64)
    if not (item >= 0).any():
        found = ", ".join(map(repr, texts.ids[:3])) or "none"
        wanted = ", ".join(map(repr, vocabulary.ids[:3]))
        raise ValueError(
            f"{texts.source}: none of its ids is in the catalogue (found: {found}; expected such "
            f"as: {wanted})"
        )
    if texts.vectors is not None:
        encoder = None
        rows = np.flatnonzero(item >= 0)
        made = texts.vectors[rows]
    else:
        assert texts.texts is not None
        if encoder is None:
            raise ValueError(f"{texts.source}: holds texts, which need an encoder")
        rows = np.flatnonzero((item >= 0) & np.array([text is not None for text in texts.texts]))
        chosen = [str(texts.texts[row]) for row in rows]
        place: dict[str, int] = {}
        places = [place.setdefault(text, len(place)) for text in chosen]
        if not place:
            raise ValueError(f"{texts.source}: no item of the catalogue has a text there")
        made = cached_vectors(encoder, list(place), cache, progress)[places]
    vectors = np.zeros((len(vocabulary), made.shape[1]), dtype=np.float32)
    vectors[item[rows]] = made
    present = vectors.any(axis=1)
    if unknown := int((item < 0).sum()):
        log.info("%s: %s are of items that are not in the catalogue", texts.source, f"{unknown:,}")
    facts = {
        "source": texts.source,
        "columns": list(texts.columns),
        "content": content,
        "encoder": None if encoder is None else describe(encoder),
        "dimensions": vectors.shape[1],
        "items": int(present.sum()),
    }
    return TextVectors(torch.from_numpy(vectors), torch.from_numpy(present), facts)
