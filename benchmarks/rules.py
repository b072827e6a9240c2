"""What do rules cost? The twenty best items of a session, with and without them.

Models with drawn weights are exported and asked in this process, one session at a time. The sides
take turns; times are the processor's, medians, so that other work on the machine does not count.
Attributes are drawn: 90 of 100 items are in stock, and each has one of twenty categories.

    python -m benchmarks.rules                                     # 100,000 items
    python -m benchmarks.rules --items 1e6 --models srgnn_plain
    python -m benchmarks.rules --http                              # of a service, latency and all

With ``--http`` a service of one thread is asked over a kept connection, the next session when the
last one is answered: milliseconds are those until the answer, medians of the turns' medians.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from benchmarks.load import request, send
from benchmarks.measure import options, run, take_turns, whole
from benchmarks.served import serving
from benchmarks.shop import lengths, sessions_of, write_export

SIDES: dict[str, dict[str, Any]] = {
    "no rules": {},
    "in stock": {"where": {"in_stock": True}},
    "one category": {"where": {"category": "c3"}, "exclude_seen": True},
    "ten items": {"allow": list(range(0, 1000, 100))},
    "twenty denied": {"deny": list(range(20))},
    "boost": {"boost": {"category": {"c3": 1.5}}},
    "cap": {"max_per": {"category": 2}},
    "diversity": {"diversify": 0.3},
}
_AT_ONCE = 50  # requests of a turn over HTTP


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--items", type=whole, default=10**5, help="items (1e5)")
    parser.add_argument("--channels", type=whole, default=100, help="size of an embedding (100)")
    parser.add_argument("--rounds", type=whole, default=100, help="sessions (100)")
    parser.add_argument("--models", nargs="+", default=["srgnn", "srgnn_plain"])
    parser.add_argument("--precision", default="auto", help="of a plain model's export (auto)")
    parser.add_argument("--http", action="store_true", help="ask a service, over HTTP")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds for each side; ``args`` are the command's."""
    draw = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "in_stock": draw.random(args.items) < 0.9,
        "category": [f"c{number}" for number in draw.integers(20, size=args.items)],
    }
    found: dict[str, Any] = {"items": args.items, "http": args.http, "milliseconds": {}}
    for name in args.models:
        with tempfile.TemporaryDirectory() as folder:
            export = str(Path(folder, "export"))
            write_export(name, args.items, args.channels, args.precision, export)
            ask = _over_http if args.http else _in_process
            times = ask(args, export, columns)
        found["milliseconds"][name] = {side: median(each) for side, each in times.items()}
    return found


def _in_process(
    args: argparse.Namespace, export: str, columns: dict[str, Any]
) -> dict[str, list[float]]:
    """Milliseconds of the processor for each session of each side."""
    import torch

    from pyg_srgnn import Recommender
    from pyg_srgnn.data.attributes import ItemAttributes

    torch.set_num_threads(1)
    recommender = Recommender.load(export)
    recommender.set_attributes(ItemAttributes(range(args.items), columns))
    sessions = iter(sessions_of(args.items, lengths((args.rounds + 3) * len(SIDES))))

    def ask(rules: dict[str, Any]) -> float:
        session = next(sessions)
        before = process_time()
        recommender.recommend([session], 20, **rules)
        return 1000 * (process_time() - before)

    sides = {side: partial(ask, rules) for side, rules in SIDES.items()}
    take_turns(sides, 3)  # what is kept of rules is made
    return take_turns(sides, args.rounds)


def _over_http(
    args: argparse.Namespace, export: str, columns: dict[str, Any]
) -> dict[str, list[float]]:
    """Median milliseconds until the answers of each turn of each side."""
    file = Path(export).with_name("items.csv")
    with file.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(["id", *columns])
        stocks = ("true" if stock else "false" for stock in columns["in_stock"])
        rows.writerows(zip(range(args.items), stocks, columns["category"], strict=True))
    sessions = sessions_of(args.items, lengths(_AT_ONCE * len(SIDES)))
    parts = {side: sessions[n :: len(SIDES)] for n, side in enumerate(SIDES)}
    with serving(export, 1, f"--attributes={file}") as served:

        def ask(side: str) -> float:
            bodies = ({"items": session, "k": 20, **SIDES[side]} for session in parts[side])
            asked = [request("/recommend", body) for body in bodies]
            load = send(served.address, asked, np.zeros(len(asked)), connections=1)
            if load.errors:
                raise RuntimeError(f"{side}: the service answered {dict(load.errors)}")
            # One after another: all are due at once, so that latencies add up.
            return float(median(np.diff(sorted(load.milliseconds))))

        sides = {side: partial(ask, side) for side in SIDES}
        take_turns(sides, 1)  # what is kept of rules is made
        return take_turns(sides, max(1, args.rounds // 10))


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    models = result["milliseconds"]
    over = ", over HTTP" if result["http"] else ""
    lines = [f"{result['items']:,} items{over}", f"{'ms, and as a multiple':22}"]
    lines[-1] += "".join(f"{name:>22}" for name in models)
    for side in SIDES:
        cells = (f"{of[side]:12.2f} {of[side] / of['no rules']:8.2f}x" for of in models.values())
        lines.append(f"{side:22}" + "".join(cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
