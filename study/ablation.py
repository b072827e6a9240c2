"""An ablation: one ingredient of the default configuration is changed at a time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from pyg_srgnn.utils.extras import pip_install
from pyg_srgnn.utils.files import written_aside
from study.configurations import Configuration, read_configurations

log = logging.getLogger(__name__)


class Ablation:
    """The configurations of an ablation, measured on validation, beside the default.

    Args:
        folder: Runs in ``<label>/<seed>/``, one of the labels being ``default``.

    Raises:
        ValueError: If there is no default, or a run was not validated.
    """

    def __init__(self, folder: str | Path) -> None:
        every = {found.label: found for found in read_configurations(folder)}
        if "default" not in every:
            raise ValueError(f"{folder} holds no run of a label 'default' to compare with")
        for found in every.values():
            if not found.has("valid"):
                raise ValueError(f"{found.runs[0].folder} has no metrics of validation to compare")
        self.default = every.pop("default")
        self.dataset = self.default.dataset
        self.others = sorted(every.values(), key=lambda found: (-self.change(found), found.label))
        """All but the default, the greatest gain of HR@20 first."""

    def change(self, found: Configuration, metric: str = "hr@20") -> float:
        """The difference of a metric to the default, in percent points, over the seeds of both."""
        of_both = set(found.seeds) & set(self.default.seeds)
        if not of_both:
            raise ValueError(f"{found.runs[0].folder.parent} has no seed of {self.default.seeds}")
        means = [
            fmean(
                100 * (run.result.valid or {})[metric]
                for run in each.runs
                if run.result.seed in of_both
            )
            for each in (found, self.default)
        ]
        return means[0] - means[1]


def draw_ablations(ablations: Sequence[Ablation], titles: Sequence[str], path: Path) -> Path | None:
    """Draw the changes of HR@20 and MRR@20 as bars, a panel an ablation, 1,200 pixels wide.

    Args:
        ablations: Of several datasets; a label has one line in all panels.
        titles: Of the panels.
        path: The PNG file.

    Returns:
        Its path, or None where matplotlib is not installed (extra ``plots``) or there is nothing
        beside the defaults.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        log.warning("no %s without matplotlib: %s", path.name, pip_install("plots"))
        return None
    changes: dict[str, list[float]] = {}
    for part in ablations:
        for one in part.others:
            changes.setdefault(one.label, []).append(part.change(one))
    if not changes:
        return None
    labels = sorted(changes, key=lambda label: sum(changes[label]) / len(changes[label]))
    figure = Figure(figsize=(8, 1.2 + 0.36 * len(labels)), layout="constrained")
    panels = figure.subplots(1, len(ablations), sharey=True, squeeze=False)[0]
    for axes, part, title in zip(panels, ablations, titles, strict=True):
        for metric, shift, colour in (("HR@20", 0.19, "#3f76c4"), ("MRR@20", -0.19, "#d99a1c")):
            known = {one.label: part.change(one, metric.lower()) for one in part.others}
            places = [labels.index(label) + shift for label in known]  # the best one on top
            axes.barh(places, list(known.values()), 0.36, color=colour, label=metric)
        axes.axvline(0, color="#24292f", linewidth=0.8)
        axes.set(title=title, xlabel="change on validation, percent points")
        axes.set_yticks(range(len(labels)), [label.replace("_", " ") for label in labels])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=150, metadata={"Software": None})
    return path
