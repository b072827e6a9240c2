"""Chooses items one after another, so that a list is not ten of the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Cap:
    """At most so many items with the same label.

    Args:
        labels: The labels of each candidate, filled up with -1 [B, P, m].
        most: How many items of a list may share a label.
    """

    labels: Tensor
    most: int


Similar = Callable[[Tensor], Tensor]
"""The similarity of every candidate [B, P] to the chosen one of each row [B]."""


def select(
    scores: Tensor, k: int, weight: float, similar: Similar | None, caps: Sequence[Cap]
) -> tuple[Tensor, Tensor]:
    r"""Choose candidates one after another by maximal marginal relevance, below caps of labels.

    The next one is that with the greatest

    .. math:: (1 - w)\, r_i - w \max_{j \in S} \mathrm{sim}(i, j)

    where :math:`S` are those that are chosen and :math:`r` the scores, taken linearly to 0 … 1 for
    the worst and the best candidate; the first is the best one (Carbonell and Goldstein, *The use
    of MMR*, SIGIR 1998). Of equals the first candidate is chosen.

    Args:
        scores: Of the candidates, best first; minus infinity of none [B, P].
        k: How many are chosen, at most P.
        weight: The weight w of similarity, 0 to 1.
        similar: Measures similarity; not called with a weight of 0.
        caps: A candidate one of whose labels is at its cap is not chosen.

    Returns:
        The candidates chosen [B, k], and whether there is one [B, k]; where there is none, all
        later ones are none either.
    """
    rows = torch.arange(len(scores))
    relevance = (1 - weight) * _relevance(scores)
    left = scores != -torch.inf
    counts = [torch.zeros_like(cap.labels) for cap in caps]
    nearest: Tensor | None = None
    chosen, there = [], []
    for _ in range(k):
        value = relevance if nearest is None else relevance - weight * nearest
        found = value.masked_fill(~left, -torch.inf).max(dim=1)
        best, any_left = found.indices, found.values != -torch.inf
        if not any_left.any():
            break
        chosen.append(best)
        there.append(any_left)
        left[rows, best] = False
        for cap, count in zip(caps, counts, strict=True):
            own = cap.labels[rows, best]
            shared = (cap.labels.unsqueeze(3) == own[:, None, None, :]).any(dim=3)
            count += shared & (cap.labels >= 0) & any_left[:, None, None]
            left &= (count < cap.most).all(dim=2)
        if weight and similar is not None:
            near = similar(best)
            nearest = near if nearest is None else torch.maximum(nearest, near)
    if not chosen:
        none = torch.zeros(len(scores), k, dtype=torch.long)
        return none, none.bool()
    beyond = (0, k - len(chosen))
    return F.pad(torch.stack(chosen, dim=1), beyond), F.pad(torch.stack(there, dim=1), beyond)


def _relevance(scores: Tensor) -> Tensor:
    """Scores from 0 for the worst to 1 for the best candidate, float64 [B, P]."""
    exact = scores.double()
    best = exact[:, :1]
    worst = exact.masked_fill(exact == -torch.inf, torch.inf).amin(dim=1, keepdim=True)
    return ((exact - worst) / (best - worst)).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def cosines(vectors: Tensor) -> Similar:
    """The cosines of candidates' vectors.

    Args:
        vectors: Of length 1, or 0 [B, P, d].
    """

    def similar(chosen: Tensor) -> Tensor:
        own = vectors[torch.arange(len(vectors)), chosen]
        return (vectors @ own.unsqueeze(2)).squeeze(2).double()

    return similar


def shared_labels(labels: Tensor) -> Similar:
    """The share of labels that candidates have in common (Jaccard); 0 without any.

    Args:
        labels: The labels of each candidate, filled up with -1 [B, P, m].
    """
    number = (labels >= 0).sum(dim=2)

    def similar(chosen: Tensor) -> Tensor:
        rows = torch.arange(len(labels))
        own = labels[rows, chosen]
        shared = (labels.unsqueeze(3) == own[:, None, None, :]).any(dim=3) & (labels >= 0)
        both = shared.sum(dim=2)
        either = number + number[rows, chosen].unsqueeze(1) - both
        return both.double() / either.clamp(min=1)

    return similar
