"""How long do the commands take before they do their work?

CPU seconds (user and system) of whole processes, as multiples of ``python -c "import torch"``: the
clock's depend on what else the machine does. The data set and the model are so small that the
start is nearly all of it. All take turns, and the ratios are of medians.

    python -m benchmarks.startup
    python -m benchmarks.startup --rounds 9 --json FILE
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measure import options, run, take_turns, usage_of, whole

_TORCH = 'python -c "import torch"'
# The multiples that are aimed at.
_AIMS = {
    "srgnn-train --help": 0.6,
    "a mistyped key": 0.6,
    "srgnn-leaderboard": 0.6,
    "srgnn-compare": 0.6,
    "srgnn-recommend, an export": 1.3,
    "srgnn-train, counting": 2.0,
    "srgnn-train, one step": 2.0,
}
_TINY = [
    *("dataset.num_items=40", "dataset.num_interests=3", "dataset.interest_size=20"),
    *("dataset.num_successors=3", "dataset.num_sessions=300", "dataset.num_test_sessions=60"),
    *("baselines=[]", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"),
]
_STEP = ["model.channels=8", "trainer.max_epochs=1", "trainer.limit_train_batches=1"]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=whole, default=5, help="turns of each (5)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's.

    Raises:
        ValueError: If a command has failed.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        tiny = [*_TINY, f"dataset.root={folder}/datasets"]
        runs, export = folder / "runs", folder / "export"
        for seed in (0, 1):
            _seconds("train", *tiny, *_STEP, f"seed={seed}", f"hydra.run.dir={runs}/{seed}")
        _seconds("export", f"checkpoint={runs}/0", f"output={export}")
        number = count()

        def start(*keys: str) -> float:
            directory = folder / str(next(number))
            return _seconds("train", *tiny, *keys, "test=false", f"hydra.run.dir={directory}")

        turns = take_turns(
            {
                _TORCH: lambda: _python("-c", "import torch"),
                "srgnn-train --help": lambda: _seconds("train", "--help"),
                "a mistyped key": lambda: _seconds("train", "model.chanels=3", status=1),
                "srgnn-leaderboard": lambda: _seconds("leaderboard", str(runs)),
                "srgnn-compare": lambda: _seconds("compare", f"{runs}/0", f"{runs}/1"),
                "srgnn-recommend, an export": lambda: _seconds(
                    "recommend", f"checkpoint={export}", "items=[1,2]"
                ),
                "srgnn-train, counting": lambda: start("model=popularity"),
                "srgnn-train, one step": lambda: start(*_STEP),
            },
            args.rounds,
        )
    seconds = {of: median(each) for of, each in turns.items()}
    return {
        "seconds": seconds,
        "ratio": {of: seconds[of] / seconds[_TORCH] for of in _AIMS},
        "turns": turns,
    }


def _seconds(script: str, *arguments: str, status: int = 0) -> float:
    return _python("-m", f"pyg_srgnn.commands.{script}", *arguments, status=status)


def _python(*arguments: str, status: int = 0) -> float:
    """CPU seconds of a process."""
    with TemporaryDirectory() as folder:
        usage = usage_of([sys.executable, *arguments], Path(folder, "log"), status)
    return usage.ru_utime + usage.ru_stime


def table(result: dict[str, Any]) -> str:
    """The figures as text."""
    seconds = result["seconds"]
    lines = [f"{'':<26}  CPU seconds  ratio  aim", f"{_TORCH:<26}  {seconds[_TORCH]:>11.2f}"]
    lines += [
        f"{of:<26}  {seconds[of]:>11.2f}  {ratio:>5.2f}  {_AIMS[of]:>3}"
        for of, ratio in result["ratio"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait count as busy
    main()
