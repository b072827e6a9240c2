"""The bootstrap against a plain loop with the same draws; tests and corrections by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from pyg_srgnn.evaluation import significance
from pyg_srgnn.evaluation.samples import Samples
from pyg_srgnn.evaluation.significance import (
    benjamini_hochberg,
    bootstrap,
    draws,
    holm,
    mcnemar,
    paired_bootstrap,
)
from tests.reports.tables import SESSIONS, kinds, random_table


def samples(rows: pl.DataFrame, hit: NDArray[Any], reciprocal: NDArray[Any]) -> Samples:
    return Samples(rows, {"hr@20": hit, "mrr@20": reciprocal})


def test_draws_take_as_many_sessions_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(draws(30, 400, seed=5)))
    assert whole.shape == (400, 30) and (whole.sum(axis=1) == 30).all()
    assert np.abs(whole.mean(axis=0) - 1).max() < 5 / math.sqrt(400)
    assert whole.var() == pytest.approx(1 - 1 / 30, rel=0.05)  # multinomial
    monkeypatch.setattr(significance, "_DRAWS", 7 * 30)
    parts = list(draws(30, 400, seed=5))
    assert len(parts) == 58 and np.array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(np.concatenate(list(draws(30, 400, seed=6))), whole)


@pytest.mark.parametrize("unit", ["sessions", "rows"])
def test_bootstrap_is_that_of_a_loop(unit: str) -> None:
    one = Samples.average([random_table(seed) for seed in (1, 2)])
    other = Samples.average([random_table(3, best=2)])
    found = paired_bootstrap(one, other, resamples=300, seed=4, unit=unit)
    members: list[list[int]] = []
    for i, prefix in enumerate(one.rows["prefix"]):
        if prefix == 1 or unit == "rows":
            members.append([])
        members[-1].append(i)
    for metric, here, there in (
        ("hr@20", one.values["hr@20"], other.values["hr@20"]),
        ("mrr@20", one.values["mrr@20"], other.values["mrr@20"]),
    ):
        apart = []
        for times in np.concatenate(list(draws(len(members), 300, seed=4))):
            drawn = [i for s, rows in enumerate(members) for i in rows * int(times[s])]
            apart.append(100 * sum(here[i] - there[i] for i in drawn) / len(drawn))
        apart.sort()
        # Between the order statistics around 2.5 % and 97.5 % of the way from first to last.
        low, high = (
            apart[int(at)] + (at % 1) * (apart[int(at) + 1] - apart[int(at)])
            for at in (0.025 * 299, 0.975 * 299)
        )
        mean = 100 * (sum(here) - sum(there)) / sum(SESSIONS)
        below = sum(value < 1e-9 for value in apart)
        above = sum(value > -1e-9 for value in apart)
        p = min(1.0, 2 * (1 + min(below, above)) / 301)
        assert found[metric] == pytest.approx((mean, low, high, p))
        assert 2 / 301 < p < 1, "the case says nothing of p"


def test_all_pairs_are_measured_on_the_same_draws() -> None:
    every = [Samples.average([random_table(seed)]) for seed in range(3)]
    pairs = [(every[0], every[1]), (every[0], every[2]), (every[1], every[2])]
    together = bootstrap(pairs, 200, seed=1)
    for pair, found in zip(pairs, together, strict=True):
        for metric, difference in paired_bootstrap(*pair, 200, seed=1).items():
            assert found[metric] == pytest.approx(difference, abs=1e-12)


def test_the_interval_is_that_of_sessions_not_of_samples() -> None:
    """Where a session's samples agree, it is as wide as the ratio of sums makes it."""
    generator = np.random.default_rng(0)
    counts = generator.integers(1, 12, size=500)
    rows = kinds(tuple(counts.tolist()))
    of_session = generator.normal(0.1, 0.3, size=500)
    gain = np.repeat(of_session, counts) + generator.normal(0, 0.01, size=len(rows))
    nothing = np.zeros(len(rows))
    one, other = samples(rows, gain, gain / 2), samples(rows, nothing, nothing)
    found = paired_bootstrap(one, other)["hr@20"]
    starts = np.cumsum(counts) - counts
    residual = np.add.reduceat(gain - gain.mean(), starts)
    deviation = 100 * math.sqrt((residual**2).sum()) / len(rows)
    assert found.mean == pytest.approx(100 * gain.mean())
    assert found.low == pytest.approx(found.mean - 1.96 * deviation, abs=0.15 * deviation)
    assert found.high == pytest.approx(found.mean + 1.96 * deviation, abs=0.15 * deviation)
    of_samples = 100 * gain.std() / math.sqrt(len(rows))
    assert found.high - found.low > 2 * 1.96 * 2 * of_samples
    alone = paired_bootstrap(one, other, unit="rows")["hr@20"]
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * of_samples, rel=0.1)


def test_a_false_alarm_is_as_rare_as_its_p_says() -> None:
    """Of sides that differ by chance alone, a twentieth has p <= 0.05."""
    generator = np.random.default_rng(0)
    rows = kinds((1,) * 150)
    nothing = samples(rows, np.zeros(150), np.zeros(150))
    found = []
    for seed in range(400):
        gain = generator.normal(size=150)
        found.append(paired_bootstrap(samples(rows, gain, gain), nothing, 400, seed)["hr@20"].p)
    share = sum(p <= 0.05 for p in found) / len(found)
    assert share == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 400))


def test_a_configuration_is_not_apart_from_itself() -> None:
    one = Samples.average([random_table(0)])
    assert set(paired_bootstrap(one, one, 50).values()) == {(0.0, 0.0, 0.0, 1.0)}
    found = mcnemar(one.values["hr@20"] > 0, one.values["hr@20"] > 0)
    assert found == (0, 0, True, 1.0)


def test_the_other_way_round_is_the_negative() -> None:
    one, other = (Samples.average([random_table(seed)]) for seed in range(2))
    there, back = paired_bootstrap(one, other, 99), paired_bootstrap(other, one, 99)
    for metric, found in there.items():
        mean, low, high, p = back[metric]
        assert found == pytest.approx((-mean, -high, -low, p), abs=1e-9)


def test_other_test_sets_are_not_compared() -> None:
    one = Samples.average([random_table(0)])
    with pytest.raises(ValueError, match="47 and 46 samples"):
        paired_bootstrap(one, one._replace(rows=one.rows[:-1]))
    with pytest.raises(ValueError, match="differ in the repeat of 47 samples"):
        paired_bootstrap(one, one._replace(rows=one.rows.with_columns(~pl.col("repeat"))))
    with pytest.raises(ValueError, match="'unit' must be one of sessions, rows"):
        paired_bootstrap(one, one, unit="clicks")


def hits(both: int, only_one: int, only_other: int, none: int) -> list[np.ndarray]:
    table = [(1, 1)] * both + [(1, 0)] * only_one + [(0, 1)] * only_other + [(0, 0)] * none
    return [np.array(column, dtype=bool) for column in zip(*table, strict=True)]


@pytest.mark.parametrize(
    ("counts", "exact", "p"),
    [
        ((5, 1, 3, 9), True, 2 * (1 + 4) / 16),
        ((5, 3, 1, 9), True, 2 * (1 + 4) / 16),
        ((0, 0, 6, 1), True, 2 / 64),
        ((7, 2, 2, 0), True, 1.0),  # the two tails overlap
        ((0, 2, 8, 1), True, 2 * (1 + 10 + 45) / 1024),
        ((0, 4, 20, 3), True, 2 * (1 + 24 + 276 + 2024 + 10626) / 2**24),
        # The normal table's two tails beyond 0.8 = (5 - 1) / 5, 2 = (11 - 1) / 5, 4 = (29 - 1) / 7.
        ((30, 10, 15, 40), False, 0.423711),
        ((3, 18, 7, 40), False, 0.0455003),
        ((0, 10, 39, 0), False, 6.33425e-5),
        ((1, 20, 20, 1), False, 1.0),
    ],
)
def test_mcnemar_by_hand(counts: tuple[int, int, int, int], exact: bool, p: float) -> None:
    found = mcnemar(*hits(*counts))
    assert (found.only_one, found.only_other, found.exact) == (counts[1], counts[2], exact)
    assert found.p == pytest.approx(p, rel=1e-4)


def test_mcnemar_does_not_jump_where_it_stops_being_exact() -> None:
    for only_one in range(3, 13):
        before, after = (mcnemar(*hits(0, only_one, n - only_one, 0)).p for n in (24, 25))
        assert 0.4 < after / before < 1.2


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.9, 0.6, 0.001], [1.0, 1.0, 0.003]),
        ([0.010, 0.011, 0.9], [0.030, 0.030, 0.9]),  # none below the one before it
        ([], []),
    ],
)
def test_holm_by_hand(p: list[float], corrected: list[float]) -> None:
    assert holm(p) == pytest.approx(corrected)


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.02, 0.04, 0.04, 0.02]),
        ([0.02, 0.02, 0.02], [0.02, 0.02, 0.02]),
        ([0.9, 0.6, 0.001], [0.9, 0.9, 0.003]),
        ([0.04, 0.05, 0.9], [0.075, 0.075, 0.9]),  # none more than the one behind it
        ([], []),
    ],
)
def test_benjamini_hochberg_by_hand(p: list[float], corrected: list[float]) -> None:
    assert benjamini_hochberg(p) == pytest.approx(corrected)


def test_benjamini_hochberg_finds_what_its_step_up_rule_finds() -> None:
    """The rule itself: of sorted p, all up to the last one of at most level · place / n."""
    generator = np.random.default_rng(0)
    for level in (0.05, 0.2):
        for _ in range(50):
            p = (generator.uniform(size=12) ** 3).tolist()
            order = sorted(range(12), key=lambda i: p[i])
            last = max((i + 1 for i in range(12) if p[order[i]] <= level * (i + 1) / 12), default=0)
            found = {i for i, q in enumerate(benjamini_hochberg(p)) if q <= level}
            assert found == set(order[:last])
            assert all(a >= b - 1e-12 for a, b in zip(holm(p), benjamini_hochberg(p), strict=True))
