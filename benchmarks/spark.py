"""How does a preparation on Spark grow with the log, and what does it shuffle?

A log in Yoochoose's format is generated in some sizes, and each is prepared with ``engine=spark``
on the cores of this machine, in a process of its own. Time and memory are the figures of the
preparation's report, without the start of Java; the rest is of Spark's event log, which a cluster
writes, too: the tasks' CPU time, all that was shuffled, the most that one task read of it, and for
each exchange of the plans by what and how much.

    python -m benchmarks.spark                            # 1,000,000 and 3,000,000 rows
    python -m benchmarks.spark --rows 3e6 9e6 --json FILE
"""

from __future__ import annotations

import argparse
import json
import math
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import in_child, options, run, whole
from benchmarks.prepare import RULES, generated

_SHUFFLED = "shuffle bytes written"  # Spark's name of the metric of an exchange
_GROWING = ("seconds", "cpu_seconds", "shuffled_mb", "largest_mb")
_SHARE = 0.005  # of all bytes: what the table shows


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    sizes = [1_000_000, 3_000_000]
    parser.add_argument("--rows", type=whole, nargs="+", default=sizes, help="of each log")
    parser.add_argument("--master", default="local[2]", help="of Spark (local[2])")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    with tempfile.TemporaryDirectory(prefix="spark-") as folder:
        of = []
        for rows in args.rows:
            log = generated(Path(folder, str(rows)), rows, 0)
            of.append({"file_mb": log.stat().st_size / 1e6} | in_child(prepared, log, args.master))
    result: dict[str, Any] = {"master": args.master, "of": of}
    if len(of) > 1:
        first, last = of[0], of[-1]
        grown = math.log(last["rows"] / first["rows"])
        result["exponent"] = {name: math.log(last[name] / first[name]) / grown for name in _GROWING}
    return result


def prepared(log: Path, master: str) -> dict[str, Any]:
    """Job: the log's sessions, and what Spark's event log says of how they were made."""
    from pyspark.sql import SparkSession

    from benchmarks.click_log import COLUMNS
    from pyg_srgnn.clicklog.prepare import prepare
    from pyg_srgnn.clicklog.spec import Preparation

    events = log.parent / "events"
    events.mkdir()
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.dir": events.as_uri(),
    }
    builder = SparkSession.builder.master(master)
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()  # the engine takes the session that is there
    scratch = log.parent / "scratch"
    made = prepare(log, Preparation(columns=COLUMNS, **RULES), "spark", scratch=scratch)
    session.stop()
    report = made.report
    (file,) = events.iterdir()
    with file.open(encoding="utf-8") as lines:
        logged = read_events(map(json.loads, lines))
    return {
        "rows": report["rows"],
        "sessions": len(made.training) + len(made.test),
        "seconds": report["seconds"]["total"],
        "seconds_here": report["seconds"]["number"],
        "peak_mb": report["peak_memory_mb"],
    } | logged


def read_events(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What an event log says of shuffles.

    Args:
        events: Its lines.

    Returns:
        ``cpu_seconds`` of the tasks; ``shuffled_mb``, all tasks together; ``largest_mb``, the most
        that one task read; and ``exchanges``: of each kind of partitioning that the plans ask for,
        its columns without their numbers, the megabytes, most first.
    """
    cpu = shuffled = largest = 0
    values: dict[int, int] = {}
    kinds: dict[int, str] = {}
    for event in events:
        if event["Event"] == "SparkListenerTaskEnd" and (of := event.get("Task Metrics")):
            shuffled += of["Shuffle Write Metrics"]["Shuffle Bytes Written"]
            cpu += of["Executor CPU Time"]
            read = of["Shuffle Read Metrics"]
            largest = max(largest, read["Local Bytes Read"] + read["Remote Bytes Read"])
        elif event["Event"] == "SparkListenerStageCompleted":
            for one in event["Stage Info"]["Accumulables"]:
                if one["Name"] == _SHUFFLED:
                    values[one["ID"]] = int(one["Value"])
        elif "sparkPlanInfo" in event:
            for node in _nodes(event["sparkPlanInfo"]):
                if node["nodeName"] == "Exchange":
                    (metric,) = (of for of in node["metrics"] if of["name"] == _SHUFFLED)
                    kinds[metric["accumulatorId"]] = _partitioning(node["simpleString"])
    exchanges: Counter[str] = Counter()
    for number, value in values.items():
        exchanges[kinds.get(number, "not in a plan")] += value
    return {
        "cpu_seconds": cpu / 1e9,
        "shuffled_mb": shuffled / 1e6,
        "largest_mb": largest / 1e6,
        "exchanges": {kind: value / 1e6 for kind, value in exchanges.most_common()},
    }


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan["children"]:
        yield from _nodes(child)


def _partitioning(text: str) -> str:
    """``hashpartitioning(item)`` of ``Exchange hashpartitioning(item#12L, 200), ENSURE…``."""
    found = re.match(r"Exchange (\w+)(?:\((.*?), \d+\))?", text)
    kind, columns = found.groups() if found else (text, None)
    return kind if columns is None else f"{kind}({re.sub(r'#[0-9L]+', '', columns)})"


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    columns = {
        "file MB": "file_mb",
        "seconds": "seconds",
        "of these here": "seconds_here",
        "CPU, tasks": "cpu_seconds",
        "shuffled MB": "shuffled_mb",
        "largest task": "largest_mb",
        "MB here": "peak_mb",
    }
    lines = [f"{'rows':>12}" + "".join(f"{title:>15}" for title in columns)]
    for of in result["of"]:
        lines.append(f"{of['rows']:12,}" + "".join(f"{of[n]:15,.1f}" for n in columns.values()))
    if "exponent" in result:
        powers = (f"{name} {power:.2f}" for name, power in result["exponent"].items())
        lines += ["", "powers of the rows that they grow with: " + ", ".join(powers)]
    lines += ["", "what is shuffled, MB, by its partitioning"]
    last = result["of"][-1]
    for kind in last["exchanges"]:
        each = [of["exchanges"].get(kind, 0) for of in result["of"]]
        if each[-1] > _SHARE * last["shuffled_mb"]:
            lines.append(f"{kind:50}" + "".join(f"{one:10,.1f}" for one in each))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
