"""The text expert, one session at a time, in plain loops: parameters are read by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.reference.item_text import Vectors, bucket

NAME = "text_expert."


def unit(x: Tensor) -> Tensor:
    """x at length 1; zeros stay zeros."""
    return x / torch.sqrt(sum(v * v for v in x)) if bool(x.any()) else x


def item(p: Mapping[str, Any], text: Any, clicks: int) -> tuple[Tensor, Tensor]:
    """The vector of an item and its bias."""
    t = torch.tensor(text) * math.sqrt(len(text))
    bias = p[NAME + "clicks.weight"][bucket(clicks), 0]
    return unit(p[NAME + "lin.weight"] @ t), bias if clicks else bias + 1.5


def mixed(
    p: Mapping[str, Any],
    names: Mapping[str, Tensor],
    session: Sequence[int],
    s: Tensor,
    rest: dict[int, Tensor],
    texts: Vectors,
    clicks: Sequence[int],
    scored: Sequence[int],
    scale: float,
    positions: int,
    alone: bool = True,
    scored_as: Sequence[int] | None = None,
) -> dict[int, Tensor]:
    """(1 - m) p + m q over the items of ``rest``, q a softmax over those that are scored.

    ``scored_as``: clicks of the items for their scores and for the gate, if others. ``alone``: the
    gradient by each of p and q is that of its own logarithm, by the gate that of the mixture's.
    """
    items = [item(p, text, clicks[i]) for i, text in enumerate(texts)]
    seen = [items[i][0] for i in session]
    total = torch.zeros_like(seen[0])
    for t, click in enumerate(seen):
        gate = names["W_1"] @ seen[-1] + names["W_2"] @ click + names["c"]
        if positions:
            gate = gate + names["P"][min(positions, len(seen) - t) - 1]
        total = total + torch.dot(names["q"], torch.sigmoid(gate)) * click
    query = scale * unit(names["W_3"] @ torch.cat([seen[-1], total]))

    if scored_as is not None:
        items = [item(p, text, scored_as[i]) for i, text in enumerate(texts)]
    often = scored_as or clicks
    last = items[session[-1]][1].reshape(1), s.new_tensor([float(often[session[-1]] == 0)])
    known = torch.cat([s, query, *last]).detach()
    hidden = torch.tanh(p[NAME + "lin_gate.weight"] @ known + p[NAME + "lin_gate.bias"])
    gate = torch.dot(p[NAME + "gate.weight"][0], hidden) + p[NAME + "gate.bias"][0]
    after_cold = not often[session[-1]]
    m = torch.sigmoid(gate + 3 if after_cold else gate)
    exps = {}
    for i in scored:
        if i in rest:
            together = 2 if after_cold and not often[i] else 0
            exps[i] = torch.exp(torch.dot(query, items[i][0]) + items[i][1] + together)
    result = {}
    for i in rest:
        q = exps[i] / sum(exps.values()) if i in exps else torch.zeros_like(m)
        if not alone:
            result[i] = (1 - m) * rest[i] + m * q
            continue
        value = (1 - m) * rest[i].detach() + m * q.detach()
        for each in (rest[i], q):
            value = value * each / each.detach() if each > 0 else value
        result[i] = value
    return result
