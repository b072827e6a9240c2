"""The epochs of a run: reads their metrics and compares them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from pyg_srgnn.functional.metrics import TIE_BREAKER


def merit(row: Mapping[str, float], key: str) -> tuple[float, float]:
    """The key by which epochs are compared: the monitored metric, then MRR.

    In a small catalogue the hit rates of all epochs are equal.

    Args:
        row: The metrics of the epoch, such as ``{"valid/hr@20": 1.0, …}``.
        key: The monitored one of them.
    """
    return row[key], row[f"{key.partition('/')[0]}/{TIE_BREAKER}"]


def read_epochs(path: Path) -> list[dict[str, float]]:
    """Read the rows of ``epochs.csv`` or ``refit.csv``; empty cells are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(v) for key, v in row.items() if v} for row in csv.DictReader(file)]
