"""Neighbours of items against loops, and against what the whole test set gave."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import pytest

from pyg_srgnn.baselines import ItemKNN
from pyg_srgnn.data import Sessions
from tests.baselines.agreement import ITEMS, TRAINING, check, metrics_on, scores_of


def neighbours_of(training, item, shrinkage, neighbours):
    """The items most like one, with their likeness."""
    clicks = Counter(click for session in training for click in session)
    vectors = {i: {n for n, session in enumerate(training) if i in session} for i in range(ITEMS)}
    likeness = {
        other: len(vectors[item] & vectors[other])
        / sqrt((len(vectors[item]) + shrinkage) * (len(vectors[other]) + shrinkage))
        for other in range(ITEMS)
        if other != item and vectors[item] & vectors[other]
    }
    best = sorted(likeness, key=lambda i: (-round(likeness[i], 9), -clicks[i], i))
    return {other: likeness[other] for other in best[:neighbours]}


@pytest.mark.parametrize("shrinkage", [0, 20.0])
@pytest.mark.parametrize("neighbours", [1, 3, 100])
def test_equals_loops(shrinkage, neighbours):
    settings = {"shrinkage": shrinkage, "neighbours": neighbours}
    baseline = ItemKNN.fit(Sessions.from_lists(TRAINING), ITEMS, **settings)
    check(baseline, TRAINING, lambda session: neighbours_of(TRAINING, session[-1], **settings))


def test_is_the_cosine():
    """Item 0 is in three sessions, item 1 in two of them and another; clicks do not count."""
    sessions = Sessions.from_lists([[0, 1, 0, 0], [1, 0], [0], [1, 2]])
    (row,) = scores_of(ItemKNN.fit(sessions, 3, shrinkage=0), [[2, 0]]).tolist()
    assert row[1] / 2**30 == pytest.approx(2 / 3)
    assert row[0] < 1 and row[2] < 1, "neither itself nor what it never met"


def test_shrinkage_prefers_what_several_sessions_vouch_for():
    """Item 1 was seen once, with item 0; item 2 twice with it and nine times without."""
    sessions = Sessions.from_lists([[0, 1], [0, 2], [0, 2], *[[2, 3]] * 9])
    best = {
        s: int(scores_of(ItemKNN.fit(sessions, 4, shrinkage=s), [[0]]).argmax()) for s in (0, 20)
    }
    assert best == {0: 1, 20: 2}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shrinkage": -1}, r"'shrinkage' must be a number >= 0 \(got -1\)"),
        ({"neighbours": 0}, r"'neighbours' must be a whole number >= 1 \(got 0\)"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        ItemKNN.fit(Sessions.from_lists([[0, 1]]), 2, **settings)


@pytest.mark.slow
def test_figure_on_diginetica(diginetica):
    """What the whole test set gave; here a sample of it."""
    found = metrics_on(diginetica, ItemKNN.fit)
    assert found["hr@20"] == pytest.approx(37.29, abs=1.5)
    assert found["mrr@20"] == pytest.approx(11.99, abs=1.0)
