"""The learning curve of a run."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

from pyg_srgnn.functional.metrics import MAIN, title
from pyg_srgnn.utils.extras import pip_install
from pyg_srgnn.utils.files import written_aside

log = logging.getLogger(__name__)


def plot_epochs(run_dir: Path) -> Path | None:
    """Draw the loss, HR@20 and MRR@20 over the epochs of ``epochs.csv`` into ``epochs.png``.

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
        panels += [(f"{title(name)}, %", name, 100) for name in MAIN]
    figure = Figure(figsize=(3 * len(panels), 3), layout="constrained")
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (above, key, scale) in zip(every, panels, strict=True):
        column = key if key in rows[0] else f"{part}/{key}"
        known = [(epoch, row[column]) for epoch, row in zip(epochs, rows, strict=True)]
        known = [(epoch, value) for epoch, value in known if value]  # some epochs may lack it
        axes.plot([epoch for epoch, _ in known], [scale * float(v) for _, v in known], marker="o")
        axes.set(xlabel="epoch", title=above if scale == 1 else f"{above} ({part})")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    path = run_dir / "epochs.png"
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=150)
    return path
