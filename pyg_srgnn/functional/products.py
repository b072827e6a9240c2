"""Multiplies session vectors with all items, which are laid out once, or with some."""

from __future__ import annotations

import logging
from functools import cache
from time import perf_counter

import torch
from torch import Tensor

FEW = 2
"""Sessions up to which columns are faster than blocks."""
_SESSIONS = 16  # that the blocks are meant for; others are served by them as well
_TRIED = 64, 8192, 3  # sessions, items and turns of a measurement
_WORTH = 0.9  # of the plain product's time: what blocks must not exceed

log = logging.getLogger(__name__)


@cache
def blocks_are_faster(channels: int) -> bool:
    """Whether this processor multiplies many sessions faster with blocks than with a plain matrix.

    It is measured once for each size of vectors, in a few milliseconds.

    Args:
        channels: Size d of the vectors.
    """
    sessions, items, turns = _TRIED
    with torch.inference_mode():
        asked, vectors = torch.ones(sessions, channels), torch.ones(items, channels)
        packed = PackedItems(vectors, few=False)
        took: dict[str, list[float]] = {"blocks": [], "plain": []}
        for _ in range(turns):  # in turns: what else the machine does slows both
            for name, times in took.items():
                started = perf_counter()
                if name == "blocks":
                    packed.scores(asked)
                else:
                    torch.mm(asked, vectors.T)
                times.append(perf_counter() - started)
    blocks, plain = min(took["blocks"]), min(took["plain"])
    log.debug("products, d %d: blocks %.2g s, plain %.2g s", channels, blocks, plain)
    return blocks <= _WORTH * plain


class PackedItems:
    """Item vectors as columns, for one or two sessions, and in the blocks of oneDNN, for more.

    With columns, a single session takes half of the time that it takes with rows or blocks; with
    blocks, four to eight take half of the time of columns, as a plain matrix is laid out anew for
    every call. Where torch has no oneDNN the columns serve all.

    Args:
        vectors: Item vectors, float32 [V, d] on the CPU; they are copied twice.
        few: Whether to lay out columns, too; else the vectors are kept, not copied. (default: True)
    """

    def __init__(self, vectors: Tensor, few: bool = True) -> None:
        self._few = few
        columns = vectors.detach().T
        self._columns = columns.contiguous() if few else columns
        self._packed: Tensor | None = None
        there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        if there and torch.backends.mkldnn.enabled:
            with torch.no_grad():
                self._packed = torch.ops.mkldnn._reorder_linear_weight(vectors, _SESSIONS)

    def __reduce__(self) -> tuple[type[PackedItems], tuple[Tensor, bool]]:
        """Copied and pickled as the vectors: oneDNN's blocks cannot be."""
        return PackedItems, (self._columns.T, self._few)

    def scores(self, sessions: Tensor) -> Tensor:
        """Inner products [B, V] of session vectors, float32 [B, d], with all items."""
        if self._packed is None or len(sessions) <= FEW:
            return sessions @ self._columns
        scores: Tensor = torch.ops.mkldnn._linear_pointwise(
            sessions, self._packed, None, "none", [], ""
        )
        return scores


def products_with(vectors: Tensor, sessions: Tensor, items: Tensor) -> Tensor:
    """Inner products [B, n] of each session with items of its own.

    Args:
        vectors: Item vectors [V, d].
        sessions: Session vectors [B, d].
        items: Items of each session [B, n].
    """
    rows = vectors.index_select(0, items.flatten()).view(*items.shape, -1)
    # This way round it is ten times as fast as with the rows first.
    return torch.bmm(sessions.unsqueeze(1), rows.transpose(1, 2)).squeeze(1)
