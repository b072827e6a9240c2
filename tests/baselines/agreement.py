"""What the tests of one baseline share: sessions, the check against loops, and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import floor

import pytest
import torch
from torch_geometric.data import Batch

from pyg_srgnn.baselines import Popularity
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.data.graphs import session_graph
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.evaluation.loop import evaluate
from tests.reference.names import random_sessions

ITEMS = 14  # the last two are never clicked in training
# Few items a session, and many: with the same items often, and seldom.
TRAINING = [*random_sessions(40, ITEMS - 2, seed=3, longest=4), *random_sessions(20, 9, seed=4)]
SESSIONS = [*random_sessions(25, ITEMS, seed=5, longest=12), [ITEMS - 1], [0, ITEMS - 2], [2, 2]]


def scores_of(baseline: Popularity, sessions: Sequence[Sequence[int]]) -> torch.Tensor:
    """Scores of sessions in one batch."""
    graphs = [session_graph(torch.tensor(session)) for session in sessions]
    return baseline.scores(Batch.from_data_list(graphs))


def check(
    baseline: Popularity,
    training: Sequence[Sequence[int]],
    evidence: Callable[[Sequence[int]], Mapping[int, float]],
    sessions: Sequence[Sequence[int]] = SESSIONS,
) -> None:
    """Hold the scores, up to a factor of the session, to what loops say of the items.

    Items of equal evidence, and those with none, are in the order of popularity.
    """
    clicks = Counter(item for session in training for item in session)
    rows = scores_of(baseline, sessions)
    assert rows.shape == (len(sessions), ITEMS)
    for session, row in zip(sessions, rows.tolist(), strict=True):
        expected = evidence(session)
        assert all(value > 0 for value in expected.values())
        assert {item for item, value in enumerate(row) if value >= 1} == set(expected), session
        greatest = float(max(expected.values(), default=1))
        found = floor(max(row))
        for item, value in expected.items():
            relative = floor(row[item]) / found  # without the popularity
            assert relative == pytest.approx(float(value) / greatest, abs=1e-4), (session, item)
        order = sorted(
            range(ITEMS),
            key=lambda i: (-round(float(expected.get(i, 0)) / greatest, 9), -clicks[i], i),
        )
        assert sorted(range(ITEMS), key=lambda i: -row[i]) == order, session


def metrics_on(
    datasets: tuple[SessionDataset, SessionDataset], fit: Callable[..., Popularity]
) -> dict[str, float]:
    """Metrics in percent on the second dataset of a baseline fitted to the first."""
    training, test = datasets
    baseline = fit(training.sessions, training.num_items)
    found = evaluate(baseline, SessionLoader(test, 128), test.num_items)
    assert found["tied"] == 0
    return {name: 100 * value for name, value in found.items()}
