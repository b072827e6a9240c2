"""What sessions that are scored together want, each its own number of items by its own rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_srgnn.functional.graphs import places_in
from pyg_srgnn.functional.offsets import Offsets, add_offsets
from pyg_srgnn.functional.topk import best_of_scores

Best = tuple[Tensor, Tensor]
"""Scores and items of some sessions, best first, [B, k] both; minus infinity means no item."""


@dataclass(frozen=True)
class Wanted:
    """The items that some sessions of a batch want.

    Args:
        rows: The numbers of the sessions, ascending.
        k: How many items, from 1 to V.
        offsets: What is added to each item's score. (default: nothing)
        exclude_seen: Whether a session's own items are left out. (default: False)
    """

    rows: Sequence[int]
    k: int
    offsets: Offsets | None = None
    exclude_seen: bool = False


def best_of_all_scores(
    scores: Tensor, clicks: tuple[Tensor, Tensor], wanted: Sequence[Wanted]
) -> list[Best]:
    """The best items by the scores of all of them.

    Args:
        scores: Scores [B, V]; they may be changed in place.
        clicks: Session and item of every click, or of every different one [N].
        wanted: See :meth:`pyg_srgnn.inference.scorer.SessionScorer.best`.
    """
    found = []
    for each in wanted:
        part, seen = scores, clicks
        if len(each.rows) < len(scores):
            rows = torch.as_tensor(each.rows, device=scores.device)
            part = scores.index_select(0, rows)
            row = places_in(rows, len(scores))[clicks[0]]
            seen = row[row >= 0], clicks[1][row >= 0]
        part = add_offsets(part, each.offsets, seen if each.exclude_seen else None)
        found.append(best_of_scores(part, each.k))
    return found
