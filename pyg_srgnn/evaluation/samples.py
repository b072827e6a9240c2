"""The samples of a test set with their metrics, averaged over the runs of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pyg_srgnn.evaluation.rank_table import OF_ITEM, categories_of, ranks_of
from pyg_srgnn.functional.metrics import MAIN, METRICS
from pyg_srgnn.functional.targets import GROUPS

_IDENTITY = ("row", "session", "prefix", "repeat")  # the same for every model

Floats = NDArray[np.float64]


class Samples(NamedTuple):
    """The samples of a test set in its order, with their metrics averaged over runs."""

    rows: pl.DataFrame
    """Their columns of ``ranks.parquet``; see :mod:`pyg_srgnn.evaluation.rank_table`."""
    values: dict[str, Floats]
    """Each metric of :data:`~pyg_srgnn.functional.metrics.MAIN`, ``"hr@20"`` and ``"mrr@20"``: the
    mean of a sample's value over the runs [n]."""

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
        rows = [table.select(pl.exclude("^rank.*$")) for table in tables]
        for other in rows[1:]:
            require_same(rows[0], other)
        ranks = [ranks_of(table, baseline).to_numpy() for table in tables]
        values = {name: np.mean([_values(name, of) for of in ranks], axis=0) for name in MAIN}
        return cls(rows[0], values)

    def starts(self) -> NDArray[np.int64]:
        """Number of every session's first sample [S]."""
        return np.flatnonzero(np.diff(self.rows["session"].to_numpy(), prepend=-1))

    def groups(self) -> dict[str, NDArray[np.bool_]]:
        """Which samples have a warm, rare or cold target, bool [n].

        Empty where an earlier version wrote the ranks, which lack the targets' clicks.
        """
        if "clicks" not in self.rows.columns:
            return {}
        clicks = self.rows["clicks"].to_numpy()
        return {name: group(clicks) for name, group in GROUPS.items()}

    def of_category(self, column: str, value: str) -> NDArray[np.bool_]:
        """Which samples have a target with a value in a column of categories, bool [n].

        Raises:
            ValueError: If no target has it, or the ranks hold no such column; names those that they
                hold.
        """
        known = categories_of(self.rows)
        if column not in known:
            there = ", ".join(known) or "none"
            raise ValueError(f"there is no column of categories {column!r}; there are {there}")
        found = self.rows[OF_ITEM + column].eq_missing(value).to_numpy()
        if not found.any():
            raise ValueError(f"the test set has no target with {column}={value}")
        return found

    def where(self, mask: NDArray[np.bool_]) -> Samples:
        """Some of the samples: those where a mask [n] is true."""
        return Samples(self.rows.filter(mask), {k: of[mask] for k, of in self.values.items()})


def _values(name: str, ranks: NDArray[np.number]) -> Floats:
    """A metric's value of every sample, such as ``"hr@20"`` [n]."""
    metric, _, k = name.partition("@")
    value = METRICS[metric].value
    assert value is not None
    result: Floats = value(ranks, int(k))
    return result


def require_same(one: pl.DataFrame, other: pl.DataFrame) -> None:
    """Compare the rows of two test sets.

    Args:
        one: :attr:`Samples.rows` of the one.
        other: Those of the other.

    Raises:
        ValueError: If they are different ones; names the first sample that differs.
    """
    if len(one) != len(other):
        raise ValueError(
            f"two test sets have {len(one):,} and {len(other):,} samples; "
            f"only results on the same one can be compared sample by sample"
        )
    for column in _IDENTITY:
        here, there = one[column].to_numpy(), other[column].to_numpy()
        if (apart := np.flatnonzero(here != there)).size:
            raise ValueError(
                f"two test sets differ in the {column} of {apart.size:,} samples, first of sample "
                f"{apart[0]:,}: {here[apart[0]]} and {there[apart[0]]}; "
                f"only results on the same one can be compared sample by sample"
            )
