"""What SR-GNN's own preprocessing script does with the two benchmarks it knows, in UTC.

Wu et al., AAAI 2019; ``datasets/preprocess.py`` of the authors' code. Lists, dictionaries and
loops: also what the preparation is timed against.
"""

from __future__ import annotations

import csv
import time as clock
from calendar import timegm
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

DAY = 86_400  # seconds


@dataclass(frozen=True)
class Prepared:
    """Sessions of item numbers in time order, their times in seconds since 1970, and the items.

    The authors number the items from 1; the general rules number them from 0. ``split`` counts
    the training and test sessions before unknown items leave the test sessions: the authors'
    script prints these two.
    """

    training: list[list[int]]
    test: list[list[int]]
    items: dict[Any, int] = field(repr=False)
    training_times: list[int] = field(repr=False)
    test_times: list[int] = field(repr=False)
    split: tuple[int, int]


COLUMNS = {
    "diginetica": ["session_id", "user_id", "item_id", "timeframe", "eventdate"],
    "yoochoose": ["session_id", "timestamp", "item_id", "category"],
}
TEST_DAYS = {"diginetica": 7, "yoochoose": 1}


def authors(path: str | Path, dataset: str) -> Prepared:
    """What the script makes of ``train-item-views.csv`` or ``yoochoose-clicks.dat``.

    Diginetica has a header line and ``;`` between the columns, and its clicks are sorted by
    ``timeframe`` within a session; Yoochoose has no header, and its clicks stay in file order. A
    session's date is that of its last row in the file.
    """
    with open(path, newline="", encoding="utf-8") as file:
        if dataset == "diginetica":
            next(file)
            clicks, dates = read_diginetica(csv.DictReader(file, COLUMNS[dataset], delimiter=";"))
        else:
            clicks, dates = read_yoochoose(csv.DictReader(file, COLUMNS[dataset]))

    clicks = {session: items for session, items in clicks.items() if len(items) > 1}
    counts = Counter(chain.from_iterable(clicks.values()))
    for session, items in list(clicks.items()):
        clicks[session] = [item for item in items if counts[item] >= 5]
        if len(clicks[session]) < 2:
            del clicks[session]

    limit = max(dates[session] for session in clicks) - TEST_DAYS[dataset] * DAY
    in_time = sorted(clicks, key=dates.__getitem__)
    training = [session for session in in_time if dates[session] < limit]
    test = [session for session in in_time if dates[session] > limit]

    number: dict[str, int] = {}
    for session in training:
        for item in clicks[session]:
            number.setdefault(item, len(number) + 1)
    sizes = len(training), len(test)
    known = {s: [number[item] for item in clicks[s] if item in number] for s in test}
    test = [session for session in test if len(known[session]) > 1]
    return Prepared(
        [[number[item] for item in clicks[session]] for session in training],
        [known[session] for session in test],
        number,
        [dates[session] for session in training],
        [dates[session] for session in test],
        sizes,
    )


Clicks = tuple[dict[str, list[str]], dict[str, int]]  # items and date of each session


def read_yoochoose(rows: Iterable[dict[str, str]]) -> Clicks:
    """Items in file order; the date down to the second."""
    clicks: dict[str, list[str]] = {}
    dates: dict[str, int] = {}
    for session, run in groupby(rows, itemgetter("session_id")):
        items = clicks.setdefault(session, [])
        for row in run:
            items.append(row["item_id"])
        dates[session] = timegm(clock.strptime(row["timestamp"][:19], "%Y-%m-%dT%H:%M:%S"))
    return clicks, dates


def read_diginetica(rows: Iterable[dict[str, str]]) -> Clicks:
    """Items by timeframe, equal ones in file order; the date is a day."""
    timed: dict[str, list[tuple[str, int]]] = {}
    dates: dict[str, int] = {}
    for session, run in groupby(rows, itemgetter("session_id")):
        items = timed.setdefault(session, [])
        for row in run:
            items.append((row["item_id"], int(row["timeframe"])))
        dates[session] = timegm(clock.strptime(row["eventdate"], "%Y-%m-%d"))
    clicks = {s: [item for item, _ in sorted(c, key=itemgetter(1))] for s, c in timed.items()}
    return clicks, dates


Samples = tuple[list[list[int]], list[int], list[int]]  # prefixes, targets, numbers of the sessions


def samples(sessions: Sequence[Sequence[int]]) -> Samples:
    """Every prefix and the click that follows it, a session's longest prefix first."""
    prefixes, targets, owners = [], [], []
    for number, session in enumerate(sessions):
        for cut in range(len(session) - 1, 0, -1):
            prefixes.append(list(session[:cut]))
            targets.append(session[cut])
            owners.append(number)
    return prefixes, targets, owners


def last(of: Samples, fraction: int) -> Samples:
    """The last 4th or 64th of the samples: the tail of the lists."""
    prefixes, targets, owners = of
    first = len(targets) - len(targets) // fraction
    return prefixes[first:], targets[first:], owners[first:]
