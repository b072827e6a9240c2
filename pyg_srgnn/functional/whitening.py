"""Centres and whitens vectors."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_RELAXED = 0.1  # of the mean variance, added to every direction's


class Whitening(NamedTuple):
    """A map of vectors to directions that do not correlate, those of greatest variance first."""

    mean: Tensor
    """Mean of the vectors that it was fitted to [F]."""
    directions: Tensor
    """Directions, each divided by its standard deviation, as columns [F, F]."""

    @classmethod
    def fit(cls, vectors: Tensor) -> Whitening:
        r"""Fit to vectors: :math:`W = U (\Lambda + \epsilon \bar\lambda)^{-1/2}`.

        With :math:`U \Lambda U^\top` the covariance. Raw text vectors lie close together; without
        whitening, all items look alike. It is relaxed by :math:`\epsilon` = 0.1, as directions of
        almost no variance are noise (WhitenRec, `Zhang et al., ICDE 2024
        <https://arxiv.org/abs/2402.10602>`_).

        Args:
            vectors: The vectors, finite [n, F].
        """
        given = vectors.double()
        mean = given.mean(dim=0) if len(given) else given.new_zeros(given.size(1))
        centred = given - mean
        covariance = centred.T @ centred / max(1, len(given) - 1)
        variance, directions = torch.linalg.eigh(covariance)  # ascending
        relaxed = variance.clamp(min=0) + _RELAXED * variance.mean().clamp(min=1e-12)
        scaled = (directions / relaxed.sqrt()).flip(1)
        # The sign of an eigenvector is open: its greatest entry is made positive.
        greatest = scaled.gather(0, scaled.abs().argmax(dim=0, keepdim=True))
        return cls(mean.to(vectors.dtype), (scaled * greatest.sign()).to(vectors.dtype))

    def __call__(self, vectors: Tensor) -> Tensor:
        """Whiten vectors, and bring each to length 1 [n, F]; zeros stay zeros.

        Args:
            vectors: The vectors [n, F]; a row of zeros is an item without text.
        """
        known = (vectors != 0).any(dim=1, keepdim=True)
        centred = vectors - self.mean
        # Lengths do not matter, but the squares of large numbers are beyond float32.
        centred = centred / centred.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
        return F.normalize(centred @ self.directions) * known


def nearest(
    queries: Tensor, vectors: Tensor, k: int, own: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The k vectors of the greatest cosine, a chunk of queries at a time.

    Args:
        queries: Vectors of length 1 or 0 [n, F].
        vectors: Vectors of length 1 or 0 [V, F].
        k: How many, at most V.
        own: Row of ``vectors`` that each query must not find [n]. (default: none)

    Returns:
        Rows int64 [n, k], the nearest first, and their cosines [n, k]; a vector of length 0 has the
        cosine -1 with all others.
    """
    empty = ~(vectors != 0).any(dim=1)
    rows = max(1, _PRODUCTS // max(1, len(vectors)))
    indices, cosines = [], []
    for start in range(0, len(queries), rows):
        part = queries[start : start + rows]
        cosine = (part @ vectors.T).masked_fill_(empty, -1)
        cosine.masked_fill_(~(part != 0).any(dim=1, keepdim=True), -1)
        if own is not None:
            cosine.scatter_(1, own[start : start + rows].unsqueeze(1), -2)
        found = cosine.topk(k)
        indices.append(found.indices)
        cosines.append(found.values.clamp_(min=-1))
    if not indices:
        return torch.empty(0, k, dtype=torch.long), queries.new_empty(0, k)
    return torch.cat(indices), torch.cat(cosines)


def cosine_weights(cosine: Tensor) -> Tensor:
    """Softmax of the cosines that :func:`nearest` finds [n, k]; 0 where a vector has length 0."""
    weight = (_SHARPNESS * cosine).exp() * (cosine > -1)
    return weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-12)


_SHARPNESS = 10
_PRODUCTS = 2**24  # held at once: 64 MiB in float32
