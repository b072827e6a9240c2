"""The epochs of a run: their rows, and the learning curve."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from pathlib import Path

from pyg_srgnn.data.files import written_aside
from pyg_srgnn.extras import pip_install

log = logging.getLogger(__name__)


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


def plot_epochs(run_dir: Path) -> Path | None:
    """Draw loss, HR@20 and MRR@20 over the epochs of ``epochs.csv`` into ``epochs.png``.

    A run without validation, ``refit=only``, has ``refit.csv`` instead, and no metrics to draw.

    Returns:
        The picture's path, or None where matplotlib is not installed (extra ``plots``).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        log.info("no learning curve without matplotlib: %s", pip_install("plots"))
        return None
    source = run_dir / "epochs.csv"
    with (source if source.is_file() else run_dir / "refit.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    part = next((key.split("/")[0] for key in rows[0] if "/" in key), None)
    panels = [("training loss", "loss", 1)]
    if part:
        panels += [("HR@20, %", "hr@20", 100), ("MRR@20, %", "mrr@20", 100)]
    figure = Figure(figsize=(3 * len(panels), 3), layout="constrained")
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, key, scale) in zip(every, panels, strict=True):
        column = key if key in rows[0] else f"{part}/{key}"
        known = [(epoch, row[column]) for epoch, row in zip(epochs, rows, strict=True)]
        known = [(epoch, value) for epoch, value in known if value]  # some epochs may lack it
        axes.plot([epoch for epoch, _ in known], [scale * float(v) for _, v in known], marker="o")
        axes.set(xlabel="epoch", title=title if scale == 1 else f"{title} ({part})")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    path = run_dir / "epochs.png"
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=150)
    return path
