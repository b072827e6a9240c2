"""Sequential rules against loops, and against a known figure."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import pytest
import torch

from pyg_srgnn.baselines import Markov, SequentialRules
from pyg_srgnn.data import Sessions
from tests.baselines.agreement import (
    ITEMS,
    SESSIONS,
    TRAINING,
    check,
    metrics_on,
    scores_of,
)


def rules_of(training, window):
    """The rules: for each item what came up to so many steps after it, the sooner the more."""
    rules = defaultdict(lambda: defaultdict(Fraction))
    for session in training:
        for i, item in enumerate(session):
            for steps, later in enumerate(session[i + 1 : i + 1 + window], 1):
                rules[item][later] += Fraction(1, steps)
    return rules


@pytest.mark.parametrize("window", [1, 2, 10, 100])
def test_equals_loops(window):
    rules = rules_of(TRAINING, window)
    baseline = SequentialRules.fit(Sessions.from_lists(TRAINING), ITEMS, window=window)
    check(baseline, TRAINING, lambda session: rules.get(session[-1], {}))


def test_the_weights_are_exact():
    """In units of 1 / 2520: a quarter, one, a half and a third of a click."""
    baseline = SequentialRules.fit(Sessions.from_lists([[0, 1, 2, 3, 0]]), 4)
    (row,) = scores_of(baseline, [[0]]).floor().tolist()
    assert row == [630, 2520, 1260, 840]


def test_a_window_of_one_is_the_markov_chain():
    sessions = Sessions.from_lists(TRAINING)
    one, chain = SequentialRules.fit(sessions, ITEMS, window=1), Markov.fit(sessions, ITEMS)
    order = scores_of(one, SESSIONS).argsort(1, descending=True)
    assert torch.equal(order, scores_of(chain, SESSIONS).argsort(1, descending=True))


def test_a_window_needs_a_step():
    with pytest.raises(ValueError, match=r"'window' must be a whole number >= 1 \(got 0\)"):
        SequentialRules.fit(Sessions.from_lists([[0, 1]]), 2, window=0)


@pytest.mark.slow
def test_known_figure_on_diginetica(diginetica):
    """40.35 / 14.12 on the whole test set, with another program; here a sample of it."""
    found = metrics_on(diginetica, SequentialRules.fit)
    assert found["hr@20"] == pytest.approx(40.35, abs=1.5)
    assert found["mrr@20"] == pytest.approx(14.12, abs=1.0)
