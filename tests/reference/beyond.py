"""Metrics of recommended lists as plain loops over lists of items."""

from __future__ import annotations

import math
from collections.abc import Sequence


def popular(clicks: Sequence[float]) -> list[int]:
    """Items by their clicks, the most clicked first, the lower index first among equals."""
    return sorted(range(len(clicks)), key=lambda i: (-clicks[i], i))


def novelty(lists: Sequence[Sequence[int]], clicks: Sequence[float]) -> float:
    """Mean self-information of the recommended items, in bits."""
    bits = [-math.log2(max(1, clicks[i]) / sum(clicks)) for items in lists for i in items]
    return sum(bits) / len(bits)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Cosine of the angle of two vectors; 0 if one of them is zero."""
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0


def diversity(lists: Sequence[Sequence[int]], vectors: Sequence[Sequence[float]]) -> float:
    """Mean over the lists of the mean of 1 - cosine over their pairs; 0 of a list of one."""
    total = 0.0
    for items in lists:
        pairs = [(a, b) for n, a in enumerate(items) for b in items[:n]]
        apart = [1 - cosine(vectors[a], vectors[b]) for a, b in pairs]
        total += sum(apart) / len(apart) if apart else 0.0
    return total / len(lists)


def gini(lists: Sequence[Sequence[int]], num_items: int) -> float:
    """Mean absolute difference of the numbers of recommendations, over twice their mean."""
    times = [sum(items.count(i) for items in lists) for i in range(num_items)]
    apart = sum(abs(a - b) for a in times for b in times) / num_items**2
    return apart / (2 * sum(times) / num_items)


def long_tail(lists: Sequence[Sequence[int]], clicks: Sequence[float]) -> float:
    """Share of the recommended items outside the head, which holds 80 % of the clicks."""
    head: set[int] = set()
    for item in popular(clicks):
        if sum(clicks[i] for i in head) >= 0.8 * sum(clicks):
            break
        head.add(item)
    every = [i for items in lists for i in items]
    return sum(i not in head for i in every) / len(every)


def popularity_bias(
    lists: Sequence[Sequence[int]], clicks: Sequence[float], targets: Sequence[int]
) -> float:
    """Mean clicks of the recommended items over those of the targets, less 1."""
    every = [clicks[i] for items in lists for i in items]
    of_targets = [clicks[i] for i in targets]
    return (sum(every) / len(every)) / (sum(of_targets) / len(of_targets)) - 1


def serendipity(
    ranks: Sequence[float], clicks: Sequence[float], targets: Sequence[int], k: int
) -> float:
    """Share of the rows that hit a target which is not among the k most clicked items."""
    obvious = popular(clicks)[:k]
    hits = [
        rank <= k and target not in obvious for rank, target in zip(ranks, targets, strict=True)
    ]
    return sum(hits) / len(hits)
