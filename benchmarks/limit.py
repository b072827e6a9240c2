"""Lower bounds of a training step's work, and the limits of this machine."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from benchmarks.measure import fast_products, seconds

_BYTES = {"float32": 4, "bfloat16": 2}
_COPIED = 64 * 2**20  # elements of the array that is copied: far more than a cache holds


class Peak(NamedTuple):
    """Products in GFLOP/s, and bytes read and written by a copy in GB/s."""

    float32: float
    bfloat16: float | None
    """None where it is emulated, as a product of this size then takes minutes."""
    copy: float

    @classmethod
    def measured(cls, size: int, rounds: int = 5) -> Peak:
        """The best of some rounds: a product of two square matrices, a copy of a long array.

        Args:
            size: Rows of the matrices; the array is shorter where they are small.
            rounds: How often. (default: 5)
        """
        rates: list[float | None] = []
        for kind in (torch.float32, torch.bfloat16):
            if kind == torch.bfloat16 and fast_products() != "bfloat16":
                rates.append(None)
                continue
            matrix = torch.rand(size, size).to(kind)
            out = torch.mm(matrix, matrix)  # not timed: kernels are chosen here
            best = min(
                seconds(lambda m=matrix, o=out: torch.mm(m, m, out=o)) for _ in range(rounds)
            )  # type: ignore[misc]
            rates.append(2 * size**3 / best / 1e9)
        source = torch.rand(min(_COPIED, 64 * size**2))
        target = torch.zeros_like(source)
        best = min(seconds(lambda: target.copy_(source)) for _ in range(rounds))
        copied = 2 * source.numel() * source.element_size() / best / 1e9
        return cls(rates[0] or 0.0, rates[1], copied)


def step_limit(batch: Any, items: int, channels: int, peak: Peak, kind: str) -> dict[str, float]:
    """The least time of a step with the full softmax: products, then bytes, none of it hidden.

    Args:
        batch: The session graphs of the step.
        items: Number of items V.
        channels: Size d of an embedding.
        peak: What the machine can do.
        kind: Type of the products, ``"float32"`` or ``"bfloat16"``.

    Returns:
        GFLOP and GB, the milliseconds of both, and ``ms``, their sum.
    """
    sessions, clicks, nodes = len(batch.y), batch.alias_index.numel(), batch.x.numel()
    d, table = channels, items * channels
    # Scores, and the gradients of the sessions and of the table.
    of_table = 3 * 2 * sessions * table
    # Two directions d·d, gates 2d·3d and d·3d for a node; W_1, W_3 and W_2, q in the readout.
    forward = 2 * d * (11 * d * nodes + 3 * d * sessions + (d + 1) * clicks)
    flops = of_table + 3 * forward  # a backward pass takes two products for each of the forward's
    # Adam reads weight, gradient and two moments and writes all but the gradient; the scores are
    # written once and read once.
    moved = 7 * 4 * table + 2 * _BYTES[kind] * sessions * items
    products = 1000 * flops / 1e9 / getattr(peak, kind)
    traffic = 1000 * moved / 1e9 / peak.copy
    return {
        "gflop": flops / 1e9,
        "gb": moved / 1e9,
        "products_ms": products,
        "traffic_ms": traffic,
        "ms": products + traffic,
    }
