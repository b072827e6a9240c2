"""Finds the k best items exactly, without a sort of all items."""

from __future__ import annotations

import torch
from torch import Tensor

_GROUP = 64  # items with one maximum
_SCORES = 2**22  # held at once: 16 MiB in float32
_ROWS_OF_SCORES = 2**26  # held at once where whole rows are asked for: 256 MiB in float32


def rows_at_once(num_items: int, wanted: int) -> int:
    """Sessions that are scored together: as many as wanted, fewer of large catalogues."""
    return max(1, min(wanted, _ROWS_OF_SCORES // num_items))


def best_of_scores(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k greatest scores of every row: ``scores.topk(k)``, faster where rows are long.

    The k best of a row lie in the k groups of items with the greatest maxima, so that only those
    groups have to be searched.

    Args:
        scores: Scores [B, V], in any layout.
        k: How many, from 1 to V.

    Returns:
        Scores and items, best first, [B, k] both. The order of equal scores is open.
    """
    rows, items = scores.shape
    groups = items // _GROUP
    if not scores.is_cpu or groups < 4 * k:
        found = scores.topk(k)
        return found.values, found.indices
    end = groups * _GROUP
    maxima = torch.unflatten(scores[:, :end], 1, (groups, _GROUP)).amax(dim=2)
    chosen = maxima.contiguous().topk(k, sorted=False).indices
    candidates = (chosen.unsqueeze(2) * _GROUP + torch.arange(_GROUP)).flatten(1)
    rest = torch.arange(end, items).expand(rows, -1)
    candidates = torch.cat([candidates, rest], dim=1)
    found = scores.gather(1, candidates).topk(k)
    return found.values, candidates.gather(1, found.indices)


def best_of_products(
    sessions: Tensor, items: Tensor, k: int, offsets: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The k items with the greatest inner products, never holding more than a chunk of scores.

    Args:
        sessions: Session vectors [B, d].
        items: Item embeddings [V, d].
        k: How many, from 1 to V.
        offsets: Added to the products [V]. (default: none)

    Returns:
        Scores and items, best first, [B, k] both.
    """
    values, indices = [], []
    chunk = max(k, _SCORES // max(1, sessions.size(0)))
    for start in range(0, items.size(0), chunk):
        rows = items[start : start + chunk]
        scores = sessions @ rows.T
        if offsets is not None:
            scores += offsets[start : start + chunk]
        value, index = best_of_scores(scores, min(k, rows.size(0)))
        values.append(value)
        indices.append(index + start)
    found = torch.cat(values, dim=1).topk(k)
    return found.values, torch.cat(indices, dim=1).gather(1, found.indices)
