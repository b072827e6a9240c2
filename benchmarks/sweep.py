"""How much faster is a sweep of two jobs at once than one after the other?

Both are ``srgnn-train -m`` on a cache that is prepared, with all cores for one job, or half of them
for each of two. They take turns; the ratio is of the medians.

    python -m benchmarks.sweep
    python -m benchmarks.sweep --jobs 4 --at-once 2 --rounds 3 --json FILE
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measure import options, run, seconds, take_turns, whole


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--jobs", type=whole, default=4, help="of the sweep (4)")
    parser.add_argument("--at-once", type=whole, default=2, help="jobs at once (2)")
    parser.add_argument("--rounds", type=whole, default=3, help="turns of each (3)")
    parser.add_argument("--epochs", type=whole, default=2, help="of a job (2)")
    parser.add_argument("--sessions", type=whole, default=15_000, help="of Synthetic (15000)")
    parser.add_argument("--channels", type=whole, default=100, help="size of an embedding (100)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's.

    Raises:
        RuntimeError: If a sweep has failed, or has not run all its jobs.
    """
    with TemporaryDirectory() as folder:
        number = 0

        def sweep(*how: str) -> None:
            nonlocal number
            number += 1
            directory = Path(folder, str(number))
            command = [
                *(sys.executable, "-m", "pyg_srgnn.commands.train", "-m", *how),
                f"seed=range({args.jobs})",
                f"dataset.num_sessions={args.sessions}",
                f"model.channels={args.channels}",
                f"trainer.max_epochs={args.epochs}",
                f"dataset.root={folder}/datasets",
                f"hydra.sweep.dir={directory}",
                "trainer.enable_progress_bar=false",
                "test=false",
            ]
            done = subprocess.run(command, capture_output=True, text=True)
            finished = len(list(directory.rglob("metrics.json")))
            if done.returncode or finished != args.jobs:
                raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")

        result: dict[str, Any] = {"jobs": args.jobs, "at_once": args.at_once}
        at_once = ("hydra/launcher=joblib", f"hydra.launcher.n_jobs={args.at_once}")
        sweep()  # prepares the data
        turns = take_turns(
            {
                "one after another": lambda: seconds(sweep),
                "at once": lambda: seconds(lambda: sweep(*at_once)),
            },
            args.rounds,
        )
    result["seconds"] = {name: median(of) for name, of in turns.items()}
    result["turns"] = turns
    result["ratio"] = result["seconds"]["one after another"] / result["seconds"]["at once"]
    return result


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"a sweep of {result['jobs']} jobs, {result['at_once']} at once", ""]
    lines += [f"{name:20}{value:8.1f} s" for name, value in result["seconds"].items()]
    return "\n".join([*lines, f"{'ratio':20}{result['ratio']:8.2f}x"])


if __name__ == "__main__":
    main()
