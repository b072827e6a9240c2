"""Types of clicks and pauses before them, in plain loops; knows nothing of the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def marked_sessions(
    rows: Sequence[Mapping[str, Any]],
    events: Sequence[str],
    test: float,
    min_support: int = 1,
    min_length: int = 2,
    collapse: bool = False,
    keep_cold: bool = False,
) -> tuple[list[list[tuple[Any, int, int]]], list[list[tuple[Any, int, int]]]]:
    """Training and test sessions as lists of (raw item, type, seconds since the click before).

    Rows have ``session``, ``item``, ``time`` (seconds) and ``event``.
    """
    sessions: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        sessions.setdefault(row["session"], []).append(row)
    found = []
    for of_one in sessions.values():
        clicks = sorted(of_one, key=lambda row: row["time"])
        end = clicks[-1]["time"]
        if collapse:
            kept: list[Mapping[str, Any]] = []
            for row in clicks:
                before = kept[-1] if kept else {}
                if (before.get("item"), before.get("event")) != (row["item"], row["event"]):
                    kept.append(row)
            clicks = kept
        if len(clicks) >= min_length:
            found.append((end, clicks))
    often: dict[Any, int] = {}
    for _, clicks in found:
        for row in clicks:
            often[row["item"]] = often.get(row["item"], 0) + 1
    common = [
        (end, [row for row in clicks if often[row["item"]] >= min_support]) for end, clicks in found
    ]
    common = [(end, clicks) for end, clicks in common if len(clicks) >= min_length]
    common.sort(key=lambda pair: pair[0])  # stable: equal ends stay as the file shows them
    cut = len(common) - round(test * len(common))
    training, held_out = common[:cut], common[cut:]
    known = {row["item"] for _, clicks in training for row in clicks}
    if not keep_cold:
        held_out = [
            (end, [row for row in clicks if row["item"] in known]) for end, clicks in held_out
        ]
        held_out = [(end, clicks) for end, clicks in held_out if len(clicks) >= min_length]
    both = []
    for part in (training, held_out):
        both.append([])
        for _, clicks in part:
            marked, before = [], None
            for row in clicks:
                pause = 0 if before is None else max(0, row["time"] - before)
                marked.append((row["item"], events.index(row["event"]), pause))
                before = row["time"]
            both[-1].append(marked)
    return both[0], both[1]


def bucket(seconds: int) -> int:
    """The bucket of a pause: 1 below a second, then one for each power of two, 22 at the most."""
    found = 1
    while found < 22 and seconds >= 2 ** (found - 1):
        found += 1
    return found


def step_shares(
    items: Sequence[int], events: Sequence[int], num_events: int
) -> dict[tuple[int, int], list[float]]:
    """For each pair of items clicked one after the other, the share of steps onto each type."""
    counts: dict[tuple[int, int], list[int]] = {}
    for at in range(1, len(items)):
        of_pair = counts.setdefault((items[at - 1], items[at]), [0] * num_events)
        of_pair[events[at]] += 1
    return {pair: [one / sum(counted) for one in counted] for pair, counted in counts.items()}
