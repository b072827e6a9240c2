"""Tables, pages and plots of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyg_srgnn.utils.imports import lazy

if TYPE_CHECKING:
    from pyg_srgnn.reports.epochs import plot_epochs
    from pyg_srgnn.reports.preparation import preparation_table, write_report
    from pyg_srgnn.reports.recall import recall_table
    from pyg_srgnn.reports.slices import write_slices
    from pyg_srgnn.reports.table import metrics_table, run_summary
    from pyg_srgnn.reports.targets import target_table

__all__ = [
    "metrics_table",
    "plot_epochs",
    "preparation_table",
    "recall_table",
    "run_summary",
    "target_table",
    "write_report",
    "write_slices",
]

# A leaderboard needs none of the numbers' packages.
__getattr__, __dir__ = lazy(
    __name__,
    {
        "metrics_table": "table",
        "plot_epochs": "epochs",
        "preparation_table": "preparation",
        "recall_table": "recall",
        "run_summary": "table",
        "target_table": "targets",
        "write_report": "preparation",
        "write_slices": "slices",
    },
)
