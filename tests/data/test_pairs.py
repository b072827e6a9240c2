"""Counts of pairs beside plain loops, whatever the size of the ranges of items."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch

from pyg_srgnn.data import Sessions, pairs
from pyg_srgnn.data.pairs import count_pairs, heaviest_pairs, weights_by_distance
from tests.reference.names import random_sessions

ITEMS = 11
WINDOW = 4


def counted(sessions: list[list[int]], half_life: float | None, once: bool) -> dict[int, float]:
    """The counts of all pairs, click by click."""
    counts: dict[int, float] = defaultdict(float)
    samples = sum(len(session) - 1 for session in sessions)
    before = 0
    for session in sessions:
        for at, later in enumerate(session):
            for steps in range(1, min(WINDOW, at) + 1):
                earlier = session[at - steps]
                again = later in session[:at] or earlier in session[at - steps + 1 : at + 1]
                if once and again:
                    continue
                age = (samples - 1 - (before + at - 1)) / samples
                weight = 1 if half_life is None else 0.5 ** (age / half_life)
                counts[earlier * ITEMS + later] += weights_by_distance(WINDOW)[steps - 1] * weight
        before += len(session) - 1
    return counts


@pytest.fixture(params=[1, 9, 1_000])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_CLICKS_AT_ONCE", request.param)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("half_life", [None, 0.3])
def test_counts_are_those_of_a_plain_loop(half_life: float | None, once: bool) -> None:
    lists = [*random_sessions(40, ITEMS - 1, longest=12), [3], [0, 0, 0]]
    sessions, weights = Sessions.from_lists(lists), weights_by_distance(WINDOW)
    expected = counted(lists, half_life, once)
    pair, count = count_pairs(sessions, ITEMS, weights, half_life, once)
    assert pair.tolist() == sorted(expected)
    wanted = torch.tensor([expected[one] for one in pair.tolist()], dtype=torch.float64)
    torch.testing.assert_close(count.double(), wanted, rtol=1e-12, atol=0)

    for both in (False, True):
        of_pairs = pairs.both_ways(pair, count, ITEMS) if both else (pair, count)
        items, heaviest = pairs.heaviest(*of_pairs, ITEMS, 3)
        found = heaviest_pairs(sessions, ITEMS, weights, 3, half_life, once, both)
        assert torch.equal(found[0], items)
        torch.testing.assert_close(found[1], heaviest, rtol=1e-12 if half_life else 0, atol=0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("half_life", [None, 0.3])
@pytest.mark.parametrize("lists", [[], [[1], [2]]])
def test_sessions_without_a_pair(lists: list[list[int]], half_life: float | None) -> None:
    sessions = Sessions.from_lists(lists)
    assert not count_pairs(sessions, ITEMS, [1], half_life)[0].numel()
    _, count = heaviest_pairs(sessions, ITEMS, [1], 2, half_life, both=True)
    assert count.shape == (ITEMS, 2)
    assert not count.any()
