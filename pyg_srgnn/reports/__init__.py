"""From a run's files to what people look at."""

from pyg_srgnn.reports.epochs import plot_epochs
from pyg_srgnn.reports.preparation import preparation_table, write_report
from pyg_srgnn.reports.slices import write_slices
from pyg_srgnn.reports.table import metrics_table, run_summary

__all__ = [
    "metrics_table",
    "plot_epochs",
    "preparation_table",
    "run_summary",
    "write_report",
    "write_slices",
]
