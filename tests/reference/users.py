"""The earlier sessions of known users, in plain loops; knows nothing of the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.reference.graphs import Graph


def earlier_clicks(
    rows: Sequence[Mapping[str, Any]],
    test: float,
    most: int,
    min_support: int = 1,
    min_length: int = 2,
) -> list[tuple[list[Any], list[Any]]]:
    """Of each training session and then each test session, its items and the earlier ones.

    Rows have ``session``, ``item``, ``time`` (seconds) and ``user``, None of nobody. A session's
    user is that of its first click, and an earlier session ended before it began.
    """
    sessions: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        sessions.setdefault(row["session"], []).append(row)
    found: list[dict[str, Any]] = []
    for of_one in sessions.values():
        clicks = sorted(of_one, key=lambda row: row["time"])
        if len(clicks) >= min_length:
            items = [row["item"] for row in clicks]
            times = clicks[0]["time"], clicks[-1]["time"]
            found.append({"items": items, "user": clicks[0]["user"], "span": times})
    often: dict[Any, int] = {}
    for one in found:
        for item in one["items"]:
            often[item] = often.get(item, 0) + 1
    for one in found:
        one["items"] = [item for item in one["items"] if often[item] >= min_support]
    found = [one for one in found if len(one["items"]) >= min_length]
    found.sort(key=lambda one: one["span"][1])
    cut = len(found) - round(test * len(found))
    known = {item for one in found[:cut] for item in one["items"]}
    for one in found[cut:]:
        one["items"] = [item for item in one["items"] if item in known]
    found = [one for one in found if len(one["items"]) >= min_length]
    pairs = []
    for one in found:
        before: list[Any] = []
        for other in found:
            same = one["user"] is not None and other["user"] == one["user"]
            if same and other["span"][1] < one["span"][0]:
                before += other["items"]
        pairs.append((one["items"], before[-most:]))
    return pairs


def older_graph(session: Sequence[int], earlier: Sequence[int]) -> Graph:
    """The path of the earlier clicks to the first click, on nodes that begin with the session's."""
    nodes: list[int] = []
    for item in [*session, *sorted(set(earlier) - set(session))]:
        if item not in nodes:
            nodes.append(item)
    alias = [nodes.index(item) for item in [*earlier, session[0]]]
    counts: dict[tuple[int, int], int] = {}
    for t in range(len(earlier)):
        edge = alias[t], alias[t + 1]
        counts[edge] = counts.get(edge, 0) + 1
    return Graph(nodes, alias, counts)


def summary(p: Mapping[str, Tensor], h: Tensor, last: int, earlier: Sequence[int]) -> Tensor:
    """What the earlier clicks, as nodes, add to each node of a session with this last node."""
    powers = []
    for t, node in enumerate(earlier):
        place = min(len(earlier) - t, len(p["older.place.weight"])) - 1
        gate = p["older.lin_last.weight"] @ h[last] + p["older.lin_click.weight"] @ h[node]
        gate = torch.sigmoid(gate + p["older.place.weight"][place])
        powers.append(torch.exp(torch.dot(p["older.q.weight"][0], gate)))
    mean = sum(power * h[node] for power, node in zip(powers, earlier, strict=True)) / sum(powers)
    return p["older.lin_out.weight"] @ mean
