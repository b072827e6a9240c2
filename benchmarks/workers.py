"""What does a second worker bring: requests answered, and memory?

Services of one and of several workers run side by side, each as a user starts it, and are asked in
turns, as fast as they answer; the other one then takes no time. Others on the machine slow both.

    python -m benchmarks.workers                                        # 43,097 items, both models
    python -m benchmarks.workers --models srgnn_plain --items 1000000   # and how much memory

A core that is busy with the load is missing to the workers: with as many cores as workers the gain
cannot be the number of workers. Requests a second of processor time tell what a request costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.load import request, send
from benchmarks.measure import in_child, options, run, whole
from benchmarks.served import Served, serving
from benchmarks.shop import lengths, sessions_of, write_export

_REQUESTS = 5_000  # different ones
_FIRST = 500  # requests, of which the number of a turn is estimated


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--models", nargs="+", default=["srgnn", "srgnn_plain"], help="conf/model")
    parser.add_argument("--items", type=whole, default=43_097, help="of the catalogue (43097)")
    parser.add_argument("--channels", type=whole, default=100, help="size of an embedding (100)")
    parser.add_argument("--precision", default="auto", help="of a plain model's export (auto)")
    parser.add_argument("--workers", type=whole, default=2, help="against one (2)")
    parser.add_argument("--turns", type=whole, default=5, help="of each (5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a turn (4)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    sessions = sessions_of(args.items, lengths(_REQUESTS))
    requests = [request("/recommend", {"items": one}) for one in sessions]
    found: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        for name in args.models:
            export = str(Path(folder, name))
            precision = args.precision if name == "srgnn_plain" else "float32"
            in_child(write_export, name, args.items, args.channels, precision, export)
            many = f"--workers={args.workers}"
            with serving(export, 1) as one, serving(export, 1, many) as several:
                services = {"1": one, str(args.workers): several}
                found[name] = _compare(services, requests, args.turns, args.seconds)
    return {"items": args.items, "channels": args.channels, "models": found}


def _compare(
    services: dict[str, Served], requests: Sequence[bytes], turns: int, seconds: float
) -> dict[str, Any]:
    """What each answers, in turns."""
    rates: dict[str, list[float]] = {name: [] for name in services}
    costs: dict[str, list[float]] = {name: [] for name in services}
    counts = {}
    for name, served in services.items():  # both are warm then
        first = send(served.address, requests, np.zeros(_FIRST), timeout=60)
        counts[name] = max(_FIRST, int(_FIRST * seconds / first.seconds))
    for _ in range(turns):
        for name, served in services.items():
            before = served.cpu_seconds()
            load = send(served.address, requests, np.zeros(counts[name]), timeout=60)
            if load.errors:
                raise ValueError(f"the service failed under load: {dict(load.errors)}")
            rates[name].append(len(load.milliseconds) / load.seconds)
            after = served.cpu_seconds()
            if before is not None and after is not None:
                costs[name].append(1000 * (after - before) / len(load.milliseconds))
    return {
        name: {
            "rates": rates[name],
            "cpu_ms": median(costs[name]) if costs[name] else None,
            "pss_mb": served.pss_mb(),
            "ready_seconds": served.ready_seconds,
        }
        for name, served in services.items()
    }


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{result['items']:,} items, d {result['channels']}; requests as fast as they are answered",
        "",
        f"{'model':14}{'workers':>8}{'requests/s':>12}{'gain':>7}{'CPU ms each':>13}{'PSS MB':>9}",
    ]
    for model, services in result["models"].items():
        (_, one), *_ = services.items()
        for name, of in services.items():
            gains = [rate / alone for rate, alone in zip(of["rates"], one["rates"], strict=True)]
            cost, memory = (of[key] or float("nan") for key in ("cpu_ms", "pss_mb"))
            lines.append(
                f"{model:14}{name:>8}{median(of['rates']):12,.0f}{median(gains):7.2f}"
                f"{cost:13.2f}{memory:9,.0f}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
