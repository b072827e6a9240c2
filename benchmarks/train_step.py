"""How fast are a training step and an evaluated row, beside a dense textbook SR-GNN?

Both models start from the same weights, must agree on the loss before anything is timed, and get
the same batches. They take turns within one run, and medians over the turns are shown, so that a
machine that is busy for a while harms both alike. A step is all from sample numbers to updated
weights: the batch, the loss, its gradients, Adam. An evaluated row is all from sample numbers to
metrics.

    python -m benchmarks.train_step                           # Synthetic, generated
    python -m benchmarks.train_step --mirror DIR   # Diginetica from a folder or URL
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.dense import DenseSRGNN, dense_batch
from pyg_srgnn.datasets import Diginetica, SessionDataset, Synthetic
from pyg_srgnn.metrics import RankingMetrics
from pyg_srgnn.nn import SRGNN

_TOLERANCE = 1e-4  # of the loss
_K = 20


class Side(NamedTuple):
    """One of the two in one task: from sample numbers to a batch, and what is done with it."""

    load: Callable[[Tensor], Any]
    step: Callable[[Any], None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mirror", help="folder or URL that holds diginetica/")
    parser.add_argument("--root", default="datasets", help="folder of all datasets (datasets)")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (5)")
    parser.add_argument("--steps", type=int, default=20, help="batches a turn (20)")
    parser.add_argument("--batch-size", type=int, default=100, help="samples a batch (100)")
    parser.add_argument("--channels", type=int, default=100, help="size of an embedding (100)")
    parser.add_argument("--sessions", type=int, default=15_000, help="of Synthetic (15000)")
    args = parser.parse_args(arguments)

    result = measure(args)
    print(table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's.

    Raises:
        RuntimeError: If the two models do not agree on the loss.
    """
    train, test = open_dataset(args, "train"), open_dataset(args, "test")
    torch.manual_seed(0)
    model = SRGNN(train.num_items, args.channels, reset_after=True, readout_bias=True)
    dense = DenseSRGNN(train.num_items, args.channels).copy_weights(model)
    batches, rows = ([*torch.randint(len(d), (args.steps, args.batch_size))] for d in (train, test))
    load_train, load_test = lists_of(train, batches), lists_of(test, rows)

    with torch.no_grad():
        ours = float(model.loss(train.batch(batches[0])))
        theirs = float(dense.loss(load_train(batches[0])))
    if abs(ours - theirs) > _TOLERANCE:
        raise RuntimeError(f"the losses must be equal, but ours is {ours} and the dense {theirs}")

    return {
        "dataset": repr(train),
        "items": train.num_items,
        **{key: getattr(args, key) for key in ("batch_size", "channels", "rounds", "steps")},
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "loss": {"ours": ours, "dense": theirs},
        "train": take_turns(
            training(model, train.batch, fused=True), training(dense, load_train), batches, args
        ),
        "evaluate": take_turns(
            evaluation(model, test), dense_evaluation(dense, load_test), rows, args
        ),
    }


def open_dataset(args: argparse.Namespace, split: str) -> SessionDataset:
    """Diginetica where a mirror is given or its files are there already, else Synthetic."""
    raw = Path(args.root, Diginetica.name, "raw")
    if args.mirror or all((raw / source.name).is_file() for source in Diginetica.sources):
        return Diginetica(args.root, split, mirror=args.mirror)
    return Synthetic(args.root, split, num_sessions=args.sessions)


def lists_of(dataset: SessionDataset, batches: Sequence[Tensor]) -> Callable[[Tensor], Any]:
    """The dense side's loader over its samples, which it keeps as lists of item ids."""
    samples = {}
    for number in torch.cat(list(batches)).unique():
        session, cut = (int(part) for part in dataset.sessions.samples(number.unsqueeze(0)))
        ids = (dataset.sessions[session][: cut + 1] + 1).tolist()
        samples[int(number)] = ids[:-1], ids[-1]

    def load(index: Tensor) -> Any:
        prefixes, targets = zip(*(samples[number] for number in index.tolist()), strict=True)
        return dense_batch(prefixes, targets)

    return load


def training(
    model: SRGNN | DenseSRGNN, load: Callable[[Tensor], Any], fused: bool | None = None
) -> Side:
    """A training step with Adam as a run has it, in one kernel or as it comes."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5, fused=fused)

    def step(batch: Any) -> None:
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()

    return Side(load, step)


def evaluation(model: SRGNN, dataset: SessionDataset) -> Side:
    """All metrics of the package."""
    metrics = RankingMetrics(dataset.num_items)

    @torch.inference_mode()
    def step(batch: Any) -> None:
        metrics.update(model.scores(batch), batch.y)

    return Side(dataset.batch, step)


def dense_evaluation(model: DenseSRGNN, load: Callable[[Tensor], Any]) -> Side:
    """HR@20 and MRR@20, row by row."""
    hits: list[bool] = []
    reciprocal_ranks: list[float] = []

    @torch.no_grad()
    def step(batch: Any) -> None:
        *inputs, targets = batch
        best = model(*inputs).topk(_K)[1].numpy()
        for row, target in zip(best, targets.numpy() - 1, strict=True):
            hits.append(bool(np.isin(target, row)))
            place = np.where(row == target)[0]
            reciprocal_ranks.append(0.0 if len(place) == 0 else 1 / (place[0] + 1))

    return Side(load, step)


def take_turns(
    ours: Side, dense: Side, batches: Sequence[Tensor], args: argparse.Namespace
) -> dict[str, Any]:
    """Time both on the same batches, one after the other in every round."""
    sides = {"ours": ours, "dense": dense}
    for side in sides.values():  # buffers, threads and Adam's state are made in the first steps
        timed(side, batches[:3])
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, side in sides.items():
            turns[name].append(timed(side, batches))
    result: dict[str, Any] = {}
    for name, of_side in turns.items():
        seconds = median(total for total, _ in of_side)
        result[name] = {
            "samples_per_second": args.steps * args.batch_size / seconds,
            "milliseconds_per_step": 1000 * seconds / args.steps,
            "loader_share": median(loading / total for total, loading in of_side),
        }
    rates = (result[name]["samples_per_second"] for name in sides)
    result["ratio"] = next(rates) / next(rates)
    return result


def timed(side: Side, batches: Sequence[Tensor]) -> tuple[float, float]:
    """Seconds of all the batches, and the loader's part of them."""
    loading, start = 0.0, perf_counter()
    for index in batches:
        before = perf_counter()
        batch = side.load(index)
        loading += perf_counter() - before
        side.step(batch)
    return perf_counter() - start, loading


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{result['dataset']}: batch {result['batch_size']}, d {result['channels']}, "
        f"{result['threads']} threads, torch {result['torch']}",
        f"the same loss at the start: ours {result['loss']['ours']:.6f}, "
        f"dense {result['loss']['dense']:.6f}",
        "",
        f"{'':10}{'samples/s':>20}{'':9}{'ms a step':>19}{'loader, % of it':>19}",
        f"{'':10}{'ours':>10}{'dense':>10}{'ratio':>9}" + 2 * f"{'ours':>10}{'dense':>9}",
    ]
    for task in ("train", "evaluate"):
        ours, dense = result[task]["ours"], result[task]["dense"]
        lines.append(
            f"{task:10}{ours['samples_per_second']:10,.0f}{dense['samples_per_second']:10,.0f}"
            f"{result[task]['ratio']:8.2f}x"
            f"{ours['milliseconds_per_step']:10.1f}{dense['milliseconds_per_step']:9.1f}"
            f"{100 * ours['loader_share']:10.0f}{100 * dense['loader_share']:9.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
