"""How many session graphs a second does the loader build, and what is that of a training step?

``SessionLoader`` builds a batch at once by vectorised operations; beside it PyG's ``DataLoader``
builds a graph for every sample and puts them together. Both give the same batches. The step of
batch 512 is ``fast`` of ``benchmarks.train_step``.

    python -m benchmarks.loader                           # Synthetic, generated
    python -m benchmarks.loader --mirror DIR --json FILE  # Diginetica from a folder or URL
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from torch_geometric.loader import DataLoader

from benchmarks.dense import twins
from benchmarks.measure import (
    ADAM,
    dataset_options,
    open_dataset,
    options,
    run,
    seconds,
    take_turns,
    typical,
    whole,
)
from benchmarks.train_step import training
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.training.optimizer import adam

_SIZES = {100: "full", 512: "auto"}  # samples a batch, products of its step


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    dataset_options(parser)
    parser.add_argument("--rounds", type=whole, default=5, help="turns of each (5)")
    parser.add_argument("--batches", type=whole, default=50, help="of each turn (50)")
    parser.add_argument("--slow-batches", type=whole, default=2, help="of PyG's loader (2)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's.

    Raises:
        RuntimeError: If the two loaders give different batches.
    """
    dataset = open_dataset(args, "train")
    result: dict[str, Any] = {"dataset": repr(dataset), "channels": args.channels, "of": {}}
    for size, products in _SIZES.items():
        numbers = torch.randint(len(dataset), (args.batches * size,)).tolist()
        few = numbers[: args.slow_batches * size]
        loader = SessionLoader(dataset, size, sampler=numbers)
        slow = DataLoader(dataset, size, sampler=few)
        if not same(next(iter(loader)), next(iter(slow))):
            raise RuntimeError("the two loaders give different batches")
        turns = take_turns(
            {
                "pyg_srgnn": lambda of=loader: seconds(lambda: [None for _ in of]),
                "pyg": lambda of=slow: seconds(lambda: [None for _ in of]),
            },
            args.rounds,
        )
        rates = {
            "pyg_srgnn": len(numbers) / median(turns["pyg_srgnn"]),
            "pyg": len(few) / median(turns["pyg"]),
        }
        model, _ = twins(dataset.num_items, args.channels, products)
        step = typical(training(model, adam(model, **ADAM)), loader, budget=10.0)
        loading = size / rates["pyg_srgnn"]
        result["of"][size] = {
            "graphs_per_second": rates,
            "ratio": rates["pyg_srgnn"] / rates["pyg"],
            "loader_ms": 1000 * loading,
            "step_ms": 1000 * (loading + step),
            "share": loading / (loading + step),
        }
    return result


def same(one: Any, other: Any) -> bool:
    """Whether two batches hold the same tensors."""
    mine, theirs = one.to_dict(), other.to_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{result['dataset']}, d {result['channels']}",
        "",
        f"{'loader':8}{'graphs/s':>12}{'PyG, graphs/s':>15}{'ratio':>8}"
        f"{'ms/batch':>10}{'ms/step':>9}{'share':>8}",
    ]
    for size, of in result["of"].items():
        rates = of["graphs_per_second"]
        lines.append(
            f"{f'of {size}':8}{rates['pyg_srgnn']:12,.0f}{rates['pyg']:15,.0f}{of['ratio']:7.0f}x"
            f"{of['loader_ms']:10.2f}{of['step_ms']:9.1f}{of['share']:8.1%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
