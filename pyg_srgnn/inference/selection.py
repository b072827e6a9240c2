"""Chooses the items of a list one after another, so that it is not ten of the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Labelled:
    """The labels of candidates, of which one has none or several, each once.

    Args:
        rows: The candidate of each label that one has, in order [L].
        codes: And the label [L].
        count: Number of candidates P.
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    count: int

    def of(self, row: int) -> NDArray[np.int64]:
        """The labels of a candidate."""
        start, stop = np.searchsorted(self.rows, (row, row + 1))
        return self.codes[start:stop]

    def having(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The candidates that have any of some labels, each as often as it has one."""
        among = np.zeros(self._size, bool)
        among[codes] = True
        return self.rows[among[self.codes]]

    @cached_property
    def _size(self) -> int:
        return int(self.codes.max(initial=-1)) + 1


@dataclass(frozen=True)
class ItemLabels:
    """The labels of all items, which takes no more where one item has very many.

    Args:
        starts: Where the labels of each of n rows begin, and the last ones end [n + 1].
        codes: The labels, by row.
        row: The row of each item [V].
    """

    starts: NDArray[np.int64]
    codes: NDArray[np.int64]
    row: NDArray[np.int64]

    def of(self, items: NDArray[np.int64]) -> Labelled:
        """The labels of some items."""
        starts, stops = self.starts[self.row[items]], self.starts[self.row[items] + 1]
        numbers = stops - starts
        rows = np.arange(len(items)).repeat(numbers)
        before = (numbers.cumsum() - numbers).repeat(numbers)
        places = np.arange(len(rows)) - before + starts.repeat(numbers)
        return Labelled(rows, self.codes[places], len(items))


@dataclass(frozen=True)
class Cap:
    """At most so many items with the same label.

    Args:
        labels: The labels of the candidates.
        most: How many items of a list may share a label.
    """

    labels: Labelled
    most: int


Similar = Callable[[int], NDArray[np.float64]]
"""The similarity of every candidate [P] to one of them."""


def select(
    scores: NDArray[np.float64],
    k: int,
    weight: float,
    similar: Similar | None,
    caps: Sequence[Cap],
) -> list[int]:
    r"""Choose candidates one after another by maximal marginal relevance, below caps of labels.

    The next one is that with the greatest

    .. math:: (1 - w)\, r_i - w \max_{j \in S} \mathrm{sim}(i, j)

    where :math:`S` are those that are chosen and :math:`r` the scores, taken linearly to 0 … 1 for
    the worst and the best candidate; the first is the best one (Carbonell and Goldstein, *The use
    of MMR*, SIGIR 1998). Of equals the first candidate is chosen.

    One session at a time, in NumPy: a step takes a few microseconds, less than PyTorch takes to
    begin with one.

    Args:
        scores: Of the candidates, best first; minus infinity of none [P].
        k: How many are chosen.
        weight: The weight w of similarity, 0 to 1.
        similar: Measures similarity; not called with a weight of 0.
        caps: A candidate one of whose labels is at its cap is not chosen.

    Returns:
        The candidates chosen, k or as many as there are.
    """
    relevance = (1 - weight) * _relevance(scores)
    value = np.where(scores == -np.inf, scores, np.inf)  # until one is chosen, the first is best
    counts: list[Counter[int]] = [Counter() for _ in caps]
    chosen: list[int] = []
    while len(chosen) < min(k, len(scores)):
        best = int(value.argmax())
        if value[best] == -np.inf:
            break
        chosen.append(best)
        value[best] = -np.inf
        for cap, count in zip(caps, counts, strict=True):
            own = cap.labels.of(best)
            count.update(own.tolist())
            full = [label for label in own.tolist() if count[label] == cap.most]
            if full:
                value[cap.labels.having(np.array(full))] = -np.inf
        if weight and similar is not None:
            np.minimum(value, relevance - weight * similar(best), out=value)
    return chosen


def _relevance(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores from 0 for the worst to 1 for the best candidate [P]."""
    there = int((scores != -np.inf).sum())
    span = scores[0] - scores[there - 1] if there else 0.0
    return (scores - scores[there - 1]) / span if span > 0 else np.zeros_like(scores)


def cosines(vectors: NDArray[Any]) -> Similar:
    """The cosines of candidates' vectors.

    Args:
        vectors: Of length 1, or 0 [P, d].
    """
    return lambda chosen: (vectors @ vectors[chosen]).astype(np.float64)


def shared_labels(labels: Labelled) -> Similar:
    """The share of labels that candidates have in common (Jaccard); 0 without any."""
    number = np.bincount(labels.rows, minlength=labels.count)

    def similar(chosen: int) -> NDArray[np.float64]:
        own = labels.of(chosen)
        both = np.bincount(labels.having(own), minlength=labels.count)
        shares: NDArray[np.float64] = both / np.maximum(number + len(own) - both, 1)
        return shares

    return similar
