"""How long does SRGNNConv take beside PyG's GatedGraphConv, on the same batch of session graphs?

SRGNNConv passes messages along both directions of the edges, GatedGraphConv along one; both have
one step and a gated unit, so SRGNNConv computes two aggregations where the other one has one. They
take turns; medians of one call, forward alone and with the gradients.

    python -m benchmarks.conv                           # Synthetic, generated
    python -m benchmarks.conv --mirror DIR --json FILE  # Diginetica from a folder or URL
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GatedGraphConv

from benchmarks.measure import (
    dataset_options,
    open_dataset,
    options,
    run,
    seconds,
    take_turns,
    whole,
)
from pyg_srgnn.nn import SRGNNConv

_OURS, _THEIRS = "SRGNNConv", "GatedGraphConv"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    dataset_options(parser)
    parser.add_argument("--rounds", type=whole, default=50, help="turns of each (50)")
    parser.add_argument("--batch-size", type=whole, default=512, help="sessions of a batch (512)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    dataset = open_dataset(args, "train")
    batch = dataset.batch(torch.randint(len(dataset), (args.batch_size,)))
    x = torch.randn(batch.num_nodes, args.channels)
    convs = {_OURS: SRGNNConv(args.channels), _THEIRS: GatedGraphConv(args.channels, num_layers=1)}
    result: dict[str, Any] = {
        "dataset": repr(dataset),
        "channels": args.channels,
        "nodes": batch.num_nodes,
        "edges": batch.num_edges,
        "ms": {},
    }
    for name, gradients in (("forward", False), ("forward and backward", True)):
        sides = {one: call(conv, x, batch.edge_index, gradients) for one, conv in convs.items()}
        take_turns(sides, 2)  # buffers are made with the first calls
        turns = take_turns(
            {one: lambda do=do: seconds(do) for one, do in sides.items()},  # type: ignore[misc]
            args.rounds,
        )
        result["ms"][name] = {one: 1000 * median(times) for one, times in turns.items()}
    return result


def call(conv: nn.Module, x: Tensor, edge_index: Tensor, gradients: bool) -> Callable[[], None]:
    """One call of a convolution."""

    def forward() -> None:
        with torch.no_grad():
            conv(x, edge_index)

    def both() -> None:
        conv.zero_grad()
        conv(x, edge_index).sum().backward()

    return both if gradients else forward


def table(result: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    lines = [
        f"{result['dataset']}, {result['channels']} channels, {result['nodes']:,} nodes, "
        f"{result['edges']:,} edges",
        "",
        f"| | {_OURS}, ms | {_THEIRS}, ms | ratio |",
        "|---|---|---|---|",
    ]
    for name, of in result["ms"].items():
        ours, theirs = of[_OURS], of[_THEIRS]
        lines.append(f"| {name} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
