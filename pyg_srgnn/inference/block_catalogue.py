"""Searches a catalogue in float32, its vectors laid out as they are multiplied fastest."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_srgnn.functional.products import PackedItems
from pyg_srgnn.functional.topk import best_of_scores, rows_at_once
from pyg_srgnn.inference.catalogue import Catalogue


class BlockCatalogue(Catalogue):
    """As :class:`Catalogue` in float32, faster, with three times the memory.

    Args:
        vectors: Item vectors, float32 [V, d]; kept, and copied twice.

    Raises:
        ValueError: See :class:`Catalogue`.
    """

    def __init__(self, vectors: Tensor) -> None:
        super().__init__(vectors)
        self.packed = PackedItems(vectors)

    @torch.no_grad()
    def best(self, sessions: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k items with the greatest inner products; see :meth:`Catalogue.best`."""
        self._check(k)
        rows = rows_at_once(len(self), max(1, len(sessions)))
        parts = torch.split(sessions, rows)
        found = [best_of_scores(self.packed.scores(part), k) for part in parts]
        return torch.cat([of[0] for of in found]), torch.cat([of[1] for of in found])

    def _products(self, sessions: Tensor) -> Tensor:
        return self.packed.scores(sessions)
