"""How fast are recommendations, in process and over HTTP?

Models with drawn weights are exported and served as a user serves them, each by a process of its
own, which is "ready" so many seconds from its start. Load comes from this machine too, open loop
(benchmarks/load.py): requests go out when they are due, and what waits counts.

    python -m benchmarks.serve                                # the whole table
    python -m benchmarks.serve --only http --seconds 30       # a part of it
    python -m benchmarks.serve --only soak --minutes 10 --json FILE

Beside it: Serenade (k nearest neighbours in Rust, SIGMOD '22) answers 1,000 requests a second on 2
vCPUs at p90 < 7 ms end to end. ETUDE (ICDE '24) asks SR-GNN's models for p90 <= 50 ms at 10^4 items
and 100 requests a second, 10^5 and 250, 10^6 and 500; on 5.5 vCPUs one request in ONNX takes
0.09 ms, 0.5 ms, 9.5 ms, without top-K, and the last scenario needed a GPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.load import Load, arrivals, percentiles, request, send
from benchmarks.measure import in_child, options, run, whole
from benchmarks.served import Served, serving
from benchmarks.shop import drawn_checkpoint, lengths, real_lengths, sessions_of, write_export
from pyg_srgnn.utils.progress import Bar

PARTS = ("process", "http", "etude", "soak")
MIXTURE, PLAIN = "srgnn", "srgnn_plain"
_ETUDE = ((10_000, 100), (100_000, 250), (1_000_000, 500))  # items, requests a second
_REQUESTS = 20_000  # different ones
_WARM_UP = 2.0  # seconds


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts (all)")
    parser.add_argument("--models", nargs="+", default=[MIXTURE, PLAIN], help="of conf/model")
    parser.add_argument("--mirror", help="folder or URL that holds diginetica/")
    parser.add_argument("--root", default="datasets", help="folder of all datasets (datasets)")
    parser.add_argument("--items", type=whole, default=43_097, help="of a catalogue (43097)")
    parser.add_argument("--channels", type=whole, default=100, help="size of an embedding (100)")
    parser.add_argument("--precision", default="auto", help="of a plain model's export (auto)")
    parser.add_argument("--threads", type=whole, default=1, help="of the model (1)")
    parser.add_argument("--calls", type=whole, default=2_000, help="in process (2000)")
    parser.add_argument("--rate", type=whole, default=1_000, help="of http, a second (1000)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each load (15)")
    parser.add_argument("--largest", type=whole, default=1_000_000, help="of ETUDE's (1000000)")
    parser.add_argument("--minutes", type=float, default=1.0, help="of the soak (1)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    clicks = in_child(real_lengths, args.root, args.mirror)
    result: dict[str, Any] = {
        "items": args.items,
        "channels": args.channels,
        "threads_of_the_model": args.threads,
        "lengths": "Diginetica's" if clicks else "geometric",
    }
    parts: dict[str, Callable[[_Bench], dict[str, Any]]] = {
        "process": in_process,
        "http": http,
        "etude": etude,
        "soak": soak,
    }
    with TemporaryDirectory() as folder, Bar("serve", len(args.only), "parts") as bar:
        bench = _Bench(args, clicks or lengths(_REQUESTS), Path(folder), bar)
        for name in PARTS:
            if name in args.only:
                bench.say(name)
                result[name] = parts[name](bench)
                bar.advance()
    return result


@dataclass
class _Bench:
    """Shared by the parts: options, sessions, and exports that are written once."""

    args: argparse.Namespace
    clicks: list[int]
    folder: Path
    bar: Bar
    peaks: dict[str, float] = field(default_factory=dict)

    def sessions(self, items: int, count: int = _REQUESTS) -> list[list[int]]:
        """Sessions whose lengths are drawn from those known."""
        drawn = np.random.default_rng(2).choice(self.clicks, count)
        return sessions_of(items, drawn.tolist())

    def requests(self, items: int) -> list[bytes]:
        """As many different requests."""
        return [request("/recommend", {"items": one}) for one in self.sessions(items)]

    def export(self, name: str, items: int) -> str:
        """The folder of a model's export."""
        folder = self.folder / f"{name}-{items}"
        if not folder.exists():
            self.say(f"{name} of {items:,} items is exported")
            precision = self.args.precision if name == PLAIN else "auto"
            in_child(write_export, name, items, self.args.channels, precision, str(folder))
        return str(folder)

    def say(self, what: str) -> None:
        """Show what is being done."""
        self.bar.advance(0, lambda: what)

    def load(self, served: Served, items: int, rate: float, what: str) -> dict[str, Any]:
        """Load at a rate, behind a shorter one that is not counted."""
        requests = self.requests(items)
        self.say(f"{what}, {rate:,.0f}/s")
        send(served.address, requests, arrivals(rate, _WARM_UP, seed=1))
        cpu = served.cpu_seconds()
        load = send(served.address, requests, arrivals(rate, self.args.seconds))
        return {
            "asked": rate,
            **load.summary(),
            "server_cpu": _share(served, cpu, load.seconds),
            "rss_mb": served.rss_mb(),
            "ready_seconds": served.ready_seconds,
        }


def in_process(bench: _Bench) -> dict[str, Any]:
    """One session at a time, without HTTP: the checkpoint and its export."""
    args, found = bench.args, {}
    sessions = bench.sessions(args.items, args.calls)
    for name in args.models:
        export = bench.export(name, args.items)
        bench.say(f"{name}, one session at a time")
        for side, job, given in (
            ("checkpoint", _of_checkpoint, (name, args.items, args.channels)),
            ("export", _of_export, (export,)),
        ):
            milliseconds = in_child(_one_by_one, job, given, args.threads, sessions)
            found[f"{name} {side}"] = percentiles(milliseconds)
    return found


def http(bench: _Bench) -> dict[str, Any]:
    """A rate that is asked for, and the greatest there is."""
    args, found = bench.args, {}
    for name in args.models:
        with serving(bench.export(name, args.items), args.threads) as served:
            loaded = bench.load(served, args.items, args.rate, name)
            bench.peaks[name] = _peak(bench, served, name)
            found[name] = {**loaded, "peak": bench.peaks[name]}
    return found


def etude(bench: _Bench) -> dict[str, Any]:
    """ETUDE's scenarios, with the paper's model."""
    found = {}
    for items, rate in _ETUDE:
        if items <= bench.args.largest:
            with serving(bench.export(PLAIN, items), bench.args.threads) as served:
                found[str(items)] = bench.load(served, items, rate, f"{items:,} items")
    return found


def soak(bench: _Bench) -> dict[str, Any]:
    """Half of the peak rate for long: errors, and whether the memory grows."""
    args, name = bench.args, bench.args.models[0]
    requests = bench.requests(args.items)
    with serving(bench.export(name, args.items), args.threads) as served:
        peak = bench.peaks.get(name) or _peak(bench, served, name)
        memory: list[float | None] = []

        def each_second(load: Load) -> None:
            memory.append(served.rss_mb())
            bench.say(f"soak, {len(load.milliseconds):,} answered, {memory[-1] or 0:,.0f} MB")

        due = arrivals(peak / 2, 60 * args.minutes)
        load = send(served.address, requests, due, each_second=each_second)
    held = [of for of in memory if of is not None]
    first = held[len(held) // 10 :]  # what is held once all sizes of batches have been there
    return {
        "model": name,
        "minutes": args.minutes,
        "asked": peak / 2,
        **load.summary(),
        "rss_mb": held,
        "rss_growth": (max(first) / first[0] - 1) if first else None,
    }


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{result['items']:,} items, d {result['channels']}, {result['lengths']} lengths, "
        f"model threads {result['threads_of_the_model']}; milliseconds"
    ]
    if "process" in result:
        lines += ["", f"{'one session in process':34}{'p50':>8}{'p90':>8}{'p99':>8}{'max':>8}"]
        lines += [f"{name:34}{_ms(ms)}" for name, ms in result["process"].items()]
    rows = [(name, of) for name, of in result.get("http", {}).items()]
    rows += [(f"ETUDE {int(items):,}", of) for items, of in result.get("etude", {}).items()]
    if "soak" in result:
        rows.append((f"soak {result['soak']['minutes']:g} min", result["soak"]))
    if rows:
        lines += ["", f"{'over HTTP':18}{'asked/s':>8}{'got/s':>8}{'p50':>8}{'p90':>8}{'p99':>8}"]
        lines[-1] += (
            f"{'max':>8}{'errors':>8}{'server':>8}{'load':>6}{'peak/s':>8}{'MB':>7}{'ready':>8}"
        )
        lines += [_row(name, of) for name, of in rows]
    if result.get("soak", {}).get("rss_growth") is not None:
        lines.append(f"soak: memory grew by {result['soak']['rss_growth']:.1%} at most")
    return "\n".join(lines)


def _row(name: str, of: dict[str, Any]) -> str:
    memory = of["rss_mb"][-1] if isinstance(of["rss_mb"], list) else of["rss_mb"]
    server, peak, ready = (of.get(name) for name in ("server_cpu", "peak", "ready_seconds"))
    return (
        f"{name:18}{of['asked']:8,.0f}{of['rate']:8,.0f}{_ms(of['ms'])}"
        f"{sum(of['errors'].values()):8}"
        f"{'' if server is None else f'{server:.0%}':>8}{of['generator_cpu']:6.0%}"
        f"{'' if peak is None else f'{peak:,.0f}':>8}{memory or 0:7,.0f}"
        f"{'' if ready is None else f'{ready:.2f} s':>8}"
    )


def _ms(of: dict[str, float]) -> str:
    return "".join(f"{of[name]:8.2f}" for name in ("p50", "p90", "p99", "max"))


def _peak(bench: _Bench, served: Served, what: str) -> float:
    """Requests a second when every connection asks again as soon as it has its answer."""
    bench.say(f"{what}, as fast as it goes")
    requests = bench.requests(bench.args.items)
    count = 500
    while True:
        load = send(served.address, requests, np.zeros(count), timeout=60)
        if load.errors:
            raise ValueError(f"the service failed under load: {dict(load.errors)}")
        if load.seconds > bench.args.seconds / 2:
            return len(load.milliseconds) / load.seconds
        count = int(count * max(2, 0.7 * bench.args.seconds / load.seconds))


def _share(served: Served, before: float | None, seconds: float) -> float | None:
    now = served.cpu_seconds()
    return None if now is None or before is None else (now - before) / seconds


def _of_checkpoint(name: str, items: int, channels: int) -> Any:
    from pyg_srgnn.inference.recommender import Recommender

    return Recommender.of(drawn_checkpoint(name, items, channels))


def _of_export(folder: str) -> Any:
    from pyg_srgnn.inference.recommender import Recommender

    return Recommender.load(folder)


def _one_by_one(
    job: Callable[..., Any], given: tuple[Any, ...], threads: int, sessions: list[list[int]]
) -> list[float]:
    """Milliseconds of each session's top 20; the first ones are not counted."""
    import torch

    recommender = job(*given)
    torch.set_num_threads(threads)
    milliseconds = []
    for session in [*sessions[:100], *sessions]:
        began = perf_counter()
        recommender.recommend([session], k=20)
        milliseconds.append(1000 * (perf_counter() - began))
    return milliseconds[100:]


if __name__ == "__main__":
    main()
