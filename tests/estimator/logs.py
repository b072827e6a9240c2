"""A small click log in which every item is followed by the next one, and fits on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

SETTINGS = {"model.channels": 8, "batch_size": 64, "optimizer.lr": 0.02}
_START = 1_700_000_000


def clicks(sessions: int = 200, items: int = 20, seed: int = 0) -> pl.DataFrame:
    """Sessions ten minutes apart, their rows in no order."""
    draw = np.random.default_rng(seed)
    lengths, starts = draw.integers(2, 6, sessions), draw.integers(items, size=sessions)
    session = np.repeat(np.arange(sessions), lengths)
    place = np.concatenate([np.arange(n) for n in lengths])
    rows = pl.DataFrame(
        {
            "session": session,
            "item": [f"item {n}" for n in (np.repeat(starts, lengths) + place) % items],
            "time": _START + 600 * session + 10 * place,
        }
    )
    return rows.sample(fraction=1, shuffle=True, seed=seed)


def lists(frame: Any) -> dict[Any, list[Any]]:
    """The recommended items of each session, best first."""
    found: dict[Any, list[Any]] = {}
    columns = ("session", "rank", "item")
    for session, _, item in sorted(zip(*(frame[name].to_list() for name in columns), strict=True)):
        found.setdefault(session, []).append(item)
    return found
