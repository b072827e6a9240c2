"""The text expert, one session at a time, in plain loops: parameters are read by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.reference import dense_srgnn
from tests.reference.graphs import dense_weights, session_graph
from tests.reference.item_text import Vectors, bucket

NAME = "text_expert."


def unit(x: Tensor) -> Tensor:
    """x at length 1; zeros stay zeros."""
    return x / torch.sqrt(sum(v * v for v in x)) if bool(x.any()) else x


def item(p: Mapping[str, Any], text: Any, clicks: int) -> tuple[Tensor, Tensor]:
    """The vector of an item and its bias; one without a click has that of a single click."""
    t = torch.tensor(text) * math.sqrt(len(text))
    return unit(p[NAME + "lin.weight"] @ t), p[NAME + "clicks.weight"][max(1, bucket(clicks)), 0]


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

    ``scored_as``: clicks of the items that are scored, if others. ``alone``: the gradient by each
    of p and q is that of its own logarithm, by the gate that of the mixture's.
    """
    items = [item(p, text, clicks[i]) for i, text in enumerate(texts)]
    graph = session_graph(session)
    before = torch.stack([items[i][0] for i in graph.nodes])
    after = dense_srgnn.propagate(names, *dense_weights(graph), before, 1, False)
    h = []
    for old, new in zip(before, after, strict=True):
        both = torch.cat([old, new])
        g = torch.sigmoid(p[NAME + "lin_residual.weight"] @ both + p[NAME + "lin_residual.bias"])
        h.append(g * old + (1 - g) * new)
    seen = [h[node] for node in graph.alias]
    total = torch.zeros_like(seen[0])
    for t, click in enumerate(seen):
        gate = names["W_1"] @ seen[-1] + names["W_2"] @ click + names["c"]
        if positions:
            gate = gate + names["P"][min(positions, len(seen) - t) - 1]
        total = total + torch.dot(names["q"], torch.sigmoid(gate)) * click
    query = scale * unit(names["W_3"] @ torch.cat([seen[-1], total]))

    known = torch.cat([s, query, items[session[-1]][1].reshape(1)]).detach()
    hidden = torch.tanh(p[NAME + "lin_gate.weight"] @ known + p[NAME + "lin_gate.bias"])
    m = torch.sigmoid(torch.dot(p[NAME + "gate.weight"][0], hidden) + p[NAME + "gate.bias"][0])
    if scored_as is not None:
        items = [item(p, text, scored_as[i]) for i, text in enumerate(texts)]
    exps = {i: torch.exp(torch.dot(query, items[i][0]) + items[i][1]) for i in scored if i in rest}
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
