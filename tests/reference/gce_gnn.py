"""What GCE-GNN's scripts make of session-rec's files, in plain Python: Tmall and Nowplaying.

Wang et al., SIGIR 2020, ``datasets/process_tmall.py`` and ``process_nowplaying.py``. It knows
nothing of the package.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

Prepared = tuple[list[list[int]], list[list[int]], list[int]]
"""Training sessions, test sessions (items numbered from 1), and the items' ids in that order."""


def gce_gnn(
    path: str | Path, longest: int, seconds: float, last_session: int | None = None
) -> Prepared:
    """Prepare a file of SessionId, ItemId and Time between tabs.

    Args:
        path: The file.
        longest: Sessions that keep more clicks than this are dropped.
        seconds: How long before the last session's time the test sessions begin.
        last_session: Reading ends before the first row of a session with a greater id.
    """
    clicks: dict[int, list[int]] = {}
    time: dict[int, float] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            session = int(row["SessionId"])
            if last_session is not None and session > last_session:
                break
            clicks.setdefault(session, []).append(int(row["ItemId"]))
            time[session] = float(row["Time"])

    clicks = {s: items for s, items in clicks.items() if len(items) > 1}
    support = Counter(item for items in clicks.values() for item in items)
    common = {s: [i for i in items if support[i] >= 5] for s, items in clicks.items()}
    kept = {s: items for s, items in common.items() if 2 <= len(items) <= longest}

    limit = max(time[s] for s in kept) - seconds
    in_time = sorted(kept, key=lambda s: time[s])
    number: dict[int, int] = {}
    training = []
    for session in in_time:
        if time[session] < limit:
            training.append([number.setdefault(i, len(number) + 1) for i in kept[session]])
    test = [
        [number[i] for i in kept[session] if i in number]
        for session in in_time
        if time[session] > limit
    ]
    return training, [items for items in test if len(items) > 1], list(number)
