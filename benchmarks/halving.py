"""How much does halving save in a sweep, and does the best trial survive it?

Random trials of SR-GNN on the synthetic dataset are trained to the end, and once more in a sweep
with ``halving``. A stopped run is the beginning of the whole one, so that any other order of the
same trials can be replayed from their epochs: how often the best one survives is counted over many.

    python -m benchmarks.halving
    python -m benchmarks.halving --trials 30 --seeds 5 --eta 2 --first 2 --json FILE
"""

from __future__ import annotations

import argparse
import logging
import math
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measure import options, run, whole

Epochs = list[dict[str, float]]
_KEY = "valid/hr@20"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--trials", type=whole, default=16, help="of a sweep (16)")
    parser.add_argument("--epochs", type=whole, default=9, help="of a whole trial (9)")
    parser.add_argument("--eta", type=whole, default=3, help="halving= (3)")
    parser.add_argument("--first", type=whole, default=1, help="halving_from= (1)")
    parser.add_argument("--seeds", type=whole, default=2, help="sweeps with other draws (2)")
    parser.add_argument("--orders", type=whole, default=1000, help="replayed of each sweep (1000)")
    parser.add_argument("--sessions", type=whole, default=3000, help="of Synthetic (3000)")
    parser.add_argument("--channels", type=whole, default=32, help="size of an embedding (32)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's.

    Raises:
        RuntimeError: If a stopped run is not the beginning of the whole one.
    """
    logging.getLogger("pyg_srgnn").setLevel(logging.WARNING)
    sweeps = {}
    for seed in range(args.seeds):
        trials = draws(args.trials, seed)
        with TemporaryDirectory() as folder:
            whole_ones = [trained(Path(folder), "whole", t, args, None) for t in trials]
            halved = [trained(Path(folder), "halved", t, args, args.eta) for t in trials]
        if replay(whole_ones, args.eta, args.first) != [len(epochs) for epochs in halved]:
            raise RuntimeError("the sweep with halving stopped other trials than its replay")
        orders = [
            order_of(whole_ones, args.eta, args.first, random.Random(number))
            for number in range(args.orders)
        ]
        best = max(whole_ones, key=_best)
        sweeps[seed] = {
            "seconds": {"whole": _seconds(whole_ones), "halved": _seconds(halved)},
            "saved": 1 - _seconds(halved) / _seconds(whole_ones),
            "saved_epochs": 1 - _count(halved) / _count(whole_ones),
            "best": {"whole": _best(best), "halved": max(map(_best, halved))},
            "survives": len(halved[whole_ones.index(best)]) == len(best),
            "orders": {
                "saved_epochs": mean(saved for saved, _ in orders),
                "survives": mean(survives for _, survives in orders),
            },
        }
    return {
        "trials": args.trials,
        "epochs": args.epochs,
        "halving": args.eta,
        "halving_from": args.first,
        "sweeps": sweeps,
    }


def draws(trials: int, seed: int) -> list[list[str]]:
    """Random settings around the defaults, those that are far off among them."""
    draw = random.Random(seed)
    return [
        [
            f"optimizer.lr={10 ** draw.uniform(-4, math.log10(0.03)):.2e}",
            f"model.dropout={draw.uniform(0.0, 0.8):.2f}",
            f"model.scale={draw.uniform(4, 30):.1f}",
            f"model.repeat={draw.choice(['true', 'false'])}",
            f"model.positions={draw.choice([0, 10])}",
            f"seed={trial}",
        ]
        for trial in range(trials)
    ]


def trained(
    folder: Path, sweep: str, trial: list[str], args: argparse.Namespace, eta: int | None
) -> Epochs:
    """The epochs of a trial, as the command ``srgnn-train -m`` would train it."""
    from hydra import compose, initialize_config_dir

    from pyg_srgnn.commands.application import CONF
    from pyg_srgnn.runs.epochs import read_epochs
    from pyg_srgnn.training import train

    settings = [
        "test=false",
        "patience=1000",
        "dataset.num_items=300",
        f"dataset.num_sessions={args.sessions}",
        f"dataset.root={folder / 'datasets'}",
        f"model.channels={args.channels}",
        f"trainer.max_epochs={args.epochs}",
        "trainer.enable_progress_bar=false",
        f"halving={'null' if eta is None else eta}",
        f"halving_from={args.first}",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [*settings, *trial])
    run_dir = folder / sweep / ",".join(trial)
    train(config, run_dir, folder / sweep)
    return read_epochs(run_dir / "epochs.csv")


def replay(trials: Sequence[Epochs], eta: int, first: int) -> list[int]:
    """How many epochs each of the trials is trained, one after another."""
    from pyg_srgnn.training.halving import best_until, is_among_best, is_rung

    kept: list[Epochs] = []
    for epochs in trials:
        length = len(epochs)
        for epoch in range(1, len(epochs)):
            if not is_rung(epoch, first, eta):
                continue
            there = [best_until(other, _KEY, epoch) for other in kept]
            others = [value for value in there if value is not None]
            if not is_among_best(best_until(epochs, _KEY, epoch) or 0.0, others, eta):
                length = epoch
                break
        kept.append(epochs[:length])
    return [len(epochs) for epochs in kept]


def order_of(
    trials: Sequence[Epochs], eta: int, first: int, draw: random.Random
) -> tuple[float, bool]:
    """In a random order: the share of the epochs that is saved, and whether the best survives."""
    order = draw.sample(list(trials), len(trials))
    lengths = replay(order, eta, first)
    best = order.index(max(trials, key=_best))
    return 1 - sum(lengths) / _count(trials), lengths[best] == len(order[best])


def _best(epochs: Epochs) -> float:
    return max(row[_KEY] for row in epochs)


def _seconds(trials: Sequence[Epochs]) -> float:
    return sum(row["train_seconds"] for epochs in trials for row in epochs)


def _count(trials: Sequence[Epochs]) -> int:
    return sum(map(len, trials))


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{result['trials']} trials of {result['epochs']} epochs, halving={result['halving']} "
        f"halving_from={result['halving_from']}",
        "",
        f"{'draws':6}{'whole, s':>10}{'halved, s':>11}{'saved':>8}{'epochs':>8}"
        f"{'best HR@20':>12}{'with halving':>14}{'other orders: saved, best survives':>37}",
    ]
    for seed, of in result["sweeps"].items():
        lines.append(
            f"{seed:<6}{of['seconds']['whole']:10.0f}{of['seconds']['halved']:11.0f}"
            f"{of['saved']:8.0%}{of['saved_epochs']:8.0%}{100 * of['best']['whole']:12.2f}"
            f"{100 * of['best']['halved']:14.2f}"
            f"{of['orders']['saved_epochs']:26.0%}{of['orders']['survives']:11.0%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
