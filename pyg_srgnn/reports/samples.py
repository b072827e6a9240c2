"""What became of a test set's samples: its slices, and how sure a difference is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.evaluation import Rows
from pyg_srgnn.metrics import hit_rate, reciprocal_rank

K = 20
LENGTHS = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 9), (10, None))  # clicks of a prefix: from, to
_DRAWS = 2**20  # sessions drawn at once: some tens of MiB

Floats = NDArray[np.float64]


class Samples(NamedTuple):
    """A test set's samples in its order, and what the runs of a configuration make of them."""

    hit: Floats
    """Share of the runs whose first 20 items hold the target [n]."""
    reciprocal: Floats
    """Mean over the runs of 1 / rank where it is at most 20, else 0 [n]."""
    length: NDArray[np.int64]
    """Clicks of the prefix [n]; 1, 2, 3, … along a session."""
    repeat: NDArray[np.bool_]
    """Whether the target is one of them [n]."""

    @classmethod
    def average(cls, runs: Sequence[Rows]) -> Samples:
        """Average over runs on the same test set.

        Raises:
            ValueError: If there is none, or the test sets are different ones.
        """
        if not runs:
            raise ValueError("Samples: there is no run to average")
        every = [
            cls(
                hit_rate(rows.rank, K).numpy(),
                reciprocal_rank(rows.rank, K).numpy(),
                rows.length.long().numpy(),
                rows.repeat.bool().numpy(),
            )
            for rows in runs
        ]
        for samples in every[1:]:
            _require_same(every[0], samples)
        hit, reciprocal = (
            np.mean([samples[column] for samples in every], axis=0) for column in (0, 1)
        )
        return cls(hit, reciprocal, every[0].length, every[0].repeat)

    def starts(self) -> NDArray[np.int64]:
        """Number of every session's first sample [S]."""
        return np.flatnonzero(np.diff(self.length, prepend=-1) != 1)


class Slice(NamedTuple):
    """Some of the samples; all figures in percent."""

    name: str
    share: float
    """Of all samples."""
    hr: float
    """HR@20; no number where there is no sample."""
    mrr: float
    """MRR@20."""


def slices(samples: Samples) -> list[Slice]:
    """HR@20 and MRR@20 by the clicks of the prefix, and of repeated and new targets."""
    masks = {}
    for least, most in LENGTHS:
        name = f"{least}+" if most is None else f"{least}–{most}" if most > least else f"{least}"
        masks[name] = (samples.length >= least) & (samples.length <= (most or np.inf))
    masks |= {"repeated": samples.repeat, "new": ~samples.repeat}
    return [
        Slice(
            name,
            *(
                100 * float(column[mask].mean()) if mask.any() else float("nan")
                for column, mask in (
                    (mask, np.ones_like(mask)),
                    (samples.hit, mask),
                    (samples.reciprocal, mask),
                )
            ),
        )
        for name, mask in masks.items()
    ]


class Difference(NamedTuple):
    """One configuration minus another, in percent, with its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    one: Samples, other: Samples, resamples: int = 10_000, seed: int = 0
) -> dict[str, Difference]:
    """How far two configurations are apart on a test set, and how far they could be on another.

    Sessions are drawn with replacement, as many as there are, not samples: the prefixes of one
    session hang together. Both configurations are measured on the same draws. The interval runs
    from the 2.5th to the 97.5th percentile of the differences (Efron and Tibshirani, 1993).

    Args:
        one: Samples of the one configuration.
        other: Samples of the other, on the same test set.
        resamples: Number of draws of a test set. (default: 10,000)
        seed: Seed of the draws. (default: 0)

    Returns:
        The differences of ``"hr@20"`` and ``"mrr@20"``.

    Raises:
        ValueError: If the two were not measured on the same test set.
    """
    _require_same(one, other)
    columns = np.stack(
        [np.ones(len(one.hit)), one.hit - other.hit, one.reciprocal - other.reciprocal], axis=1
    )
    sums = np.add.reduceat(columns, one.starts())  # of every session: samples, differences
    totals = np.concatenate([times @ sums for times in draws(len(sums), resamples, seed)])
    low, high = np.percentile(100 * totals[:, 1:] / totals[:, :1], (2.5, 97.5), axis=0)
    mean = 100 * columns[:, 1:].mean(axis=0)
    return {
        name: Difference(float(mean[i]), float(low[i]), float(high[i]))
        for i, name in enumerate(("hr@20", "mrr@20"))
    }


def draws(sessions: int, resamples: int, seed: int = 0) -> Iterator[Floats]:
    """How often each draw takes each session, some draws at a time.

    Args:
        sessions: Sessions there are, and that are drawn each time.
        resamples: Number of draws.
        seed: Seed of the draws. (default: 0)

    Yields:
        Counts [R, sessions], each row's sum being ``sessions``; ``resamples`` rows in all.
    """
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWS // sessions)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = generator.integers(sessions, size=(count, sessions))
        drawn += sessions * np.arange(count)[:, None]  # a range of numbers for every draw
        counts = np.bincount(drawn.ravel(), minlength=count * sessions)
        yield counts.reshape(count, sessions).astype(np.float64)


def _require_same(one: Samples, other: Samples) -> None:
    for what in ("length", "repeat"):
        here, there = getattr(one, what), getattr(other, what)
        if here.shape != there.shape:
            raise ValueError(
                f"two test sets have {len(here):,} and {len(there):,} samples; "
                f"only results on the same one can be compared sample by sample"
            )
        if (apart := np.flatnonzero(here != there)).size:
            raise ValueError(
                f"two test sets differ in the {what} of {apart.size:,} samples, first of sample "
                f"{apart[0]:,}: {here[apart[0]]} and {there[apart[0]]}; "
                f"only results on the same one can be compared sample by sample"
            )
