"""What do rules cost? The twenty best items of a session, with and without them.

Models with drawn weights are exported and asked in this process, one session at a time. The sides
take turns; times are the processor's, medians, so that other work on the machine does not count.
Attributes are drawn: 90 of 100 items are in stock, and each has one of twenty categories.

    python -m benchmarks.rules                                     # 100,000 items
    python -m benchmarks.rules --items 1e6 --models srgnn_plain
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from benchmarks.measure import options, run, take_turns, whole
from benchmarks.shop import lengths, sessions_of, write_export

SIDES: dict[str, dict[str, Any]] = {
    "no rules": {},
    "in stock": {"where": {"in_stock": True}},
    "one category": {"where": {"category": "3"}, "exclude_seen": True},
    "ten items": {"allow": list(range(0, 1000, 100))},
    "twenty denied": {"deny": list(range(20))},
    "boost": {"boost": {"category": {"3": 1.5}}},
    "cap": {"max_per": {"category": 2}},
    "diversity": {"diversify": 0.3},
}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("--items", type=whole, default=10**5, help="items (1e5)")
    parser.add_argument("--channels", type=whole, default=100, help="size of an embedding (100)")
    parser.add_argument("--rounds", type=whole, default=100, help="sessions (100)")
    parser.add_argument("--models", nargs="+", default=["srgnn", "srgnn_plain"])
    parser.add_argument("--precision", default="auto", help="of a plain model's export (auto)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of the processor for each side; ``args`` are the command's."""
    import torch

    from pyg_srgnn import Recommender
    from pyg_srgnn.data.attributes import ItemAttributes

    draw = np.random.default_rng(0)
    attributes = ItemAttributes(
        range(args.items),
        {
            "in_stock": draw.random(args.items) < 0.9,
            "category": draw.integers(20, size=args.items).astype(str),
        },
    )
    torch.set_num_threads(1)
    found: dict[str, Any] = {"items": args.items, "milliseconds": {}}
    for name in args.models:
        with tempfile.TemporaryDirectory() as folder:
            export = str(Path(folder, "export"))
            write_export(name, args.items, args.channels, args.precision, export)
            recommender = Recommender.load(export)
        recommender.set_attributes(attributes)
        sessions = iter(sessions_of(args.items, lengths((args.rounds + 3) * len(SIDES))))

        def ask(rules: dict[str, Any], recommender: Any = recommender, own: Any = sessions) -> Any:
            session = next(own)
            before = process_time()
            recommender.recommend([session], 20, **rules)
            return 1000 * (process_time() - before)

        sides = {side: partial(ask, rules) for side, rules in SIDES.items()}
        take_turns(sides, 3)  # what is kept of rules is made
        times = take_turns(sides, args.rounds)
        found["milliseconds"][name] = {side: median(each) for side, each in times.items()}
    return found


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    models = result["milliseconds"]
    lines = [f"{result['items']:,} items", f"{'ms, and as a multiple':22}"]
    lines[-1] += "".join(f"{name:>22}" for name in models)
    for side in SIDES:
        cells = (f"{of[side]:12.2f} {of[side] / of['no rules']:8.2f}x" for of in models.values())
        lines.append(f"{side:22}" + "".join(cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
