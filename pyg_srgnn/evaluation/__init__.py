"""Ranking metrics, the evaluation of models and baselines, and the analysis of their ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyg_srgnn.utils.imports import lazy

if TYPE_CHECKING:
    from pyg_srgnn.evaluation.beyond import BeyondMetrics
    from pyg_srgnn.evaluation.loop import assert_row_independent, evaluate, evaluate_rows
    from pyg_srgnn.evaluation.metrics import RankingMetrics, ranks
    from pyg_srgnn.evaluation.targets import TargetMetrics

__all__ = [
    "BeyondMetrics",
    "RankingMetrics",
    "TargetMetrics",
    "assert_row_independent",
    "evaluate",
    "evaluate_rows",
    "ranks",
]

# Slices and significance need no torch.
__getattr__, __dir__ = lazy(
    __name__,
    {
        "BeyondMetrics": "beyond",
        "RankingMetrics": "metrics",
        "TargetMetrics": "targets",
        "assert_row_independent": "loop",
        "evaluate": "loop",
        "evaluate_rows": "loop",
        "ranks": "metrics",
    },
)
