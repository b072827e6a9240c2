"""Ranking metrics as plain loops over lists of floats."""

from __future__ import annotations

import math
from collections.abc import Sequence


def rank(scores: Sequence[float], target: int, ties: str = "conservative") -> float:
    """Place of the target, 1 the best; a target without a score has none (infinity)."""
    if math.isnan(scores[target]):
        return math.inf
    better = equal = 0
    for i, score in enumerate(scores):
        if i == target:
            continue
        better += score > scores[target]
        equal += score == scores[target]
    ahead = {"conservative": equal, "median": equal / 2, "standard": 0}[ties]
    return 1 + better + ahead


def hit(place: float, k: int) -> float:
    """1 when the target is among the first k."""
    return 1.0 if place <= k else 0.0


def reciprocal(place: float, k: int) -> float:
    """1 / rank among the first k, else 0."""
    return 1 / place if place <= k else 0.0


def ndcg(place: float, k: int) -> float:
    """1 / log2(1 + rank) among the first k, else 0: one relevant item, so the ideal gain is 1."""
    return 1 / math.log2(1 + place) if place <= k else 0.0


def top(scores: Sequence[float], k: int) -> list[int]:
    """The k items with the highest scores, best first (the lower index first among equals)."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]


def summary(
    rows: Sequence[Sequence[float]],
    targets: Sequence[int],
    ks: Sequence[int] = (5, 10, 20),
    ties: str = "conservative",
) -> dict[str, float]:
    """Every metric over all rows, as fractions."""
    places = [rank(row, target, ties) for row, target in zip(rows, targets, strict=True)]
    result: dict[str, float] = {}
    for k in ks:
        result[f"hr@{k}"] = sum(hit(p, k) for p in places) / len(places)
        result[f"mrr@{k}"] = sum(reciprocal(p, k) for p in places) / len(places)
        result[f"ndcg@{k}"] = sum(ndcg(p, k) for p in places) / len(places)
        seen: set[int] = set()
        for row in rows:
            seen.update(top(row, k))
        result[f"coverage@{k}"] = len(seen) / len(rows[0])
    tied = 0
    for row, target in zip(rows, targets, strict=True):
        tied += any(i != target and score == row[target] for i, score in enumerate(row))
    result["tied"] = tied / len(rows)
    return result
