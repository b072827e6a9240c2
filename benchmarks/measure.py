"""Shared parts of the benchmarks: options, data, turns, child processes, the machine, JSON.

A child's peak memory is at least what its parent holds when it starts, so torch is imported only
where it is used.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ADAM = {"lr": 1e-3, "weight_decay": 1e-5}
"""Rate and decay of the steps that are timed."""
_INSTRUCTIONS = (
    *("avx2", "avx_vnni", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),
    *("asimd", "dotprod", "bf16", "i8mm", "sve"),
)


def whole(text: str) -> int:
    """A whole number of at least 1, as a type of argparse."""
    number = int(float(text)) if "e" in text else int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1 (got {text})")
    return number


def options(description: str | None) -> argparse.ArgumentParser:
    """A command with the options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    return parser


def dataset_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose the dataset and the size of the model."""
    parser.add_argument("--mirror", help="folder or URL that holds diginetica/")
    parser.add_argument("--root", default="datasets", help="folder of all datasets (datasets)")
    parser.add_argument("--sessions", type=whole, default=15_000, help="of Synthetic (15000)")
    parser.add_argument("--channels", type=whole, default=100, help="size of an embedding (100)")


def run(
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
    arguments: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    args = parser.parse_args(arguments)
    try:
        result = measure(args)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    result = {**result, "machine": machine()}
    print(table(result))
    print("\n" + ", ".join(f"{key} {value}" for key, value in result["machine"].items()))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def machine() -> dict[str, Any]:
    """Processor, threads and versions, on which the figures depend."""
    import torch

    known = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processor": known.get("cpu_name") or platform.machine(),
        "instructions": instructions(),
        "used by torch": torch.backends.cpu.get_cpu_capability(),  # type: ignore[no-untyped-call]
        "bfloat16": "in hardware" if fast_products() == "bfloat16" else "emulated, not measured",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
    }


def instructions() -> str:
    """The instruction sets of the processor that products of matrices depend on."""
    import torch

    # Before torch 2.13 the processor's abilities cannot be asked for, but what torch uses of them.
    known = getattr(torch.cpu, "get_capabilities", dict)()
    found = [name for name in _INSTRUCTIONS if known.get(name)]
    return " ".join(found) or str(torch.backends.cpu.get_cpu_capability()).lower()  # type: ignore[no-untyped-call]


def fast_products() -> str:
    """Type of the fastest products here: ``"bfloat16"``, or ``"float32"`` where it is emulated."""
    import torch

    from pyg_srgnn.nn.losses import bfloat16_is_fast

    return "bfloat16" if bfloat16_is_fast(torch.device("cpu")) else "float32"


def open_dataset(args: argparse.Namespace, split: str) -> Any:
    """Diginetica where a mirror is given or its files are there already, else Synthetic."""
    from pyg_srgnn.datasets import Diginetica, Synthetic

    raw = Path(args.root, Diginetica.name, "raw")
    if args.mirror or all((raw / source.name).is_file() for source in Diginetica.sources):
        return Diginetica(args.root, split, mirror=args.mirror)
    return Synthetic(args.root, split, num_sessions=args.sessions)


def take_turns(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[Any]]:
    """Run every side once in each round; their results.

    The sides follow one another within a round, so that a machine that is busy for a while harms
    all alike.
    """
    results: dict[str, list[Any]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            results[name].append(side())
    return results


def seconds(do: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = perf_counter()
    do()
    return perf_counter() - start


def typical(do: Callable[[Any], Any], inputs: Iterable[Any], budget: float = 60.0) -> float:
    """Median seconds over some inputs: as many as fit into ``budget`` seconds, at least one.

    The first input is not counted where there are more: buffers and states are made with it.
    """
    durations: list[float] = []
    for given in inputs:
        durations.append(seconds(lambda given=given: do(given)))  # type: ignore[misc]
        if sum(durations) > budget:
            break
    return median(durations[1:] or durations)


def in_child(job: Callable[..., Any], *args: Any) -> Any:
    """Run a job in a new process with nothing loaded; its result."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(job, *args).result()


def peak_mb() -> float:
    """Peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def peak_mb_of(command: Sequence[str], log: Path) -> float:
    """Peak memory of a command; see :func:`usage_of`."""
    return usage_of(command, log).ru_maxrss * _UNIT


def usage_of(command: Sequence[str], log: Path, status: int = 0) -> resource.struct_rusage:
    """Run a command as a child process, its output in ``log``; its memory and time.

    Args:
        command: The program's path, and its arguments.
        log: The file.
        status: How it is expected to exit. (default: 0)

    Raises:
        ValueError: If it exits in another way.
    """
    with log.open("wb") as output:
        # posix_spawn and wait4 count this one child, not all that this process ever had.
        actions = [(os.POSIX_SPAWN_DUP2, output.fileno(), of) for of in (1, 2)]
        child = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        _, found, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(found) != status:
        output_text = log.read_text(encoding="utf-8", errors="replace")
        raise ValueError(f"{' '.join(command)} failed:\n{output_text[-2000:]}")
    return usage


_UNIT = 1e-6 if sys.platform == "darwin" else 1024e-6  # of ru_maxrss, in MB
