"""A mixture of models and the divergence that trains one towards another, in plain loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

Row = Sequence[float]


def conditional(p: Row, items: Sequence[int], temperature: float) -> dict[int, float]:
    """Probability of each of some items among them, of p to the power of 1 / temperature."""
    powers = {i: p[i] ** (1 / temperature) for i in items}
    total = math.fsum(powers.values())
    return {i: power / total for i, power in powers.items()}


def mixture(
    members: Sequence[Row],
    session: Sequence[int],
    new: Row,
    own: Row,
    gate: Row,
    temperature: Row,
) -> list[float]:
    """Probability of every item in one session, of the members' probabilities [M][V]."""
    held = sorted(set(session))
    others = [i for i in range(len(members[0])) if i not in held]
    again = sum(c * math.fsum(p[i] for i in held) for c, p in zip(gate, members, strict=True))
    mixed = [0.0] * len(members[0])
    for m, p in enumerate(members):
        for items, weight, share in ((held, own[m], again), (others, new[m], 1 - again)):
            for i, of in conditional(p, items, temperature[m]).items():
                mixed[i] += share * weight * of
    return mixed


def divergence(q: Row, p: Row, kept: int) -> float:
    """Kullback-Leibler divergence over the items that q likes best and the rest together."""
    best = sorted(range(len(q)), key=lambda i: -q[i])[:kept]
    pairs = [(q[i], p[i]) for i in best]
    pairs.append((max(1 - sum(a for a, _ in pairs), 1e-4), max(1 - sum(b for _, b in pairs), 1e-4)))
    return sum(a * math.log(a / b) for a, b in pairs)
