"""STAN against loops, and against what the whole test set gave."""

from __future__ import annotations

from collections import defaultdict
from math import exp, sqrt

import pytest
import torch

from pyg_srgnn.baselines import STAN, neighbours
from pyg_srgnn.data import Sessions
from tests.baselines.agreement import (
    ITEMS,
    SESSIONS,
    TRAINING,
    check,
    metrics_on,
    scores_of,
)


def evidence_of(training, ages, session, k, sample_size, lambda1, lambda2, lambda3):
    """Scores of the items that the neighbours of a session hold."""
    place = {item: i for i, item in enumerate(session)}
    weight = {item: exp((i - len(session)) / lambda1) for item, i in place.items()}
    norm = sqrt(sum(w * w for w in weight.values()))
    shared = defaultdict(set)
    for item in place:
        for n in [n for n, other in enumerate(training) if item in other][-sample_size:]:
            shared[n].add(item)
    likeness = {}
    for n, items in shared.items():
        cosine = sum(weight[item] for item in items) / (norm * sqrt(len(set(training[n]))))
        likeness[n] = cosine * exp(-ages[n] / lambda2)
    scores = defaultdict(float)
    for n in sorted(likeness, key=lambda n: (-round(likeness[n], 9), -n))[:k]:
        at = {item: i for i, item in enumerate(training[n])}
        matched = max(shared[n], key=place.__getitem__)
        for item, i in at.items():
            scores[item] += likeness[n] * exp(-abs(i - at[matched]) / lambda3)
    return scores


LAMBDAS = [
    {"lambda1": 1.0, "lambda2": 0.7, "lambda3": 5.0},
    {"lambda1": 30.0, "lambda2": 1.5, "lambda3": 1.0},
    {"lambda1": 4.0, "lambda2": 0.3, "lambda3": 2.0},
]
BY_ORDER = [1 - (n + 1) / len(TRAINING) for n in range(len(TRAINING))]


@pytest.mark.parametrize("lambdas", LAMBDAS)
@pytest.mark.parametrize(("k", "sample_size"), [(1, 1), (3, 5), (5, 3), (10, 100), (500, 2500)])
def test_equals_loops(k, sample_size, lambdas):
    settings = {"k": k, "sample_size": sample_size, **lambdas}
    baseline = STAN.fit(Sessions.from_lists(TRAINING), ITEMS, **settings)
    check(baseline, TRAINING, lambda session: evidence_of(TRAINING, BY_ORDER, session, **settings))


def test_ages_by_times_and_by_order():
    times = [1000 + n * n for n in range(len(TRAINING))]
    sessions = Sessions.from_lists(TRAINING, times)
    by_time = [(times[-1] - time) / (times[-1] - times[0]) for time in times]
    settings = {"k": 7, "sample_size": 20, **LAMBDAS[2]}
    for age, ages in {"time": by_time, "order": BY_ORDER}.items():
        baseline = STAN.fit(sessions, ITEMS, age=age, **settings)
        check(baseline, TRAINING, lambda s, a=ages: evidence_of(TRAINING, a, s, **settings))


def test_sessions_of_one_time_are_of_one_age():
    baseline = STAN.fit(Sessions.from_lists([[0, 1], [0, 2]], [5, 5]), 3)
    (row,) = scores_of(baseline, [[0]]).floor().tolist()
    assert row[1] == row[2] >= 1


def test_the_nearer_and_the_more_recent_first():
    baseline = STAN.fit(Sessions.from_lists([[0, 1], [0, 2], [3, 4, 5, 6]]), 7)
    (first, second) = scores_of(baseline, [[0], [4]]).argsort(1, descending=True).tolist()
    assert first[:3] == [0, 2, 1], "the last of two sessions"
    assert second[:4] == [4, 3, 5, 6], "by distance, before or behind"


@pytest.mark.parametrize("candidates", [1, 50])
def test_batches_in_parts(monkeypatch, candidates):
    """However few candidates are looked at together, the scores are the same."""
    baseline = STAN.fit(Sessions.from_lists(TRAINING), ITEMS, k=5)
    whole = scores_of(baseline, SESSIONS)
    monkeypatch.setattr(neighbours, "_CANDIDATES", candidates)
    assert torch.equal(scores_of(baseline, SESSIONS), whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, r"STAN: 'k' must be a whole number >= 1 \(got 0\)"),
        ({"lambda1": 0}, r"STAN: 'lambda1' must be a number > 0 \(got 0\)"),
        ({"lambda2": -1}, r"STAN: 'lambda2' must be a number > 0 \(got -1\)"),
        ({"lambda3": float("nan")}, r"STAN: 'lambda3' must be a number > 0 \(got nan\)"),
        ({"age": "days"}, r"STAN: 'age' must be one of time, order \(got 'days'\)"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        STAN.fit(Sessions.from_lists([[0, 1]]), 2, **settings)


@pytest.mark.slow
def test_figure_on_diginetica(diginetica):
    """What the whole test set gave; here a sample of it."""
    found = metrics_on(diginetica, STAN.fit)
    assert found["hr@20"] == pytest.approx(52.26, abs=2.0)
    assert found["mrr@20"] == pytest.approx(18.60, abs=1.0)
