"""Where does the time of a training step go?

The model's own parts are timed by hooks. A hook also takes the session vectors out of the graph, so
that the backward pass of the loss ends there, and that of the session graphs is timed on its own.

    python -m benchmarks.profile                           # Synthetic, generated
    python -m benchmarks.profile --mirror DIR --json FILE  # Diginetica from a folder or URL
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.dense import twins
from benchmarks.measure import (
    ADAM,
    dataset_options,
    fast_products,
    open_dataset,
    options,
    run,
    whole,
)
from pyg_srgnn.training.optimizer import adam

_STEPS = ((100, "full"), (512, "auto"))  # batch, products of the loss
_PARTS = (
    "loader",
    "embedding and SRGNNConv",
    "readout",
    "loss",
    "backward of the loss",
    "backward of the graphs",
    "optimizer",
)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    dataset_options(parser)
    parser.add_argument("--steps", type=whole, default=40, help="of each (40)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    dataset = open_dataset(args, "train")
    parts = {}
    for size, products in _STEPS:
        kind = "float32" if products == "full" else fast_products()
        model, _ = twins(dataset.num_items, args.channels, products)
        batches = torch.randint(len(dataset), (args.steps + 1, size))
        parts[f"{kind}, batch {size}"] = profiled(model, dataset, batches)
    return {"dataset": repr(dataset), "channels": args.channels, "milliseconds": parts}


def profiled(model: nn.Module, dataset: Any, batches: Tensor) -> dict[str, float]:
    """Median milliseconds of each part over all batches but the first."""
    times: dict[str, list[float]] = defaultdict(list)
    clock = [0.0]

    def lap(part: str) -> None:
        now = perf_counter()
        times[part].append(now - clock[0])
        clock[0] = now

    cut: list[Tensor] = []

    def take_out(module: nn.Module, given: Any, vectors: Tensor) -> Tensor:
        lap("readout")
        cut[:] = [vectors, vectors.detach().requires_grad_()]
        return cut[1]

    hooks = [
        model.readout.register_forward_pre_hook(lambda *_: lap("embedding and SRGNNConv")),
        model.register_forward_hook(take_out),
    ]
    optimizer = adam(model, **ADAM)  # type: ignore[arg-type]
    for index in batches:
        clock[0] = perf_counter()
        batch = dataset.batch(index)
        lap("loader")
        loss = model.loss(batch)  # type: ignore[operator]
        lap("loss")
        loss.backward()
        lap("backward of the loss")
        cut[0].backward(cut[1].grad)
        lap("backward of the graphs")
        optimizer.step()
        optimizer.zero_grad()
        lap("optimizer")
    for hook in hooks:
        hook.remove()
    return {part: 1000 * median(times[part][1:]) for part in _PARTS}


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    steps = result["milliseconds"]
    lines = [
        f"{result['dataset']}, d {result['channels']}; milliseconds and per cent of a step",
        "",
        f"{'part':26}" + "".join(f"{name:>24}" for name in steps),
    ]
    totals = {name: sum(of.values()) for name, of in steps.items()}
    for part in _PARTS:
        shown = [f"{of[part]:14.1f}{of[part] / totals[name]:10.0%}" for name, of in steps.items()]
        lines.append(f"{part:26}" + "".join(shown))
    lines.append(f"{'all':26}" + "".join(f"{total:14.1f}{'100%':>10}" for total in totals.values()))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
