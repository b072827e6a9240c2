"""A test set's samples, and what the runs of a configuration make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pyg_srgnn.evaluation.rank_table import ranks_of

K = 20
_IDENTITY = ("row", "session", "prefix", "repeat")  # alike whatever a model was trained on

Floats = NDArray[np.float64]


class Samples(NamedTuple):
    """A test set's samples in its order, and what the runs of a configuration make of them."""

    rows: pl.DataFrame
    """Their columns of ``ranks.parquet``; see :mod:`pyg_srgnn.evaluation.rank_table`."""
    hit: Floats
    """Share of the runs whose first 20 items hold the target [n]."""
    reciprocal: Floats
    """Mean over the runs of 1 / rank where it is at most 20, else 0 [n]."""

    @classmethod
    def average(cls, tables: Sequence[pl.DataFrame], baseline: str | None = None) -> Samples:
        """Average over runs on the same test set.

        Args:
            tables: What :func:`pyg_srgnn.evaluation.rank_table.read_ranks` gives of each run.
            baseline: Take the ranks of this baseline of the runs. (default: those of the model)

        Raises:
            ValueError: If there is none, the test sets are different ones, or a run has no ranks of
                the baseline.
        """
        if not tables:
            raise ValueError("Samples: there is no run to average")
        every = []
        for table in tables:
            ranks = ranks_of(table, baseline).to_numpy()
            hit = (ranks <= K).astype(np.float64)
            every.append(cls(table.select(pl.exclude("^rank.*$")), hit, hit / ranks))
        for samples in every[1:]:
            require_same(every[0], samples)
        hit, reciprocal = (
            np.mean([samples[column] for samples in every], axis=0) for column in (1, 2)
        )
        return cls(every[0].rows, hit, reciprocal)

    def starts(self) -> NDArray[np.int64]:
        """Number of every session's first sample [S]."""
        return np.flatnonzero(np.diff(self.rows["session"].to_numpy(), prepend=-1))


def require_same(one: Samples, other: Samples) -> None:
    """Hold two test sets against one another.

    Raises:
        ValueError: If they are different ones; names the first sample that differs.
    """
    if len(one.rows) != len(other.rows):
        raise ValueError(
            f"two test sets have {len(one.rows):,} and {len(other.rows):,} samples; "
            f"only results on the same one can be compared sample by sample"
        )
    for what in _IDENTITY:
        here, there = one.rows[what].to_numpy(), other.rows[what].to_numpy()
        if (apart := np.flatnonzero(here != there)).size:
            raise ValueError(
                f"two test sets differ in the {what} of {apart.size:,} samples, first of sample "
                f"{apart[0]:,}: {here[apart[0]]} and {there[apart[0]]}; "
                f"only results on the same one can be compared sample by sample"
            )
