"""The repeat head by counts, one session at a time, in plain loops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def features_of(
    session: Sequence[int], item: int, transitions: list[dict[int, float]] | None
) -> list[float]:
    """What is counted of an item of a session; ``transitions`` may lack what its session added."""
    clicks = [t for t, other in enumerate(session) if other == item]
    end, last = len(session) - 1, session[-1]
    steps = list(itertools.pairwise(session))
    left = [b for a, b in steps if a == last]
    came = [a for a, b in steps if b == last]
    row = [
        math.log(len(clicks)),
        math.log(1 + end - clicks[-1]),
        math.log(1 + end - clicks[0]),
        math.log(len(clicks) / len(session)),
        float(item == last),
        float(len(session) > 1 and session[-2] == item),
        left.count(item) / len(left) if left else 0.0,
        came.count(item) / len(came) if came else 0.0,
    ]
    if transitions is None:
        return row
    pairs = [(last, item), (item, last), (item, item)]
    counted = [transitions[a].get(b, 0.0) for a, b in pairs]
    totals = [sum(transitions[a].values()) for a, _ in pairs]
    row += [math.log(1 + 20 * c / (t + 1)) for c, t in zip(counted, totals, strict=True)]
    return row + [math.log(1 + c) for c in counted] + [math.log(1 + totals[2]) / 4]


def without_session(
    transitions: list[dict[int, float]], session: Sequence[int], weights: Sequence[float]
) -> list[dict[int, float]]:
    """The counts without what a whole training session added; a weight for each of its clicks."""
    rest = [dict(row) for row in transitions]
    for a, first in enumerate(session):
        for b in range(a + 1, min(len(session), a + 11)):
            rest[first][session[b]] -= weights[b] / (b - a)
    return [{i: c if c > 1e-9 else 0.0 for i, c in row.items()} for row in rest]


def shares(
    p: dict[str, Any],
    session: Sequence[int],
    s: Tensor,
    transitions: list[dict[int, float]] | None,
) -> tuple[Tensor, dict[int, Tensor]]:
    """The gate's logit, and the probability of each item of the session among these."""
    items = list(dict.fromkeys(session))
    rows, r = {}, {}
    for item in items:
        f = torch.tensor(features_of(session, item, transitions), dtype=s.dtype)
        back = list(reversed(session)).index(item)
        hidden = (
            p["repeat.lin.weight"] @ f
            + p["repeat.lin.bias"]
            + p["repeat.lin_session.weight"] @ s
            + p["repeat.frequency.weight"][min(20, list(session).count(item))]
            + p["repeat.place.weight"][min(20, back)]
        )
        outer = torch.dot(p["repeat.q.weight"][0], torch.tanh(hidden))
        rows[item], r[item] = f, torch.dot(p["repeat.weight.weight"][0], f) + outer
    total = sum(torch.exp(value) for value in r.values())
    within = {item: torch.exp(value) / total for item, value in r.items()}
    mean = sum(rows.values()) / len(items)
    expected = sum(within[item].detach() * rows[item] for item in items)
    hidden = (
        p["repeat.lin_gate.weight"] @ torch.cat([s, mean, expected])
        + p["repeat.lin_gate.bias"]
        + p["repeat.clicks.weight"][min(20, len(session))]
        + p["repeat.repeats.weight"][min(20, len(session) - len(items))]
    )
    logit = torch.dot(p["repeat.gate.weight"][0], torch.tanh(hidden)) + p["repeat.gate.bias"][0]
    return logit, within
