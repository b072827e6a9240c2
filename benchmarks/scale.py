"""How much does a catalogue's size cost? Items from ten thousand to ten million.

For every size: a training step with the sampled loss and row-wise Adam, one with the loss over all
items where it fits into memory, an evaluated row, and the twenty best items of one session and of a
hundred; time, and the peak memory of a process of its own. Sessions are random, their items as
popular as Zipf's law has it.

    python -m benchmarks.scale --json FILE --plot FILE     # 10^4, 10^5, 10^6, 10^7 items
    python -m benchmarks.scale --largest 1e6
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import ADAM, in_child, options, peak_mb, run, typical, whole

_LIMIT_GB = 16.0
_TASKS = {  # gigabytes that a table of V x d float32 numbers is held as: weights, moments, gradient
    "train_sampled": 3,
    "train_full": 5,
    "rank": 1,
}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--smallest", type=whole, default=10**4, help="items (1e4)")
    parser.add_argument("--largest", type=whole, default=10**7, help="items (1e7)")
    parser.add_argument("--channels", type=whole, default=100, help="size of an embedding (100)")
    parser.add_argument("--batch-size", type=whole, default=100, help="sessions (100)")
    parser.add_argument("--negatives", type=whole, default=1024, help="of the sampled loss (1024)")
    parser.add_argument("--steps", type=whole, default=30, help="of each, at most (30)")
    parser.add_argument("--plot", type=Path, help="PNG file of the growth")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's.

    Raises:
        ValueError: If the smallest catalogue is larger than the largest.
    """
    if args.smallest > args.largest:
        raise ValueError(f"--smallest {args.smallest} is more than --largest {args.largest}")
    sizes = [args.smallest]
    while sizes[-1] * 10 <= args.largest:
        sizes.append(sizes[-1] * 10)
    free = min(_LIMIT_GB, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 1e9)
    of: dict[int, dict[str, Any]] = {}
    for items in sizes:
        of[items] = {}
        for task, tables in _TASKS.items():
            needs = 0.6 + tables * 4e-9 * items * args.channels
            if task == "train_full":  # the exponentials of all scores
                needs += 4e-9 * items * args.batch_size
            if needs > free:
                print(f"{items:,} items, {task}: needs {needs:.0f} GB, left out", flush=True)
                continue
            of[items][task] = in_child(_JOBS[task], items, args)
            print(f"{items:,} items, {task}: done", flush=True)
    result: dict[str, Any] = {
        key: getattr(args, key) for key in ("channels", "batch_size", "negatives")
    }
    result["items"] = {str(items): found for items, found in of.items()}
    steps = [found["train_sampled"]["ms"] for found in of.values() if "train_sampled" in found]
    result["growth"] = steps[-1] / steps[0]
    if args.plot:
        plot(of, args.plot)
    return result


def zipf(items: int) -> tuple[Any, Any]:
    """Clicks of each item by Zipf's law, and a draw of items in proportion to them.

    The popular items have random numbers: side by side in the table they would share its pages.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    rank = torch.randperm(items, generator=generator)
    counts = (10.0 * items / (rank + 1)).long()
    cumulative = counts.cumsum(0)

    def draw(number: int) -> Any:
        point = torch.randint(int(cumulative[-1]), (number,), generator=generator)
        return torch.searchsorted(cumulative, point, right=True)

    return counts, draw


def batches(draw: Any, size: int, number: int) -> list[Any]:
    """Session graphs of two to nine clicks, the last one the target."""
    import torch

    from pyg_srgnn.data import session_graphs

    generator = torch.Generator().manual_seed(1)
    made = []
    for _ in range(number):
        lengths = torch.randint(1, 9, (size,), generator=generator)
        made.append(session_graphs(draw(int(lengths.sum())), lengths, draw(size)))
    return made


def train(items: int, args: argparse.Namespace, loss: str) -> dict[str, float]:
    """Job: training steps."""
    import torch

    from pyg_srgnn.nn import SRGNN
    from pyg_srgnn.training.optimizer import adam

    torch.manual_seed(0)
    counts, draw = zipf(items)
    model = SRGNN(items, args.channels, loss=loss, negatives=args.negatives)
    model.set_popularity(counts)
    optimizer = adam(model, **ADAM)

    def step(batch: Any) -> None:
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()

    given = batches(draw, args.batch_size, args.steps)
    step(given[0])  # the optimizer's state is made here
    return {"ms": 1000 * typical(step, given, budget=20.0), "peak_mb": peak_mb()}


def sampled(items: int, args: argparse.Namespace) -> dict[str, float]:
    """Job: training steps with the sampled loss."""
    return train(items, args, "sampled")


def full(items: int, args: argparse.Namespace) -> dict[str, float]:
    """Job: training steps with the loss over all items."""
    return train(items, args, "cross_entropy")


def rank(items: int, args: argparse.Namespace) -> dict[str, float]:
    """Job: evaluated rows, and the best items of one session and of a hundred."""
    import torch

    from pyg_srgnn.evaluation.metrics import RankingMetrics
    from pyg_srgnn.functional.topk import rows_at_once
    from pyg_srgnn.nn import SRGNN

    torch.manual_seed(0)
    _, draw = zipf(items)
    model = SRGNN(items, args.channels).eval()
    metrics = RankingMetrics(items)
    rows = rows_at_once(items, 256)
    given = {size: batches(draw, size, 5) for size in {rows, 1, 100}}
    with torch.inference_mode():
        row = typical(lambda b: metrics.update(model.scores(b), b.y), given[rows], 20.0) / rows
        best = {size: typical(lambda b: model.topk(b, 20), given[size], 20.0) for size in (1, 100)}
    return {
        "row_ms": 1000 * row,
        "top20_ms": 1000 * best[1],
        "top20_of_100_ms": 1000 * best[100],
        "peak_mb": peak_mb(),
    }


_JOBS = {"train_sampled": sampled, "train_full": full, "rank": rank}
_CURVES = {
    "training step, sampled loss": ("train_sampled", "ms"),
    "training step, all items": ("train_full", "ms"),
    "evaluated row": ("rank", "row_ms"),
    "top 20 of one session": ("rank", "top20_ms"),
    "top 20 of 100 sessions": ("rank", "top20_of_100_ms"),
}


def plot(of: dict[int, dict[str, Any]], path: Path) -> None:
    """Time and memory by the number of items, both axes logarithmic."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for label, (task, key) in _CURVES.items():
        sizes = [items for items in of if task in of[items]]
        left.loglog(sizes, [of[items][task][key] for items in sizes], marker="o", label=label)
    for task in _TASKS:
        sizes = [items for items in of if task in of[items]]
        right.loglog(sizes, [of[items][task]["peak_mb"] for items in sizes], marker="o", label=task)
    left.set(xlabel="items", ylabel="milliseconds")
    right.set(xlabel="items", ylabel="peak memory, MB")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"d {result['channels']}, batch {result['batch_size']}, {result['negatives']} negatives",
        "",
        f"{'milliseconds':30}" + "".join(f"{int(items):>14,}" for items in result["items"]),
    ]

    def row(label: str, task: str, key: str, form: str) -> str:
        found = [of.get(task, {}).get(key) for of in result["items"].values()]
        return f"{label:30}" + "".join(
            f"{'-':>14}" if value is None else f"{value:14{form}}" for value in found
        )

    lines += [row(label, *where, ".2f") for label, where in _CURVES.items()]
    lines += [row(f"peak MB, {task}", task, "peak_mb", ",.0f") for task in _TASKS]
    lines.append(
        f"the largest catalogue's sampled step takes {result['growth']:.2f}x the smallest's"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
