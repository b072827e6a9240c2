"""Ranks by the scores of a few items are those by the scores of all."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.baselines.popularity import Found
from pyg_srgnn.data import Sessions
from pyg_srgnn.data.graphs import session_graph
from pyg_srgnn.evaluation.few_scored import FewScored
from pyg_srgnn.evaluation.metrics import Ranked
from pyg_srgnn.functional.metrics import TIES
from tests.reference.names import random_sessions

ITEMS = 40  # the last ten are never clicked in training


def same(found: Ranked, expected: Ranked, scores: torch.Tensor) -> None:
    assert torch.equal(found.rank, expected.rank) and found.rank.dtype == expected.rank.dtype
    assert torch.equal(found.tied, expected.tied)
    # Which of equal items comes first is open: their scores are the same, and no item is twice.
    assert torch.equal(scores.gather(1, found.best), scores.gather(1, expected.best))
    assert all(row.unique().numel() == row.numel() for row in found.best)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("k", [1, 5, 20, 100])
@pytest.mark.parametrize("kind", BASELINES)
def test_every_baseline(kind: str, k: int, ties: str) -> None:
    baseline = BASELINES[kind].fit(Sessions.from_lists(random_sessions(60, 30, seed=1)), ITEMS)
    sessions = [*random_sessions(30, ITEMS, seed=2, longest=9), [35, 36]]
    batch = Batch.from_data_list([session_graph(torch.tensor(s)) for s in sessions])
    scores = baseline.scores(batch)
    for target in torch.randint(ITEMS, (5, len(sessions)), generator=torch.Generator()):
        found = FewScored(baseline.score, ties, k)(baseline.found(batch), target)
        same(found, Ranked.of(scores, target, ties, k), scores)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("seed", range(5))
def test_items_that_tie(seed: int, ties: str) -> None:
    """Few different scores; rows with all items, with one and with none."""
    generator = torch.Generator().manual_seed(seed)
    popularity = torch.randperm(12, generator=generator).double() / 13
    chosen = torch.rand(50, 12, generator=generator) < torch.rand(50, 1, generator=generator)
    chosen[0], chosen[1] = True, False
    session, item = chosen.nonzero().unbind(1)
    score = torch.randint(1, 4, session.shape, generator=generator).double()
    scores = popularity.repeat(50, 1).index_put((session, item), score)
    target = torch.randint(12, (50,), generator=generator)
    expected = Ranked.of(scores, target, ties, 5)
    assert expected.tied.any() and not expected.tied.all()
    same(FewScored(popularity, ties, 5)(Found(session, item, score), target), expected, scores)


def test_nothing_found_for_any_session() -> None:
    popularity = torch.tensor([0.2, 0.8, 0.4], dtype=torch.float64)
    none = torch.empty(0, dtype=torch.long)
    found = FewScored(popularity, "conservative", 2)(
        Found(none, none, none.double()), torch.tensor([0, 1])
    )
    assert found.rank.tolist() == [3, 1] and not found.tied.any()
    assert found.best.tolist() == [[1, 2], [1, 2]]
