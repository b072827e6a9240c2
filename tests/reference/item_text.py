"""Item texts as vectors, in NumPy and plain loops: whitening, tables, neighbours, stand-ins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Vectors = NDArray[np.float64]


def whitening(fitted: Vectors, relaxed: float = 0.1) -> tuple[Vectors, Vectors]:
    """The mean, and the directions as columns, the one of the greatest variance first."""
    mean = fitted.mean(axis=0)
    covariance = np.atleast_2d(np.cov(fitted, rowvar=False))
    variance, directions = np.linalg.eigh(covariance)
    columns = []
    for place in np.argsort(-variance, kind="stable"):
        column = directions[:, place]
        sign = np.sign(column[np.argmax(np.abs(column))])
        columns.append(sign * column / math.sqrt(variance[place] + relaxed * variance.mean()))
    return mean, np.stack(columns, axis=1)


def whitened(raw: Vectors, num_trained: int) -> Vectors:
    """Whitened vectors of length 1, fitted to the trained items; zeros stay zeros."""
    known = [row for row in raw[:num_trained] if row.any()]
    mean, directions = whitening(np.stack(known))
    rows = []
    for row in raw:
        mapped = (row - mean) @ directions
        rows.append(mapped / math.sqrt(mapped @ mapped) if row.any() else row)
    return np.stack(rows)


def table(p: Mapping[str, Any], mode: str, texts: Vectors, channels: int) -> list[Tensor]:
    """The vector of every item before it is normalised."""
    rows = []
    for item, text in enumerate(texts):
        ids, t = p["embedding.weight"][item], torch.tensor(text) * math.sqrt(len(text))
        size = channels // 2 if mode == "null_space" else channels
        leading = torch.stack([t[j] if j < len(t) else torch.zeros(()).to(t) for j in range(size)])
        if mode == "id":
            rows.append(ids)
        elif mode == "text":
            rows.append(p["embedding.lin.weight"] @ t)
        elif mode == "sum":
            rows.append(ids + p["embedding.lin.weight"] @ t)
        elif mode == "delta":
            rows.append(leading + torch.tanh(ids) / 2)
        else:
            rows.append(torch.cat([leading, ids]))
    return rows


def neighbours_of(texts: Vectors, most: int) -> list[dict[int, float]]:
    """For each item the others of the greatest cosine, the nearest first."""
    result = []
    for item, text in enumerate(texts):
        found = {
            other: float(text @ texts[other])
            for other in range(len(texts))
            if other != item and text.any() and texts[other].any()
        }
        best = sorted(found, key=lambda other: -found[other])[:most]
        result.append({other: found[other] for other in best})
    return result


def with_text_edges(
    counted: list[list[tuple[int, float]]], texts: Vectors, most: int, num_trained: int
) -> list[list[tuple[int, float]]]:
    """Neighbours in the global graph, filled up with those trained items of the nearest texts."""
    result = []
    for item, row in enumerate(counted):
        near = {
            j: float(texts[item] @ texts[j])
            for j in range(num_trained)
            if j != item and texts[item].any() and texts[j].any()
        }
        # The places of the nearest are those that counted neighbours leave.
        best = sorted(near, key=lambda j: -near[j])[: most - len(row)]
        if not best:
            result.append(row)
            continue
        total = sum(math.exp(10 * near[j]) for j in best)
        share = len(row) / most
        result.append(
            [(j, w * share) for j, w in row]
            + [(j, (1 - share) * math.exp(10 * near[j]) / total) for j in best]
        )
    return result


def stand_ins(texts: Vectors, num_trained: int, item: int) -> dict[int, float]:
    """The trained items that a cold one enters as the mean of, and their weights."""
    text = texts[item]
    near = {i: float(text @ texts[i]) for i in range(num_trained) if texts[i].any() and text.any()}
    best = sorted(near, key=lambda i: -near[i])[:5]
    total = sum(math.exp(10 * near[i]) for i in best)
    return {i: math.exp(10 * near[i]) / total for i in best}


def bucket(clicks: int) -> int:
    """0, 1, 2 to 3, 4 to 7, and so on."""
    return 0 if clicks == 0 else min(13, int(math.log2(clicks)) + 1)


def mixed_with_neighbours(
    p: Mapping[str, Any],
    session: Sequence[int],
    s: Tensor,
    rest: dict[int, Tensor],
    neighbours: list[dict[int, float]],
    kept: int,
    clicks: Sequence[int],
) -> dict[int, Tensor]:
    """(1 - m) p + m q over the items of ``rest``."""
    name = "text_neighbours."
    sharpness = 5 * torch.exp(p[name + "log_sharpness"][0])
    q = {i: torch.zeros((), dtype=s.dtype) for i in rest}
    found = False
    for back, item in enumerate(reversed(session)):
        if back >= 10:
            break
        weights = {
            other: torch.exp(p[name + "clicks.weight"][bucket(clicks[other]), 0])
            * (1 if clicks[other] else math.exp(2))
            * torch.exp(sharpness * cosine)
            for other, cosine in neighbours[item].items()
            if other in rest
        }
        for other, weight in weights.items():
            found = True
            place = torch.exp(p[name + "place.weight"][back, 0])
            q[other] = q[other] + place * weight / sum(weights.values())
    if not found:
        return rest
    mass = sum(q.values())
    near = [*neighbours[session[-1]].values(), *([-1.0] * kept)][:kept][:5]
    often = bucket(clicks[session[-1]])
    known = [sum(near) / len(near), often / 14, float(often == 0)]
    both = torch.cat([s.detach(), torch.tensor(known, dtype=s.dtype)])
    hidden = torch.tanh(p[name + "lin_gate.weight"] @ both + p[name + "lin_gate.bias"])
    gate = torch.dot(p[name + "gate.weight"][0], hidden) + p[name + "gate.bias"][0]
    m = torch.sigmoid(gate if often else gate + 3)
    result = {}
    for i in rest:
        alone = rest[i].detach()
        mixed = (1 - m) * alone + m * q[i] / mass
        # Its gradient by the model is that of the model alone, and by the head that of the mixture.
        result[i] = mixed * rest[i] / alone if alone > 0 else mixed
    return result
