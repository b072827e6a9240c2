"""How fast does a click log become sessions, beside SR-GNN's plain-Python preprocessing script?

A file in Yoochoose's exact format is generated, and both do the whole job on it: read, filter,
split, number, store. The plain one is the script's job with lists and dictionaries, its lists of
all prefixes and its pickles included. They take turns, each time in a process of its own; time and
peak memory are that process's, imports not timed (their memory counts). Both must give the same
sessions, click by click. Then another process opens what was stored and takes the first shuffled
training batch; its imports are not timed either.

    python -m benchmarks.prepare                        # 3,000,000 rows
    python -m benchmarks.prepare --growth               # ours on 11 times as many rows, too
    python -m benchmarks.prepare --rows 33003944 --skip-reference
    python -m benchmarks.prepare --rows 33003944 --all-rules    # sessions cut, repeats dropped
    python -m benchmarks.prepare --rows 3e8 --parquet           # of a folder of Parquet files
"""

from __future__ import annotations

import argparse
import math
import pickle
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from benchmarks.measure import in_child, options, peak_mb, run, whole

# The jobs import what they use themselves: this process stays small, for a child's peak memory is
# at the least what its parent holds when it starts, and the plain job must not hold our libraries.

_GROWTH = 11  # 3 M rows to the 33 M of the real file
_PLAIN, STORE = "plain.pickle", "store"  # beside the log: what the two made
_SLOWEST = {"gap": "30m", "dedupe": True, "collapse": True}  # rules that take windows
RULES = {
    "session": "session_id",
    "item": "item_id",
    "time": "timestamp",
    "time_format": "iso",
    "order": "file",
    "test": "1d",
    "strict": True,
    "max_length": None,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=whole, default=3_000_000, help="of the file (3000000)")
    parser.add_argument("--seed", type=int, default=0, help="of the file (0)")
    parser.add_argument("--rounds", type=whole, default=1, help="turns of each (1)")
    parser.add_argument("--keep", type=Path, help="folder for the files, kept (a temporary one)")
    parser.add_argument("--skip-reference", action="store_true", help="ours only")
    parser.add_argument("--all-rules", action="store_true", help=f"ours only, with {_SLOWEST}")
    parser.add_argument("--parquet", action="store_true", help="ours only, of Parquet files")
    parser.add_argument(
        "--growth", action="store_true", help=f"ours on {_GROWTH} times the rows, too"
    )
    run(parser, in_folder, table, arguments)


def in_folder(args: argparse.Namespace) -> dict[str, Any]:
    """Measure in the folder that is kept, or in one that is not."""
    with tempfile.TemporaryDirectory(prefix="prepare-") as temporary:
        return measure(args, args.keep or Path(temporary))


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's.

    Raises:
        RuntimeError: If the two do not give the same sessions.
    """
    log = generated(folder / str(args.rows), args.rows, args.seed, args.parquet)
    compare = not (args.skip_reference or args.all_rules or args.parquet)
    more_rules = _SLOWEST if args.all_rules else {}
    runs: dict[str, list[dict[str, Any]]] = {"plain": [], "pyg_srgnn": []}
    for _ in range(args.rounds):  # in turns: a machine that is busy for a while harms both alike
        if compare:
            runs["plain"].append(in_child(plain, log))
        runs["pyg_srgnn"].append(in_child(ours, log, compare, more_rules))
    if compare and not all(run["same"] for run in runs["pyg_srgnn"]):
        raise RuntimeError(f"the two made different sessions of {log}")

    done = {name: figures(args.rows, of) for name, of in runs.items() if of}
    result = {
        "rows": args.rows,
        "file_mb": size_mb(log),
        "rounds": args.rounds,
        **{
            key: {name: of[key] for name, of in done.items()}
            for key in ("seconds", "cpu_seconds", "rows_per_second", "peak_mb")
        },
        **stored(log, runs["pyg_srgnn"][-1], more_rules),
    }
    if compare:
        rates = result["rows_per_second"]
        result["ratio"] = rates["pyg_srgnn"] / rates["plain"]
        result["same_result"] = True
    if args.growth:
        more = _GROWTH * args.rows
        log = generated(folder / str(more), more, args.seed, args.parquet)
        grown = in_child(ours, log, False, more_rules)
        result["growth"] = {"rows": more, **figures(more, [grown])}
        result["growth"] |= stored(log, grown, more_rules)
        slower = grown["seconds"] / done["pyg_srgnn"]["seconds"]
        result["growth"]["exponent"] = math.log(slower) / math.log(_GROWTH)
    return result


def figures(rows: int, runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The median time of some runs, and the most memory that one of them took."""
    seconds, processor = (median(run[key] for run in runs) for key in ("seconds", "cpu_seconds"))
    peak = max(run["peak_mb"] for run in runs)
    rates = {"rows_per_second": rows / seconds, "peak_mb": peak}
    return {"seconds": seconds, "cpu_seconds": processor, **rates}


def stored(log: Path, run: dict[str, Any], more_rules: dict[str, Any]) -> dict[str, float]:
    """Size of the result on disk, and seconds until its first batch."""
    return {
        "clicks": run["clicks"],
        "bytes_per_click": run["bytes"] / run["clicks"],
        "first_batch_seconds": in_child(first_batch, log, more_rules),
    }


def generated(folder: Path, rows: int, seed: int, parquet: bool = False) -> Path:
    """Make the log in a folder that takes all that is made of it, too."""
    log = folder / ("clicks" if parquet else "clicks.dat")
    (log if parquet else folder).mkdir(parents=True, exist_ok=True)
    in_child(generate, log, rows, seed)
    print(f"{rows:,} rows in {size_mb(log):,.0f} MB generated", flush=True)
    return log


def size_mb(log: Path) -> float:
    """Size of a file, or of the files of a folder."""
    files = log.iterdir() if log.is_dir() else [log]
    return sum(file.stat().st_size for file in files) / 1e6


def generate(log: Path, rows: int, seed: int) -> None:
    """Job: write the log, as Parquet where it is a folder."""
    from benchmarks.click_log import write, write_parquet

    (write_parquet if log.is_dir() else write)(log, rows, seed)


def plain(log: Path) -> dict[str, Any]:
    """Job: all that SR-GNN's script does with Yoochoose, to its pickles."""
    from tests.reference.authors import authors, last, samples

    start, before = perf_counter(), process_time()
    prepared = authors(log, "yoochoose")
    of_training, of_test = samples(prepared.training), samples(prepared.test)
    for fraction in (4, 64):
        prefixes, targets, sessions = last(of_training, fraction)
        into = log.parent / f"yoochoose1_{fraction}"
        into.mkdir(exist_ok=True)
        for name, content in (
            ("train.txt", (prefixes, targets)),
            ("all_train_seq.txt", prepared.training[sessions[0] :]),
            ("test.txt", of_test[:2]),
        ):
            with open(into / name, "wb") as file:
                pickle.dump(content, file)
    result = taken(start, before)
    with open(log.with_name(_PLAIN), "wb") as file:  # to be compared, and not timed
        pickle.dump((prepared.training, prepared.test, [int(i) for i in prepared.items]), file)
    return result


def taken(start: float, before: float) -> dict[str, float]:
    """Seconds since a job's start, those of all cores, and its peak memory."""
    seconds = {"seconds": perf_counter() - start, "cpu_seconds": process_time() - before}
    return seconds | {"peak_mb": peak_mb()}


def opened(log: Path, split: str, **more_rules: Any) -> Any:
    """The log as a dataset, prepared by the same rules when it is opened for the first time."""
    from benchmarks.click_log import COLUMNS
    from pyg_srgnn.datasets import ClickLog

    text = {"time_format": None} if log.is_dir() else {"columns": COLUMNS}
    return ClickLog(log.with_name(STORE), split, path=log, **RULES | text | more_rules)


def ours(log: Path, compare: bool, more_rules: dict[str, Any]) -> dict[str, Any]:
    """Job: the same sessions, stored as a dataset."""
    import pyg_srgnn.datasets  # noqa: F401 - loaded before the clock starts

    shutil.rmtree(log.with_name(STORE), ignore_errors=True)  # of an earlier run
    start, before = perf_counter(), process_time()
    dataset = opened(log, "trainval", **more_rules)
    result = taken(start, before)
    files = Path(dataset.processed_dir).iterdir()
    parts = [dataset, opened(log, "test", **more_rules)]
    return result | {
        "clicks": sum(part.sessions.num_clicks for part in parts),
        "bytes": sum(file.stat().st_size for file in files),
        "same": compare and same_sessions(log, parts),
    }


def same_sessions(log: Path, parts: Sequence[Any]) -> bool:
    """Whether both made the same sessions of the same items, click by click."""
    with open(log.with_name(_PLAIN), "rb") as file:
        training, test, items = pickle.load(file)  # written by the job above
    return items == parts[0].vocabulary.ids and all(
        [[item - 1 for item in session] for session in sessions] == part.sessions.to_lists()
        for sessions, part in zip((training, test), parts, strict=True)
    )


def first_batch(log: Path, more_rules: dict[str, Any]) -> float:
    """Job: seconds from opening the stored dataset to the first shuffled training batch."""
    import pyg_srgnn.datasets  # noqa: F401 - loaded before the clock starts
    from pyg_srgnn.data import SessionLoader

    start = perf_counter()
    next(iter(SessionLoader(opened(log, "train", **more_rules), batch_size=100, shuffle=True)))
    return perf_counter() - start


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'':12}{'rows':>12}{'seconds':>10}{'of cores':>10}{'rows/s':>13}{'peak MB':>10}"]
    for name, rate in result["rows_per_second"].items():
        lines.append(
            f"{name:12}{result['rows']:12,}{result['seconds'][name]:10.2f}"
            f"{result['cpu_seconds'][name]:10.2f}{rate:13,.0f}"
            f"{result['peak_mb'][name]:10,.0f}"
        )
    if "growth" in result:
        more = result["growth"]
        lines.append(
            f"{'pyg_srgnn':12}{more['rows']:12,}{more['seconds']:10.2f}{more['cpu_seconds']:10.2f}"
            f"{more['rows_per_second']:13,.0f}{more['peak_mb']:10,.0f}"
        )
    lines.append("")
    if "ratio" in result:
        lines.append(f"ratio {result['ratio']:.1f}x; the same sessions, click by click")
    for of in [result, *([result["growth"]] if "growth" in result else [])]:
        lines.append(
            f"of {of['rows']:,} rows {of['clicks']:,} clicks stored, "
            f"{of['bytes_per_click']:.1f} bytes each; "
            f"first shuffled batch {of['first_batch_seconds']:.2f} s after opening"
        )
    if "growth" in result:
        lines.append(f"seconds grow with the rows to the power of {more['exponent']:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
