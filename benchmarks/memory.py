"""How much memory does a whole training run hold at its peak, and how much of it is the imports?

Every figure is the peak of the resident memory of a process of its own. The run is the real
``srgnn-train`` with its defaults: data, training, validation, test, baselines. ``--rows`` adds a
run on that many clicks in Yoochoose's format, prepared beforehand.

    python -m benchmarks.memory                            # Synthetic, generated
    python -m benchmarks.memory --mirror DIR --json FILE   # Diginetica from a folder or URL
    python -m benchmarks.memory --mirror DIR --rows 33003944
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.click_log import COLUMNS
from benchmarks.measure import dataset_options, in_child, options, peak_mb_of, run, whole
from benchmarks.prepare import RULES, STORE, generated, opened

_TRAIN = [sys.executable, "-m", "pyg_srgnn.commands.train"]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    dataset_options(parser)
    parser.add_argument("--epochs", type=whole, default=1, help="of the run (1)")
    parser.add_argument("--batches", type=whole, help="of an epoch (all)")
    parser.add_argument("--rows", type=whole, help="of another log, generated (none)")
    parser.add_argument("--keep", type=Path, help="folder for that log, kept (a temporary one)")
    parser.add_argument("keys", nargs="*", help="further key=value for srgnn-train")
    return run(parser, in_folder, table, arguments)


def in_folder(args: argparse.Namespace) -> dict[str, Any]:
    """Measure in a folder that is not kept."""
    with tempfile.TemporaryDirectory(prefix="memory-") as temporary:
        return measure(args, Path(temporary))


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    data = ["dataset=synthetic", f"dataset.num_sessions={args.sessions}"]
    if args.mirror:
        data = ["dataset=diginetica", f"dataset.mirror={args.mirror}"]
    data.append(f"dataset.root={args.root}")
    imports = [sys.executable, "-c", "import pyg_srgnn.commands.train"]
    peaks = {
        "imports alone": peak_mb_of(imports, folder / "log"),
        " ".join(data[:1]): trained(args, data, folder / "run"),
    }
    if args.rows:
        log = generated((args.keep or folder) / str(args.rows), args.rows, 0)
        in_child(prepare, log)
        rules = {"path": log, "root": log.with_name(STORE), "columns": f"[{','.join(COLUMNS)}]"}
        keys = [f"dataset.{key}={shown(value)}" for key, value in (rules | RULES).items()]
        peaks[f"{args.rows:,} clicks"] = trained(
            args, ["dataset=click_log", *keys], folder / "large"
        )
    return {"epochs": args.epochs, "batches": args.batches, "peak_mb": peaks}


def trained(args: argparse.Namespace, keys: Sequence[str], run_dir: Path) -> float:
    """The peak of a run."""
    command = [*_TRAIN, *keys, f"model.channels={args.channels}", f"hydra.run.dir={run_dir}"]
    command += [f"trainer.max_epochs={args.epochs}", "trainer.enable_progress_bar=false"]
    if args.batches:
        command += [f"trainer.limit_{part}_batches={args.batches}" for part in ("train", "val")]
    return peak_mb_of([*command, *args.keys], run_dir.with_suffix(".log"))


def prepare(log: Path) -> None:
    """Job: prepare the log; the run opens what is stored."""
    opened(log, "train")


def shown(value: Any) -> str:
    """A value as it is written on a command line."""
    return "null" if value is None else str(value).lower() if value is True else str(value)


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'peak of':28}{'MB':>8}"]
    lines += [f"{name:28}{peak:8,.0f}" for name, peak in result["peak_mb"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
