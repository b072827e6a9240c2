"""Rules of what is recommended, by loops over items: shares no code with the package."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Item = Mapping[str, Any]
"""The attributes of an item; a column without a value is absent or None."""


def values(item: Item, column: str) -> list[Any]:
    """The values that an item has in a column."""
    value = item.get(column)
    if value is None or value == "":
        return []
    return [one for one in value if one] if isinstance(value, list) else [value]


def meets(item: Item, column: str, condition: Any) -> bool:
    own = values(item, column)
    if isinstance(condition, dict):
        if "not" in condition:
            return not meets(item, column, condition["not"])
        if not own:
            return False
        return condition.get("min", -math.inf) <= own[0] <= condition.get("max", math.inf)
    wanted = condition if isinstance(condition, list) else [condition]
    return any(value in wanted for value in own)


def may_be_shown(raw: Any, item: Item, rules: Mapping[str, Any]) -> bool:
    if rules.get("allow") is not None and raw not in rules["allow"]:
        return False
    if raw in rules.get("deny", ()):
        return False
    return all(meets(item, column, each) for column, each in rules.get("where", {}).items())


def boosted(score: float, item: Item, rules: Mapping[str, Any]) -> float:
    for column, factors in rules.get("boost", {}).items():
        for value in values(item, column):
            if value in factors:
                score += math.log(factors[value])
    return score


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return math.fsum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0


def in_common(one: list[Any], other: list[Any]) -> float:
    either = set(one) | set(other)
    return len(set(one) & set(other)) / len(either) if either else 0.0


def recommended(
    ids: Sequence[Any],
    scores: Sequence[float],
    items: Sequence[Item],
    vectors: Sequence[Sequence[float]],
    session: Sequence[Any],
    k: int,
    **rules: Any,
) -> list[Any]:
    """The k items for a session, best first, by rules as a caller gives them."""
    candidates = []
    for place, (raw, score, item) in enumerate(zip(ids, scores, items, strict=True)):
        seen = rules.get("exclude_seen") and raw in session
        if score > -math.inf and not seen and may_be_shown(raw, item, rules):
            candidates.append((boosted(score, item, rules), place))
    candidates.sort(key=lambda pair: -pair[0])
    width = max(5 * k, 100)
    while True:
        chosen = _chosen(candidates[:width], items, vectors, k, rules)
        if len(chosen) == min(k, len(candidates)) or width >= len(ids):
            return [ids[place] for place in chosen]
        width *= 8


def _chosen(
    pool: list[tuple[float, int]],
    items: Sequence[Item],
    vectors: Sequence[Sequence[float]],
    k: int,
    rules: Mapping[str, Any],
) -> list[int]:
    weight, by = rules.get("diversify", 0), rules.get("diversify_by")
    caps = rules.get("max_per", {})

    def alike(one: int, other: int) -> float:
        if by is not None:
            return in_common(values(items[one], by), values(items[other], by))
        return cosine(vectors[one], vectors[other])

    chosen: list[int] = []
    nearest = dict.fromkeys((place for _, place in pool), -math.inf)
    counts: dict[str, Counter[Any]] = {column: Counter() for column in caps}
    while len(chosen) < k:
        best, best_value = None, -math.inf
        for score, place in pool:
            if place in chosen or any(
                counts[column][value] >= most
                for column, most in caps.items()
                for value in values(items[place], column)
            ):
                continue
            span = pool[0][0] - pool[-1][0]
            value = (1 - weight) * ((score - pool[-1][0]) / span if span else 0)
            if chosen and weight:
                value -= weight * nearest[place]
            if value > best_value:
                best, best_value = place, value
        if best is None:
            break
        chosen.append(best)
        for column in caps:
            counts[column].update(values(items[best], column))
        if weight:
            nearest = {place: max(near, alike(place, best)) for place, near in nearest.items()}
    return chosen
