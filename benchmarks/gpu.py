"""How fast is a training on one GPU, and how much of the time does the GPU work?

A step is all from sample numbers to updated weights. *Launches* are counted as
:mod:`benchmarks.launches` says, which any machine can; *busy* is the share of a step's time in
which a kernel runs. *Epoch* is one of ``srgnn-train``, with all that it does beside the steps, its
validation aside.

    python -m benchmarks.gpu --mirror DIR --json FILE  # Diginetica, on one GPU
    python -m benchmarks.gpu --compile                 # beside it, torch.compile and CUDA graphs
    python -m benchmarks.gpu --device cpu --steps 3    # tries the path where there is no GPU
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from torch.profiler import ProfilerActivity

from benchmarks.launches import aten_calls, launches
from benchmarks.measure import ADAM, dataset_options, open_dataset, options, run, seconds, whole
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.data.fixed import FixedBatches
from pyg_srgnn.nn import SessionModel, build_model
from pyg_srgnn.training.optimizer import adam

_NO_GPU = "skipped: there is no GPU (torch.cuda.is_available() is false)"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON; without a GPU, say so."""
    parser = options(__doc__)
    dataset_options(parser)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="(cuda)")
    parser.add_argument("--models", nargs="+", default=["srgnn", "srgnn_plain"], help="of conf/")
    parser.add_argument("--batch-sizes", nargs="+", type=whole, default=[512, 2048])
    parser.add_argument("--steps", type=whole, default=200, help="that are timed (200)")
    parser.add_argument("--compile", action="store_true", help="compiled steps and epochs, too")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    if args.device == "cuda" and not torch.cuda.is_available():
        return {"skipped": _NO_GPU, "of": []}
    dataset = open_dataset(args, "train")
    ways = [False, True] if args.compile else [False]
    cases = [(m, b, c) for m in args.models for b in args.batch_sizes for c in ways]
    return {
        "dataset": repr(dataset),
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "channels": args.channels,
        "of": [_case(args, dataset, *case) for case in cases],
    }


def _case(
    args: argparse.Namespace, dataset: Any, name: str, batch_size: int, compiled: bool
) -> dict[str, Any]:
    settings = yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    sizes = {"num_items": dataset.num_items, "channels": args.channels}
    model = build_model(settings | sizes)
    model.set_training(dataset.sessions)
    model.to(args.device).train()
    step = training_step(model, dataset, batch_size, args.device, compiled)

    def steps() -> None:
        for _ in range(args.steps):
            step()
        if args.device == "cuda":
            torch.cuda.synchronize()

    first = seconds(step)
    steps()  # every size is met, and compiled
    timed = [seconds(steps) / args.steps for _ in range(3)]
    result: dict[str, Any] = {"model": name, "batch_size": batch_size, "compiled": compiled}
    result |= {"first_step": first, "step_ms": 1000 * median(timed)}
    result["samples_per_second"] = batch_size / median(timed)
    if not compiled:  # a graph that is replayed calls no operators
        result |= {"launches": launches(step).total, "aten_calls": aten_calls(step)}
    if args.device == "cuda":
        result |= _on_gpu(steps, args.steps, median(timed))
    return result | _epoch(args, name, batch_size, compiled)


def training_step(
    model: SessionModel, dataset: Any, batch_size: int, device: str, compiled: bool = False
) -> Callable[[], None]:
    """A step on the next samples of a random order."""
    build = FixedBatches(dataset.sessions, dataset.num_items, batch_size, device)
    optimizer = adam(model, **ADAM)
    mode = "reduce-overhead" if device == "cuda" else None
    loss = torch.compile(model.loss, dynamic=False, mode=mode) if compiled else model.loss

    def step() -> None:
        batch = build(torch.randint(len(dataset), (batch_size,)).tolist())
        optimizer.zero_grad()
        loss(batch).backward()
        optimizer.step()

    return step


def _on_gpu(steps: Callable[[], None], count: int, step_seconds: float) -> dict[str, float]:
    """Kernels a step, and the share of a step's time, without the profiler, in which they run."""
    with torch.profiler.profile(activities=[ProfilerActivity.CUDA]) as found:
        steps()
    kernels = [event for event in found.events() if event.device_type.name == "CUDA"]
    busy = sum(event.time_range.elapsed_us() for event in kernels) / 1e6 / count
    return {"kernels": len(kernels) / count, "busy": busy / step_seconds}


def _epoch(
    args: argparse.Namespace, name: str, batch_size: int, compiled: bool
) -> dict[str, float]:
    """Seconds of an epoch of all samples, and samples a second in it; on a CPU, of a few steps."""
    with TemporaryDirectory() as folder:
        keys = [
            *(f"hydra.run.dir={folder}/run", f"model={name}", f"batch_size={batch_size}"),
            *(f"model.channels={args.channels}", f"dataset.root={args.root}", "text=null"),
            *("half_life=null", "trainer.max_epochs=1", "test=false", "baselines=[]"),
            *("batches=device", f"compile={str(compiled).lower()}"),
            f"trainer.accelerator={'gpu' if args.device == 'cuda' else 'cpu'}",
            *_dataset_keys(args),
        ]
        if args.device == "cpu":
            keys += [f"trainer.limit_{part}_batches={args.steps}" for part in ("train", "val")]
        command = [sys.executable, "-m", "pyg_srgnn.commands.train", *keys]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
        with Path(folder, "run", "epochs.csv").open(encoding="utf-8") as file:
            (row,) = csv.DictReader(file)
    return {
        "epoch_seconds": float(row["train_seconds"]),
        "epoch_samples_per_second": float(row["samples_per_second"]),
    }


def _dataset_keys(args: argparse.Namespace) -> list[str]:
    """The keys of ``srgnn-train`` for the dataset that :func:`open_dataset` opens."""
    if open_dataset(args, "train").name == "diginetica":
        mirror = [] if args.mirror is None else [f"dataset.mirror={args.mirror}"]
        return ["dataset=diginetica", *mirror]
    return ["dataset=synthetic", f"dataset.num_sessions={args.sessions}"]


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    if "skipped" in result:
        return f"{result['skipped']}; --device cpu tries the path"
    lines = [
        f"{result['dataset']}, d {result['channels']}, {result['device']}",
        "",
        f"{'model':22}{'batch':>6}{'first, s':>10}{'ms/step':>9}{'samples/s':>11}{'launches':>10}"
        f"{'ATen':>7}{'kernels':>9}{'busy':>7}{'epoch, s':>10}{'samples/s':>11}",
    ]
    for of in result["of"]:
        name = of["model"] + (", compiled" if of["compiled"] else "")
        shown = [
            f"{name:22}{of['batch_size']:6}{of['first_step']:10.1f}{of['step_ms']:9.2f}",
            f"{of['samples_per_second']:11,.0f}",
            *(
                f"{of.get(key, '–'):>{width}}"
                for key, width in (("launches", 10), ("aten_calls", 7))
            ),
            f"{of['kernels']:9.0f}{of['busy']:7.0%}" if "busy" in of else f"{'–':>9}{'–':>7}",
            f"{of['epoch_seconds']:10.1f}{of['epoch_samples_per_second']:11,.0f}",
        ]
        lines.append("".join(shown))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
