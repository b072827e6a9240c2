"""Terms of the loss beside the targets', in plain loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def divergence(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Mean of KL(p | q) and KL(q | p) of two log-distributions over all items."""
    p, q = [torch.exp(a) for a in first], [torch.exp(b) for b in second]
    there = sum(x * (a - b) for x, a, b in zip(p, first, second, strict=True) if x > 0)
    back = sum(y * (b - a) for y, a, b in zip(q, first, second, strict=True) if y > 0)
    return (there + back) / 2


def contrast(vectors: Sequence[Tensor], targets: Sequence[int]) -> Tensor:
    """Mean over all sessions of the loss against those with the same target."""
    units = [v / torch.sqrt(sum(x * x for x in v)) for v in vectors]
    total = torch.zeros((), dtype=units[0].dtype)
    for b, unit in enumerate(units):
        similar = {a: torch.dot(unit, units[a]) / 0.1 for a in range(len(units)) if a != b}
        alike = [a for a in similar if targets[a] == targets[b]]
        for a in alike:
            among = math.fsum(math.exp(float(s.detach())) for s in similar.values())
            log_sum = torch.log(sum(torch.exp(s) for s in similar.values()))
            assert math.isclose(math.log(among), float(log_sum.detach()), rel_tol=1e-9)
            total = total - (similar[a] - log_sum) / len(alike)
    return total / len(units)
