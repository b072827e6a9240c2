"""How long does counting the followers of items take, and how much memory, on a log's clicks?

The clicks are those of ``benchmarks.click_log`` as sessions. Counted are the heaviest followers
within ten steps, as the component ``transitions`` keeps them, in a process of its own. ``--all``
counts all pairs first and then keeps the heaviest.

    python -m benchmarks.pairs                    # 33,003,944 clicks
    python -m benchmarks.pairs --rows 3e6 --all
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from benchmarks.click_log import ROWS
from benchmarks.measure import in_child, options, peak_mb, run, whole

_WINDOW, _KEPT = 10, 100


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=whole, default=ROWS, help=f"clicks ({ROWS})")
    parser.add_argument("--all", action="store_true", help="all pairs at once, to compare")
    parser.add_argument("--half-life", type=float, help="of a pair's weight (none)")
    run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows."""
    return {"rows": args.rows, **in_child(counted, args.rows, args.half_life, args.all)}


def counted(rows: int, half_life: float | None, every: bool) -> dict[str, Any]:
    """Job: count, and what it took."""
    from benchmarks.click_log import as_sessions
    from pyg_srgnn.data.pairs import count_pairs, heaviest, heaviest_pairs, weights_by_distance

    sessions, num_items = as_sessions(rows)
    held, start, before = peak_mb(), perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    weights = weights_by_distance(_WINDOW)
    if every:
        pairs = count_pairs(sessions, num_items, weights, half_life)
        items, count = heaviest(*pairs, num_items, _KEPT)
    else:
        items, count = heaviest_pairs(sessions, num_items, weights, _KEPT, half_life)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": perf_counter() - start,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mb": peak_mb(),
        "sessions_mb": held,
        "checksum": int((items * (count > 0)).sum()),
    }


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    return (
        f"{result['rows']:,} clicks: {result['seconds']:.1f} s, {result['cpu_seconds']:.1f} s of "
        f"processor time, peak {result['peak_mb']:,.0f} MB, of which {result['sessions_mb']:,.0f} "
        f"MB were the libraries and making the sessions (checksum {result['checksum']})"
    )


if __name__ == "__main__":
    main()
