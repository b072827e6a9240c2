"""VSKNN against loops, and against a known figure."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from functools import partial
from math import log

import pytest
import torch

from pyg_srgnn.baselines import VSKNN, neighbours
from pyg_srgnn.data import Sessions
from tests.baselines.agreement import (
    ITEMS,
    SESSIONS,
    TRAINING,
    check,
    metrics_on,
    scores_of,
)

DECAYS = {
    # Of the clicks of a session, and of the last one that a neighbour shares.
    "harmonic": (lambda ago, clicks: Fraction(1, 1 + ago), lambda ago: Fraction(1, 1 + ago)),
    "linear": (lambda ago, clicks: 1 - Fraction(ago, clicks), lambda ago: 1 - Fraction(ago, 10)),
}


def evidence_of(training, session, k, sample_size, decay):
    """Scores of the items that the neighbours of a session hold."""
    weigh, decay_of_match = DECAYS[decay]
    ago = {item: len(session) - 1 - place for place, item in enumerate(session)}
    shared = defaultdict(set)
    for item in ago:
        holding = [n for n, other in enumerate(training) if item in other]
        for n in holding[-sample_size:]:
            shared[n].add(item)
    likeness = {n: sum(weigh(ago[i], len(session)) for i in items) for n, items in shared.items()}
    scores = defaultdict(float)
    for n in sorted(likeness, key=lambda n: (-likeness[n], -n))[:k]:
        match = min(ago[item] for item in shared[n])
        for item in set(training[n]):
            holding = sum(item in other for other in training)
            idf = log(len(training) / holding)
            scores[item] += float(likeness[n] * max(0, decay_of_match(match))) * idf
    return {item: score for item, score in scores.items() if score > 0}


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize(("k", "sample_size"), [(1, 1), (3, 5), (5, 3), (10, 100), (500, 2500)])
def test_equals_loops(k, sample_size, decay):
    settings = {"k": k, "sample_size": sample_size, "decay": decay}
    baseline = VSKNN.fit(Sessions.from_lists(TRAINING), ITEMS, **settings)
    check(baseline, TRAINING, lambda session: evidence_of(TRAINING, session, **settings))


def test_a_linear_decay_ends():
    """A neighbour that shares nothing of the last ten clicks says nothing."""
    training = Sessions.from_lists([[0, 1], [2, 3]])
    session = [0, *[4] * 9]
    assert scores_of(VSKNN.fit(training, 5, decay="linear"), [session])[0, 1] >= 1
    assert scores_of(VSKNN.fit(training, 5, decay="linear"), [[*session, 4]])[0, 1] < 1
    assert scores_of(VSKNN.fit(training, 5), [[*session, 4]])[0, 1] >= 1


def test_of_equal_neighbours_the_more_recent_ones_count():
    training = Sessions.from_lists([[0, 1], [0, 2], [0, 3], [4]])
    order = scores_of(VSKNN.fit(training, 5, k=2), [[0]])[0]
    assert (order >= 1).tolist() == [True, False, True, True, False]
    order = scores_of(VSKNN.fit(training, 5, sample_size=1), [[0]])[0]
    assert (order >= 1).tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("candidates", [1, 50])
def test_batches_in_parts(monkeypatch, candidates):
    """However few candidates are looked at together, the scores are the same."""
    baseline = VSKNN.fit(Sessions.from_lists(TRAINING), ITEMS, k=5)
    whole = scores_of(baseline, SESSIONS)
    monkeypatch.setattr(neighbours, "_CANDIDATES", candidates)
    assert torch.equal(scores_of(baseline, SESSIONS), whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, r"VSKNN: 'k' must be a whole number >= 1 \(got 0\)"),
        ({"sample_size": 0}, r"VSKNN: 'sample_size' must be a whole number >= 1 \(got 0\)"),
        ({"decay": "none"}, r"VSKNN: 'decay' must be one of harmonic, linear \(got 'none'\)"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        VSKNN.fit(Sessions.from_lists([[0, 1]]), 2, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("decay", "hr", "mrr"), [("linear", 51.47, 18.23), ("harmonic", 51.52, 18.28)]
)
def test_known_figures_on_diginetica(diginetica, decay, hr, mrr):
    """Linear: another program on another 3,000 samples; harmonic: on the whole test set."""
    found = metrics_on(diginetica, partial(VSKNN.fit, decay=decay))
    assert found["hr@20"] == pytest.approx(hr, abs=2.0)
    assert found["mrr@20"] == pytest.approx(mrr, abs=1.0)
