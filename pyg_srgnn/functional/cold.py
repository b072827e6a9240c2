"""Trained items in place of cold ones, which are known by their texts alone."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from pyg_srgnn.functional.whitening import cosine_weights, nearest

STAND_INS = 5  # trained items whose mean a cold item enters the model as


class NewItems(NamedTuple):
    """Items that a trained model gets at the end of its catalogue."""

    text: Tensor
    """Whitened texts of all items, theirs at the end [V + n, F]."""
    stand_ins: Tensor
    """The trained item with the nearest text of each new one [n]."""


def stand_ins(trained: Tensor, cold: Tensor) -> tuple[Tensor, Tensor]:
    """The trained items whose texts are nearest to those of cold items.

    Args:
        trained: Whitened texts of the trained items, of length 1 or 0 [T, F].
        cold: Those of the cold items [C, F].

    Returns:
        Items int64 [C, k] for k = :data:`STAND_INS`, or T if that is less, the nearest first, and
        weights [C, k] that sum to 1; to 0 where an item has no text.
    """
    items, cosine = nearest(cold, trained, min(STAND_INS, len(trained)))
    return items, cosine_weights(cosine)
