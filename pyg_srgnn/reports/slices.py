"""Tables and pictures of the slices of a test set."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from pathlib import Path

from pyg_srgnn.evaluation.rank_table import OF_ITEM, baselines_of, read_ranks
from pyg_srgnn.evaluation.samples import Samples
from pyg_srgnn.evaluation.slices import UNSEEN, Slice, slices
from pyg_srgnn.functional.metrics import MAIN, title
from pyg_srgnn.utils.extras import pip_install
from pyg_srgnn.utils.files import written_aside
from pyg_srgnn.utils.terminal import Column, Styled, lines, styled, table

log = logging.getLogger(__name__)

_TITLES = {
    "prefix": "clicks before the target",
    "target": "target among them",
    "event": "target's type",
    "clicks": "target's clicks in training",
    "decile": "target's popularity decile",
    "day": "day of the test",
}
_APART = {"target", "event", "clicks"}  # kinds whose slices have no order: no line joins them


def write_slices(directory: Path, model: str) -> Styled | None:
    """Write ``slices.csv`` and ``slices.png`` from a directory's ``ranks.parquet``.

    The table has one line per slice and scorer, figures in percent. The picture is left out where
    matplotlib is missing (extra ``plots``).

    Args:
        directory: Of a run, or of an evaluation.
        model: What to call the model beside its baselines.

    Returns:
        The slices as a text table, without the days; None where there are no ranks.

    Raises:
        ValueError: If ``ranks.parquet`` is damaged.
    """
    source = directory / "ranks.parquet"
    if not source.is_file():
        return None
    table = read_ranks(source)
    every = {model: slices(Samples.average([table]))}
    every |= {name: slices(Samples.average([table], name)) for name in baselines_of(table)}
    with (
        written_aside(directory / "slices.csv") as aside,
        aside.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["slice", "value", "scorer", "samples", "share", *MAIN])
        for parts in zip(*every.values(), strict=True):
            for scorer, part in zip(every, parts, strict=True):
                figures = (f"{v:.4f}" if part.samples else "" for v in part.metrics.values())
                share = f"{part.share:.4f}"
                writer.writerow([part.kind, part.name, scorer, part.samples, share, *figures])
    draw_slices(every, directory / "slices.png")
    return slice_table(every)


def slice_table(every: Mapping[str, list[Slice]]) -> Styled:
    """HR@20 / MRR@20 of each scorer, one line per slice; the days, which may be many, stay out.

    Args:
        every: The slices of each scorer; where there is no room, the first one stays, and of the
            others the last ones.
    """
    rows = [
        [f"{parts[0].kind.removeprefix(OF_ITEM)} {parts[0].name}", f"{parts[0].share:.1f}"]
        + [" / ".join(f"{value:.2f}" for value in part.metrics.values()) for part in parts]
        for parts in zip(*every.values(), strict=True)
        if parts[0].kind != "day" and parts[0].samples
    ]
    first, *others = every
    scorers = [Column(name, rank=len(every) - i) for i, name in enumerate(others)]
    columns = [Column("", "label"), Column("share"), Column(first), *scorers]
    shown = table(columns, rows, elsewhere="slices.csv")
    days = sum(part.kind == "day" for part in every[first])
    by_day = f"by day of the test, {days} in all: slices.csv"
    return lines(
        styled(f"{' / '.join(map(title, MAIN))}, percent", "bold"),
        shown,
        by_day if days else "no slices by day: this dataset keeps no times",
    )


def draw_slices(every: Mapping[str, list[Slice]], path: Path) -> Path | None:
    """Draw HR@20 and MRR@20 over the slices, one line per scorer.

    Each kind of slice is a column of panels.

    Args:
        every: The slices of each scorer; the first one is drawn boldly.
        path: The PNG file.

    Returns:
        Its path, or None where matplotlib is not installed (extra ``plots``).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        log.info("no %s without matplotlib: %s", path.name, pip_install("plots"))
        return None
    kinds = list(dict.fromkeys(part.kind for part in next(iter(every.values()))))
    figure = Figure(figsize=(3.6 * len(kinds), 6), layout="constrained")
    panels = figure.subplots(len(MAIN), len(kinds), squeeze=False)
    for row, metric in zip(panels, MAIN, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            names = [part.name for part in next(iter(every.values())) if part.kind == kind]
            for number, (scorer, parts) in enumerate(every.items()):
                axes.plot(
                    [part.metrics[metric] for part in parts if part.kind == kind],
                    marker="o",
                    markersize=3,
                    linestyle="" if kind in _APART or kind.startswith(OF_ITEM) else "-",
                    linewidth=1 if number else 2.5,
                    color=None if number else "#24292f",
                    zorder=2 if number else 3,
                    label=scorer,
                )
            step = -(-len(names) // 3) if kind == "day" else 1
            labels = [name.replace(UNSEEN, "un-\nseen") for name in names[::step]]
            turned = 90 if kind.startswith(OF_ITEM) else 0
            ticks = range(0, len(names), step)
            # A dollar of somebody's data does not begin a formula.
            style = {"fontsize": "small", "rotation": turned, "parse_math": False}
            axes.set_xticks(ticks, labels, **style)
            axes.set_xlim(-0.5, len(names) - 0.5)
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
            if metric == MAIN[-1]:
                label = _TITLES.get(kind, f"target's {kind.removeprefix(OF_ITEM)}")
                axes.set_xlabel(label, parse_math=False)
        row[0].set_ylabel(f"{title(metric)}, percent")
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=120, metadata={"Software": None})
    return path
