"""Statistics of a dataset: counts of its parts, and the distributions of a report."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch

from pyg_srgnn.data.sessions import SECONDS_PER_DAY, Sessions
from pyg_srgnn.data.vocabulary import Vocabulary

_CLICKS_AT_ONCE = 1 << 20  # bounds the memory: about 40 bytes of temporaries a click
_RANKS = 200  # points of the popularity curve


def describe(training: Sessions, test: Sessions, vocabulary: Vocabulary) -> dict[str, Any]:
    """Compute the statistics of both parts of a dataset.

    A *target* is any click but a session's first. A share of nothing is None.

    Args:
        training: All training sessions, those of validation among them.
        test: Test sessions; there may be none.
        vocabulary: The catalogue.

    Returns:
        A dict of plain numbers, texts, lists and dicts, as JSON holds them:

        - ``items``: size of the catalogue.
        - ``parts``: for ``training`` and ``test`` the ``sessions``, ``clicks``, ``samples``,
          distinct ``items``, and the times of the ``first`` and ``last`` session (ISO 8601, UTC;
          None without times).
        - ``distributions``: ``session_lengths`` of both parts, pairs (clicks, sessions);
          ``item_popularity``, pairs (rank, clicks) of the training part at up to 200 ranks spaced
          evenly in their logarithm; ``clicks_per_day``, triples (date, training clicks, test
          clicks) of the days with any, a session's clicks on its day; ``repeats`` of both parts,
          the share of targets whose item stood in the session before; ``unseen_test_items``, the
          ``items`` of the test part that no training session holds, their ``clicks``, and their
          ``share`` of the test part's clicks.
    """
    num_items = len(vocabulary)
    parts = {"training": training, "test": test}
    clicks = {
        name: torch.bincount(part.items, minlength=num_items).numpy()  # of each item
        for name, part in parts.items()
    }
    tallies = {name: _tally(part, num_items) for name, part in parts.items()}
    unseen = clicks["test"][clicks["training"] == 0]
    days = {name: tally[1] for name, tally in tallies.items()}
    return {
        "items": num_items,
        "parts": {name: _part(part, clicks[name]) for name, part in parts.items()},
        "distributions": {
            "session_lengths": {
                name: [[length, n] for length, n in sorted(lengths.items())]
                for name, (lengths, _, _) in tallies.items()
            },
            "item_popularity": _popularity(clicks["training"]),
            "clicks_per_day": [
                [str(np.datetime64(day, "D")), days["training"][day], days["test"][day]]
                for day in sorted(days["training"].keys() | days["test"].keys())
            ],
            "repeats": {
                name: _share(repeats, parts[name].num_samples)
                for name, (_, _, repeats) in tallies.items()
            },
            "unseen_test_items": {
                "items": int((unseen > 0).sum()),
                "clicks": int(unseen.sum()),
                "share": _share(int(unseen.sum()), test.num_clicks),
            },
        },
    }


def _part(sessions: Sessions, clicks: np.ndarray[Any, Any]) -> dict[str, Any]:
    times = sessions.times if len(sessions) else None
    return {
        "sessions": len(sessions),
        "clicks": sessions.num_clicks,
        "samples": sessions.num_samples,
        "items": int((clicks > 0).sum()),
        "first": None if times is None else f"{np.datetime64(int(times.min()), 's')}Z",
        "last": None if times is None else f"{np.datetime64(int(times.max()), 's')}Z",
    }


def _tally(sessions: Sessions, num_items: int) -> tuple[Counter[int], Counter[int], int]:
    """Sessions of each length, clicks of each day since 1970, and the number of repeats."""
    lengths: Counter[int] = Counter()
    days: Counter[int] = Counter()
    repeats = 0
    for run in sessions.runs(_CLICKS_AT_ONCE):
        length = run.lengths.numpy()
        counts = np.bincount(length)
        for value in counts.nonzero()[0].tolist():
            lengths[value] += int(counts[value])
        if run.times is not None:
            day = run.times.numpy() // SECONDS_PER_DAY
            # Sessions are in time order: a day is one stretch of them.
            starts = np.flatnonzero(np.diff(day, prepend=day[0] - 1))
            totals = np.add.reduceat(length, starts)
            for value, total in zip(day[starts].tolist(), totals.tolist(), strict=True):
                days[value] += total
        # A click is a repeat unless it is its session's first on its item: equal keys but one.
        keys = np.repeat(np.arange(len(run)) * num_items, length)
        keys += run.items.numpy()
        keys.sort()
        repeats += int((keys[1:] == keys[:-1]).sum())
    return lengths, days, repeats


def _popularity(clicks: np.ndarray[Any, Any]) -> list[list[int]]:
    ordered = np.sort(clicks[clicks > 0])[::-1]
    if not len(ordered):
        return []
    ranks = np.unique(np.geomspace(1, len(ordered), _RANKS).round().astype(np.int64))
    return [[rank, int(ordered[rank - 1])] for rank in ranks.tolist()]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
