"""The pairs of single sessions: together, they are those of all."""

from __future__ import annotations

import pytest
import torch

from pyg_srgnn.data import Sessions
from pyg_srgnn.data.pairs import UNITS, count_pairs, weights_by_distance
from pyg_srgnn.data.session_pairs import SessionPairs
from tests.reference.names import random_sessions

ITEMS = 7


@pytest.mark.parametrize("half_life", [None, 0.3])
def test_together_they_are_those_of_all_sessions(half_life: float | None) -> None:
    sessions = Sessions.from_lists([*random_sessions(30, ITEMS, longest=20), [3], [0, 0]])
    weights = weights_by_distance(4)
    number = torch.arange(len(sessions))
    found = SessionPairs(sessions, ITEMS, weights, half_life).of(number)
    pair, count = count_pairs(sessions, ITEMS, weights, half_life)
    every = number.unsqueeze(1).expand(-1, len(pair))
    together = found.of(every, pair // ITEMS, pair % ITEMS).sum(dim=0)
    torch.testing.assert_close(together, count.double() / UNITS, rtol=1e-12, atol=0)
    key = found.key.unique()[:-1]  # the last one is no pair
    assert found.key[-1] == 2**63 - 1
    weight = found.of(key // ITEMS**2, key // ITEMS % ITEMS, key % ITEMS)
    assert weight.sum().item() == pytest.approx(count.sum().item() / UNITS)


def test_a_session_may_be_that_of_several_samples() -> None:
    sessions = Sessions.from_lists([[1, 2], [0, 1, 2]])
    found = SessionPairs(sessions, ITEMS, weights_by_distance(3)).of(torch.tensor([1, 1, 0]))
    one, two = torch.full((3,), 1), torch.full((3,), 2)
    assert found.of(torch.arange(3), one, two).tolist() == [1, 1, 1]
    assert found.of(torch.arange(3), one * 0, two).tolist() == [0.5, 0.5, 0]


def test_the_pairs_of_no_session() -> None:
    none = torch.empty(0, dtype=torch.long)
    sessions = Sessions.from_lists([[1, 2], [0, 1, 2]])
    found = SessionPairs(sessions, ITEMS, weights_by_distance(3)).of(none)
    assert found.of(none, none, none).shape == (0,)


@pytest.mark.parametrize("half_life", [0.02, 0.05])
def test_what_an_old_session_added_is_not_rounded_beside_recent_ones(half_life: float) -> None:
    sessions = Sessions.from_lists([[0, 1, 2]] + [[1, 2, 3]] * 100)
    pairs = SessionPairs(sessions, ITEMS, weights_by_distance(3), half_life)
    found = pairs.of(torch.cat([torch.arange(1, 101), torch.tensor([0])]))
    age = torch.tensor((sessions.num_samples - 1 - 0) / sessions.num_samples, dtype=torch.float64)
    first = torch.tensor(0)
    together = found.of(torch.tensor(100), first, first + 1)
    torch.testing.assert_close(together, torch.exp2(-age / half_life), rtol=1e-9, atol=0)


def test_what_lies_beyond_the_sessions_weighs_nothing() -> None:
    """Batches of fixed sizes ask for more clicks than there are: as if they came much later."""
    sessions = Sessions.from_lists([[0, 1, 2]] * 60)
    pairs = SessionPairs(sessions, ITEMS, weights_by_distance(3), half_life=0.02)
    number = torch.arange(60)
    found = pairs.of(number, 2**14)
    assert found.weight.isfinite().all()
    absent = found.of(number, torch.tensor(ITEMS - 1), torch.tensor(ITEMS - 1))
    assert not absent.any()
    one, two = torch.tensor(1), torch.tensor(2)
    torch.testing.assert_close(found.of(number, one, two), pairs.of(number).of(number, one, two))
