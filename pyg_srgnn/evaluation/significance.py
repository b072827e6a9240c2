"""Significance of a difference: the paired bootstrap, McNemar's test, corrections for several."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.evaluation.samples import Floats, Samples, require_same
from pyg_srgnn.functional.metrics import MAIN
from pyg_srgnn.utils.progress import Bar

UNITS = ("sessions", "rows")
_DRAWS = 2**20  # sessions drawn at once: some tens of MiB
_EXACT = 25  # discordant pairs below which the binomial distribution is summed


class Difference(NamedTuple):
    """One configuration minus another, in percent, with its 95 % interval."""

    mean: float
    low: float
    high: float
    p: float
    """Two-sided: twice the share of the draws on the other side of zero, 1 at the most."""


def paired_bootstrap(
    one: Samples,
    other: Samples,
    resamples: int = 10_000,
    seed: int = 0,
    unit: str = "sessions",
) -> dict[str, Difference]:
    """How far two configurations are apart on a test set: :func:`bootstrap` of a single pair."""
    return bootstrap([(one, other)], resamples, seed, unit)[0]


def bootstrap(
    pairs: Sequence[tuple[Samples, Samples]],
    resamples: int = 10_000,
    seed: int = 0,
    unit: str = "sessions",
) -> list[dict[str, Difference]]:
    """How far configurations are apart on a test set, and how far they could be on another.

    Sessions are drawn with replacement, as many as there are, not samples: the prefixes of one
    session are not independent. All configurations are measured on the same draws. The interval
    runs from the 2.5th to the 97.5th percentile of the differences, and the p-value is the level at
    which the interval would begin to hold zero (Efron and Tibshirani, 1993).

    Args:
        pairs: Samples of the one configuration and of the other, all on the same test set.
        resamples: Number of draws of a test set. (default: 10,000)
        seed: Seed of the draws. (default: 0)
        unit: What is drawn: ``"sessions"``, or ``"rows"`` as if they were independent, which
            makes intervals too narrow. (default: ``"sessions"``)

    Returns:
        Of each pair, the differences of ``"hr@20"`` and ``"mrr@20"``.

    Raises:
        ValueError: If they were not measured on the same test set, or the unit is unknown.
    """
    if unit not in UNITS:
        raise ValueError(f"bootstrap: 'unit' must be one of {', '.join(UNITS)} (got {unit!r})")
    first = pairs[0][0]
    for samples in (samples for pair in pairs for samples in pair):
        require_same(first.rows, samples.rows)
    columns = [np.ones(len(first.rows))]
    columns += [one.values[name] - other.values[name] for one, other in pairs for name in MAIN]
    sums = np.stack(columns, axis=1)
    if unit == "sessions":
        sums = np.add.reduceat(sums, first.starts())  # of every session: samples, differences
    parts = []
    with Bar("bootstrap", resamples, "draws") as bar:
        for times in draws(len(sums), resamples, seed):
            parts.append(times @ sums)
            bar.advance(len(times))
    totals = np.concatenate(parts)
    drawn = 100 * totals[:, 1:] / totals[:, :1]
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    # The draws and the test set itself, which is one of them under the hypothesis.
    beyond = 1 + np.minimum((drawn <= 0).sum(axis=0), (drawn >= 0).sum(axis=0))
    p = np.minimum(1, 2 * beyond / (resamples + 1))
    mean = [100 * column.mean() for column in columns[1:]]
    every = (Difference(*map(float, of)) for of in zip(mean, low, high, p, strict=True))
    return [{name: next(every) for name in MAIN} for _ in pairs]


def draws(units: int, resamples: int, seed: int = 0) -> Iterator[Floats]:
    """How often each draw takes each session, some draws at a time.

    Args:
        units: Sessions there are, and that are drawn each time.
        resamples: Number of draws.
        seed: Seed of the draws. (default: 0)

    Yields:
        Counts [R, units], each row's sum being ``units``; ``resamples`` rows in all.
    """
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWS // units)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = generator.integers(units, size=(count, units))
        drawn += units * np.arange(count)[:, None]  # a range of numbers for every draw
        counts = np.bincount(drawn.ravel(), minlength=count * units)
        yield counts.reshape(count, units).astype(np.float64)


class McNemar(NamedTuple):
    """Whether two scorers hit equally often, by the samples that only one of them hits."""

    only_one: int
    """Samples that the one hits and the other misses."""
    only_other: int
    """Samples that the other hits and the one misses."""
    exact: bool
    """Whether the binomial distribution was summed; else it is chi-squared with a correction."""
    p: float
    """Two-sided."""


def mcnemar(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> McNemar:
    """McNemar's test (1947) of two scorers' hits on the same samples.

    Of fewer than 25 samples that only one of them hits, the p-value is that of the binomial
    distribution; of more, that of chi-squared with Edwards' correction for continuity. Samples
    count as independent, though those of one session are not quite.

    Args:
        one: Whether the one scorer hits, bool [n].
        other: Whether the other does, bool [n].
    """
    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    total, least = only_one + only_other, min(only_one, only_other)
    if total < _EXACT:
        tail = sum(math.comb(total, count) for count in range(least + 1)) / 2**total
        return McNemar(only_one, only_other, True, min(1.0, 2 * tail))
    statistic = max(abs(only_one - only_other) - 1, 0) ** 2 / total
    return McNemar(only_one, only_other, False, math.erfc(math.sqrt(statistic / 2)))


def holm(p: Sequence[float]) -> list[float]:
    """p-values of several tests, corrected by Holm's step-down method (1979).

    The least is multiplied by the number of tests, the next by one less, and so on; none becomes
    less than one before it, nor more than 1.
    """
    corrected, greatest = [0.0] * len(p), 0.0
    for place, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        greatest = max(greatest, min(1.0, (len(p) - place) * p[i]))
        corrected[i] = greatest
    return corrected


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """p-values of several tests, corrected by Benjamini's and Hochberg's step-up method (1995).

    The greatest is multiplied by 1, the next smaller of n by n / (n - 1), the least by n; none
    becomes more than one behind it. Calling every difference of at most 0.05 real, no more than a
    twentieth of them is expected to be chance, if the tests are independent or their statistics
    depend on each other positively (Benjamini and Yekutieli, 2001). Holm's method, whose values are
    never less, bounds instead the probability that any of them is.
    """
    corrected, least = [0.0] * len(p), 1.0
    for place, i in enumerate(sorted(range(len(p)), key=lambda i: -p[i])):
        least = min(least, p[i] * len(p) / (len(p) - place))
        corrected[i] = least
    return corrected
