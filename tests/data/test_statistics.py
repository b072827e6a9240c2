"""The counts of a dataset, against loops over its lists."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.data import statistics as module
from pyg_srgnn.data.statistics import describe
from pyg_srgnn.datasets import open_dataset

ITEMS = 12
SESSION = st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=9)


@st.composite
def parts(draw, least: int = 0) -> Sessions:
    """Sessions with times of a few days around 1970, or without."""
    lists = draw(st.lists(SESSION, min_size=least, max_size=12))
    if draw(st.booleans()):
        return Sessions.from_lists(lists)
    seconds = st.integers(-100_000, 900_000)
    times = sorted(draw(st.lists(seconds, min_size=len(lists), max_size=len(lists))))
    return Sessions.from_lists(lists, times)


def day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def naive(training: Sessions, test: Sessions) -> dict:
    """What describe() must give, but for the popularity's choice of ranks."""
    sides = {"training": training, "test": test}
    counted, lengths, repeats, days = {}, {}, {}, {}
    for name, sessions in sides.items():
        lists = sessions.to_lists()
        clicks = [item for session in lists for item in session]
        times = [] if sessions.times is None else sessions.times.tolist()
        instants = [datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for t in times]
        counted[name] = {
            "sessions": len(lists),
            "clicks": len(clicks),
            "samples": sum(len(session) - 1 for session in lists),
            "items": len(set(clicks)),
            "first": instants[0] if instants else None,
            "last": instants[-1] if instants else None,
        }
        lengths[name] = [[k, n] for k, n in sorted(Counter(map(len, lists)).items())]
        again = [s[cut] in s[:cut] for s in lists for cut in range(1, len(s))]
        repeats[name] = sum(again) / len(again) if again else None
        days[name] = Counter()
        for session, time in zip(lists, times, strict=False):
            days[name][day(time)] += len(session)
    known = set(training.items.tolist())
    unseen = [item for item in test.items.tolist() if item not in known]
    return {
        "items": ITEMS,
        "parts": counted,
        "distributions": {
            "session_lengths": lengths,
            "clicks_per_day": [
                [d, days["training"][d], days["test"][d]]
                for d in sorted(days["training"].keys() | days["test"].keys())
            ],
            "repeats": repeats,
            "unseen_test_items": {
                "items": len(set(unseen)),
                "clicks": len(unseen),
                "share": len(unseen) / test.num_clicks if test.num_clicks else None,
            },
        },
    }


@settings(deadline=None, max_examples=100)
@given(training=parts(), test=parts(), at_once=st.integers(1, 40))
def test_the_counts_of_loops(training, test, at_once):
    """However many clicks are looked at together."""
    with mock.patch.object(module, "_CLICKS_AT_ONCE", at_once):
        found = describe(training, test, Vocabulary(range(ITEMS)))
    popularity = found["distributions"].pop("item_popularity")
    assert found == naive(training, test)
    ordered = sorted(Counter(training.items.tolist()).values(), reverse=True)
    assert popularity == [[rank, clicks] for rank, clicks in enumerate(ordered, 1)]


def test_it_is_plain_json():
    training = Sessions.from_lists([[0, 1, 0], [2, 1]], [86_400, 2 * 86_400])
    test = Sessions.from_lists([[3, 3]], [3 * 86_400])
    found = describe(training, test, Vocabulary("abcd"))
    assert json.loads(json.dumps(found)) == found
    assert found["distributions"]["clicks_per_day"] == [
        ["1970-01-02", 3, 0],
        ["1970-01-03", 2, 0],
        ["1970-01-04", 0, 2],
    ]
    assert found["distributions"]["repeats"] == {"training": 1 / 3, "test": 1.0}


def test_no_test_sessions():
    found = describe(Sessions.from_lists([[0, 1]]), Sessions.from_lists([]), Vocabulary([7, 8]))
    assert found["parts"]["test"]["sessions"] == 0
    assert found["distributions"]["repeats"]["test"] is None
    assert found["distributions"]["unseen_test_items"] == {"items": 0, "clicks": 0, "share": None}
    assert found["distributions"]["session_lengths"]["test"] == []


def test_few_ranks_stand_for_many_items():
    """Item i has i + 1 clicks, so rank r has as many as items follow it."""
    num_items = 3_000
    items = torch.arange(num_items).repeat_interleave(torch.arange(1, num_items + 1))
    sessions = Sessions(items, torch.tensor([0, len(items)]))
    found = describe(sessions, sessions[:0], Vocabulary(range(num_items)))
    pairs = found["distributions"]["item_popularity"]
    assert 100 < len(pairs) <= 200
    assert pairs[0] == [1, num_items] and pairs[-1] == [num_items, 1]
    assert all(clicks == num_items - rank + 1 for rank, clicks in pairs)
    ranks = [rank for rank, _ in pairs if rank > 100]
    steps = [b / a for a, b in pairwise(ranks)]
    assert max(steps) / min(steps) < 1.03


@pytest.mark.slow
def test_a_benchmark(benchmark_data, tmp_path):
    """The share of targets that stand in their prefix, and the unseen items, are known."""
    settings = {"name": "yoochoose1_64", "root": str(tmp_path), "mirror": str(benchmark_data)}
    training, test = (open_dataset(settings, split) for split in ("trainval", "test"))
    found = describe(training.sessions, test.sessions, training.vocabulary)["distributions"]
    assert found["repeats"]["test"] == pytest.approx(0.266, abs=0.0005)
    assert found["unseen_test_items"]["items"] == 369
