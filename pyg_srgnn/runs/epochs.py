"""The epochs of a run: their rows, and which of them is the best."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

TIE_BREAKER = "mrr@20"


def merit(row: Mapping[str, float], key: str) -> tuple[float, float]:
    """What an epoch is chosen by: the monitored metric, and MRR where epochs tie.

    In a small catalogue a hit among 20 items is no feat, and every epoch has it.

    Args:
        row: The metrics of the epoch, such as ``{"valid/hr@20": 1.0, …}``.
        key: The monitored one of them.
    """
    return row[key], row[f"{key.partition('/')[0]}/{TIE_BREAKER}"]


def read_epochs(path: Path) -> list[dict[str, float]]:
    """The rows of ``epochs.csv`` or ``refit.csv``; what an epoch lacks is not in its row."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(v) for key, v in row.items() if v} for row in csv.DictReader(file)]
