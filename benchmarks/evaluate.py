"""How fast is an evaluation over the test set, beside a dense textbook SR-GNN's row by row?

Ours is the package's ``evaluate()`` with the batches of a run: ranks of all targets, from them the
metrics at every K. The dense model takes HR@20 and MRR@20 row by row. Both have the same weights,
trained for a while so that there are hits to compare, get the same samples, and must agree on
HR@20; all is timed from sample numbers to metrics, in turns. ``mixture`` is the default model, not
trained, for its time alone.

    python -m benchmarks.evaluate                           # Synthetic, generated
    python -m benchmarks.evaluate --mirror DIR --json FILE  # Diginetica from a folder or URL
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from benchmarks.dense import PADS, DenseLoader, DenseSRGNN, twins
from benchmarks.measure import ADAM, dataset_options, open_dataset, options, run, take_turns, whole
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.evaluation.loop import evaluate
from pyg_srgnn.nn import SRGNN
from pyg_srgnn.training.optimizer import adam

_K = 20
_CONF = Path(__file__).parents[1] / "conf"
_RUN = OmegaConf.load(_CONF / "train.yaml")


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    dataset_options(parser)
    size = _RUN.eval_batch_size
    parser.add_argument("--rounds", type=whole, default=5, help="turns of each (5)")
    parser.add_argument("--samples", type=whole, help="test samples, at random (all)")
    parser.add_argument("--batch-size", type=whole, default=size, help=f"of ours ({size})")
    parser.add_argument("--dense-batch-size", type=whole, default=100, help="of the other (100)")
    parser.add_argument("--pad", choices=PADS, default="dataset", help="of the dense one (dataset)")
    parser.add_argument("--train-steps", type=whole, default=200, help="before it (200)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's.

    Raises:
        RuntimeError: If the two do not agree on HR@20.
    """
    training, test = open_dataset(args, "train"), open_dataset(args, "test")
    model, dense = twins(test.num_items, args.channels)
    optimizer = adam(model, **ADAM, fused=True)
    for index in torch.randint(len(training), (args.train_steps, 100)):
        optimizer.zero_grad()
        model.loss(training.batch(index)).backward()
        optimizer.step()
    dense.copy_weights(model)

    numbers = torch.randperm(len(test))[: args.samples].sort().values
    loader = SessionLoader(test, args.batch_size, sampler=numbers.tolist())
    load = DenseLoader(test, numbers, args.pad)
    model.eval()
    dense.eval()
    mixture = default_model(training)
    sides = {
        "dense": lambda: dense_metrics(dense, load, numbers.split(args.dense_batch_size)),
        "float32": lambda: evaluate(model, loader, test.num_items),
        "mixture": lambda: evaluate(mixture, loader, test.num_items),
    }
    turns = take_turns({name: timing(side) for name, side in sides.items()}, args.rounds)
    metrics = {name: of[0][1] for name, of in turns.items()}
    theirs, ours = (metrics[name][f"hr@{_K}"] for name in ("dense", "float32"))
    # The dense model breaks ties as topk happens to; rounding may swap two items in one row.
    allowed = metrics["float32"]["tied"] * len(numbers) + 1.5
    if abs(ours - theirs) * len(numbers) > allowed:
        raise RuntimeError(f"HR@{_K} must be equal, but ours is {ours} and the dense {theirs}")
    rates = {name: len(numbers) / median(took for took, _ in of) for name, of in turns.items()}
    return {
        "dataset": repr(test),
        "rows": len(numbers),
        "batch_size": {"dense": args.dense_batch_size}
        | dict.fromkeys(("float32", "mixture"), args.batch_size),
        "channels": args.channels,
        "pad": args.pad,
        "rounds": args.rounds,
        "metrics": metrics,
        "ratio": {name: rates[name] / rates["dense"] for name in ("float32", "mixture")},
        "rows_per_second": rates,
    }


def default_model(training: Any) -> SRGNN:
    """The model of ``conf/model/srgnn.yaml``, with what it counts in the training sessions."""
    settings = OmegaConf.load(_CONF / "model" / "srgnn.yaml")
    settings.pop("name")
    model = SRGNN(training.num_items, **settings)
    model.set_training(training.sessions)
    return model.eval()


def timing(side: Callable[[], dict[str, float]]) -> Callable[[], tuple[float, dict[str, float]]]:
    """Seconds beside the result."""

    def timed() -> tuple[float, dict[str, float]]:
        start = perf_counter()
        result = side()
        return perf_counter() - start, result

    return timed


@torch.no_grad()
def dense_metrics(
    model: DenseSRGNN, load: DenseLoader, batches: Sequence[Tensor]
) -> dict[str, float]:
    """HR@20 and MRR@20, row by row."""
    hits: list[bool] = []
    reciprocal_ranks: list[float] = []
    for index in batches:
        *inputs, targets = load(index)
        best = model(*inputs).topk(_K)[1].numpy()
        for row, target in zip(best, targets.numpy() - 1, strict=True):
            hits.append(bool(np.isin(target, row)))
            place = np.where(row == target)[0]
            reciprocal_ranks.append(0.0 if len(place) == 0 else 1 / (place[0] + 1))
    return {f"hr@{_K}": float(np.mean(hits)), f"mrr@{_K}": float(np.mean(reciprocal_ranks))}


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{result['dataset']}, {result['rows']:,} rows, d {result['channels']}",
        "",
        f"{'evaluation':12}{'batch':>7}{'rows/s':>10}{'ratio':>9}{'HR@20':>9}{'MRR@20':>9}",
    ]
    for name, rate in result["rows_per_second"].items():
        of = result["metrics"][name]
        lines.append(
            f"{name:12}{result['batch_size'][name]:7}{rate:10,.0f}"
            f"{result['ratio'].get(name, 1.0):8.2f}x{of['hr@20']:9.2%}{of['mrr@20']:9.2%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
