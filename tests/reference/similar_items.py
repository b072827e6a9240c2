"""The items of sessions like one, in plain loops, float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

WINDOW = 10


def counts_of(
    sessions: Sequence[Sequence[int]], num_items: int, weights: Sequence[Sequence[float]]
) -> list[dict[int, float]]:
    """For each item, how often, how near and how lately every other one was clicked with it.

    ``weights`` are those of every click of every session.
    """
    result: list[dict[int, float]] = [{} for _ in range(num_items)]
    for session, weight in zip(sessions, weights, strict=True):
        for n, later in enumerate(session):
            before = session[:n]
            if later in before:
                continue
            for earlier in set(before):
                steps = 1 + list(reversed(before)).index(earlier)
                if steps <= WINDOW:
                    for one, other in ((earlier, later), (later, earlier)):
                        result[one][other] = result[one].get(other, 0.0) + weight[n] / steps
    return result


def mixed(
    p: dict[str, Any],
    session: Sequence[int],
    s: Tensor,
    rest: dict[int, Tensor],
    counts: list[dict[int, float]],
    own: int | None = None,
    own_weight: float = 1.0,
) -> dict[int, Tensor]:
    """(1 - m) p + m q over the items of ``rest``, without what training counts of ``own``."""
    q = {i: torch.zeros((), dtype=s.dtype) for i in rest}
    shares = []
    power = torch.exp(p["similar.log_power"][0])
    for item in set(session):
        back = list(reversed(session)).index(item)
        if back >= WINDOW:
            continue
        found = dict(counts[item])
        if own in found:
            found[own] -= own_weight / (back + 1)
            if found[own] < 1e-9:
                del found[own]
        if back == 0:
            often = math.log(1 + sum(found.values()))
        powers = {i: torch.tensor(c, dtype=s.dtype) ** power for i, c in found.items()}
        powers = {i: c for i, c in powers.items() if i in rest and i not in session}
        if powers:
            total = sum(powers.values())
            weight = torch.exp(p["similar.place.weight"][back, 0])
            shares += [(i, weight * c / total) for i, c in powers.items()]
    if not shares:
        return rest
    mass = sum(share for _, share in shares)
    for i, share in shares:
        q[i] = q[i] + share / mass
    stand_out = sum((share / mass) ** 2 for _, share in shares)
    known = torch.stack([torch.tensor(often, dtype=s.dtype), stand_out])
    hidden = p["similar.lin_gate.weight"] @ torch.cat([s.detach(), known])
    hidden = torch.tanh(hidden + p["similar.lin_gate.bias"])
    logit = torch.dot(p["similar.gate.weight"][0], hidden) + p["similar.gate.bias"][0]
    m = torch.sigmoid(logit)
    alone = {i: value.detach() for i, value in rest.items()}
    both = {i: (1 - m) * alone[i] + m * q[i] for i in rest}
    # Its gradient by the model is that of the model alone, and by the gate that of the mixture.
    return {i: both[i] * rest[i] / alone[i] if alone[i] > 0 else both[i] for i in rest}
