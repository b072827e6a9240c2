"""The ranking metrics: one line each in :data:`METRICS`, which everything that names one reads.

Nothing here imports torch, so that commands may list the names at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

TIES = ("conservative", "median", "standard")
"""Rules for items that tie with the target; see :mod:`pyg_srgnn.evaluation.metrics`."""
KS = (5, 10, 20)
"""Cut-offs: how many of the best items count."""
K = 20
"""The cut-off where there is room for one."""


def hit_rate(ranks: Any, k: int) -> Any:
    """1 where the target is among the k best, else 0; float64 [B]. The papers' "P@k".

    Args:
        ranks: Ranks of the targets, 1 for the best [B]; a tensor or an array, as the values are.
        k: The cut-off.

    Example:
        >>> hit_rate(torch.tensor([1, 20, 21]), k=20).tolist()
        [1.0, 1.0, 0.0]
    """
    return _float64(ranks <= k)


def reciprocal_rank(ranks: Any, k: int) -> Any:
    """1 / rank where the target is among the k best, else 0; float64 [B]."""
    return hit_rate(ranks, k) / ranks


def ndcg(ranks: Any, k: int) -> Any:
    """1 / log2(1 + rank) where the target is among the k best, else 0; float64 [B]."""
    return hit_rate(ranks, k) / _log2(1.0 + _float64(ranks))


class RankingMetric(NamedTuple):
    """A metric, whose names are ``name@k``."""

    title: str
    """Its name in tables for people."""
    value: Callable[[Any, int], Any] | None = None
    """Value of every row from ranks [B] and k, whose mean is the metric; None of a metric that
    :class:`~pyg_srgnn.evaluation.metrics.RankingMetrics` itself counts in another way."""
    columns: Sequence[int] = KS
    """The cut-offs that tables show."""
    monitored: bool = True
    """Whether ``monitor`` may name it."""


METRICS: dict[str, RankingMetric] = {
    "hr": RankingMetric("HR", hit_rate),
    "mrr": RankingMetric("MRR", reciprocal_rank),
    "ndcg": RankingMetric("NDCG", ndcg, columns=(20,)),
    "coverage": RankingMetric("coverage", columns=(20,)),
}
"""The metrics at every cut-off by their names; beside them there is ``tied``, a share."""


class BeyondMetric(NamedTuple):
    """A metric of the recommended lists, whose names are ``name@k``, too."""

    title: str
    percent: bool = True
    """Whether tables show it in percent; else as it is."""


BEYOND: dict[str, BeyondMetric] = {
    "novelty": BeyondMetric("novelty (bits)", percent=False),
    "diversity": BeyondMetric("diversity"),
    "gini": BeyondMetric("Gini"),
    "long_tail": BeyondMetric("long tail"),
    "popularity_bias": BeyondMetric("popularity bias"),
    "serendipity": BeyondMetric("serendipity"),
}
"""The metrics beyond accuracy, computed where the key ``metrics`` names them; their definitions are
in :class:`pyg_srgnn.evaluation.beyond.BeyondMetrics`."""
WEIGHTED_RECALL = "weighted_recall"
RECALL = "recall_{}"
"""Names of the metrics of :func:`pyg_srgnn.evaluation.weighted_recall.weighted_recall`."""


class RecallWeights(NamedTuple):
    """Which weighted recall a dataset's own metric is.

    Args:
        weights: The weight of each type of clicks, such as ``{"clicks": 0.1, "orders": 0.9}``.
        following: The type of which only the next click counts, not all that follow.
    """

    weights: Mapping[str, float]
    following: str


MAIN = (f"hr@{K}", f"mrr@{K}")
"""The metrics of slices, comparisons and learning curves."""
TIE_BREAKER = MAIN[1]
"""What decides where epochs or runs have the same monitored metric."""


def monitored() -> list[str]:
    """Names of the metrics that may choose an epoch."""
    return [f"{name}@{k}" for name, metric in METRICS.items() if metric.monitored for k in KS]


def columns() -> list[str]:
    """Names of the metrics that tables show, in their order."""
    return [f"{name}@{k}" for name, metric in METRICS.items() for k in metric.columns]


def beyond(found: Iterable[str]) -> list[str]:
    """Names of the metrics beyond accuracy among some, at the one cut-off that tables show."""
    known = set(found)
    return [f"{name}@{K}" for name in BEYOND if f"{name}@{K}" in known]


def figure(name: str, value: float) -> str:
    """A metric's value as tables show it: percent, or what the metric's title says."""
    metric = BEYOND.get(name.partition("@")[0])
    return f"{value if metric is not None and not metric.percent else 100 * value:.2f}"


def by_importance(names: Iterable[str]) -> list[str]:
    """Names of metrics, those first that a narrow table keeps."""
    main = {name.partition("@")[0] for name in MAIN}

    def place(name: str) -> tuple[bool, int]:
        metric, _, k = name.partition("@")
        return metric not in main, -int(k)

    return sorted(names, key=place)


def title(name: str) -> str:
    """A metric's name for people: ``"HR@20"`` of ``"hr@20"``."""
    metric, at, k = name.partition("@")
    known = METRICS.get(metric) or BEYOND.get(metric)
    if known is None:
        return name
    words, blank, unit = known.title.partition(" (")
    return words + at + k + blank + unit


def _float64(values: Any) -> Any:
    return values.double() if hasattr(values, "double") else values.astype("float64")


def _log2(values: Any) -> Any:
    if hasattr(values, "log2"):
        return values.log2()
    import numpy as np

    return np.log2(values)
