"""Writes a click log in which types of clicks, pauses and categories matter, and its items.

A law of shopping, to see whether a model can use what it is told: real logs need not follow it.
A shelf holds ten items. After a view the next click is on the same shelf, after a cart or a
purchase on the next one; but after a click that came later than ten minutes after the one before,
on the shelf opposite. One click in five goes anywhere.

    python -m benchmarks.shop_log FOLDER        # writes log.csv and items.csv
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

ITEMS, SHELF = 100, 10
TYPES, SHARES = ("view", "cart", "purchase"), (7, 2, 1)
PAUSES, LONG = (5, 30, 200, 900), 600  # seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=int, default=3_000)
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    with open(args.folder / "log.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("session", "item", "time", "action"), *clicks(args.sessions)])
    with open(args.folder / "items.csv", "w", newline="", encoding="utf-8") as file:
        shelves = ((item, f"shelf {item // SHELF}") for item in range(ITEMS))
        csv.writer(file).writerows([("item", "shelf"), *shelves])


def clicks(sessions: int, seed: int = 0) -> Iterator[tuple[int, int, int, str]]:
    """Session, item, time in seconds and type of every click.

    Args:
        sessions: How many.
        seed: Of the random numbers. (default: 0)
    """
    draw = random.Random(seed)
    for session in range(sessions):
        time, item, pause = 1_500_000_000 + 600 * session, draw.randrange(ITEMS), 0
        for _ in range(draw.randint(3, 8)):
            kind = draw.choices(TYPES, SHARES)[0]
            yield session, item, time, kind
            if draw.random() < 0.2:
                item = draw.randrange(ITEMS)
            else:
                on = ITEMS // 2 if pause > LONG else 0 if kind == "view" else SHELF
                item = (item // SHELF * SHELF + on + draw.randrange(SHELF)) % ITEMS
            pause = draw.choice(PAUSES)
            time += pause


if __name__ == "__main__":
    main()
