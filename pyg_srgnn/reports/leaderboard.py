"""The leaderboard of a directory of runs: a table, a CSV file and a page."""

from __future__ import annotations

import csv
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from pyg_srgnn.reports.html import Table, page
from pyg_srgnn.reports.ranking import Leaderboard
from pyg_srgnn.reports.svg import TEST, TRAINING, draw_svg, whole_numbers
from pyg_srgnn.utils.extras import pip_install
from pyg_srgnn.utils.files import write_text, written_aside
from pyg_srgnn.utils.terminal import Column, Styled, lines, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 30  # configurations that are drawn


def write_leaderboard(directory: str | Path, metric: str | None = None) -> Styled:
    """Write ``leaderboard.csv`` and ``leaderboard.html`` into a directory of runs.

    Runs are ranked by validation alone; their metrics on the test set are shown beside it.

    Args:
        directory: Of a sweep, or of runs at any depth.
        metric: The metric that ranks them, such as ``"mrr@20"``. (default: what they monitor)

    Returns:
        The configurations as a table of text, the failed jobs with their errors, and the path of
        the best run.

    Raises:
        ValueError: As :meth:`pyg_srgnn.reports.ranking.Leaderboard.read`.
    """
    root = Path(directory)
    board = Leaderboard.read(root, metric)
    with (
        written_aside(root / "leaderboard.csv") as aside,
        aside.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([board.columns, *board.rows()])
    write_text(root / "leaderboard.html", _page(root.resolve().name, board))
    found: list[str] = [_summary_table(board)]
    found += [board.note] * bool(board.note)
    found += [f"failed: {job.path}\n{indent(job.error, 4 * ' ')}" for job in board.failures]
    for dataset, path in board.best.items():
        found.append(f"Best run{f' on {dataset}' if len(board.best) > 1 else ''}: {path}")
    return lines(*found, f"Files: {root / 'leaderboard.csv'}, {root / 'leaderboard.html'}")


def _summary_table(board: Leaderboard) -> Styled:
    """One row per configuration; where there is no room, validation and what was swept stay."""
    names, rows = board.summary()
    keys = [Column(key.replace(".", ".\n"), "text") for key in names[1:-5]]
    # What ranks, two metrics on the test set, jobs and seconds.
    figures = [Column(name.replace(" ", "\n"), rank=rank) for rank, name in enumerate(names[-5:])]
    figures[3] = figures[3]._replace(kind="label")
    return table([Column("", "label"), *keys, *figures], rows, elsewhere="leaderboard.csv")


def _page(title: str, board: Leaderboard) -> str:
    columns, rows = board.summary()
    failed = [[job.path, job.error] for job in board.failures]
    figures = _figures(board)
    notes = [board.note] if board.note else []
    if figures is None:
        notes.append(f"No plots without matplotlib: {pip_install('plots')}")
    return page(
        f"Leaderboard: {title}",
        [
            Table(
                f"Configurations, ranked by {board.metric} on validation (percent, mean ± "
                f"standard deviation over the finished seeds)",
                columns,
                rows,
            ),
            Table("Best run", ["dataset", "path"], [list(run) for run in board.best.items()]),
            Table("Jobs that failed", ["run", "error"], failed),
        ],
        figures or {},
        [Table("Every job", board.columns, board.rows())],
        " ".join(notes),
    )


def _figures(board: Leaderboard) -> dict[str, str] | None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return None
    spread = [
        (rank, job.valid(board.metric), job.status)
        for rank, group in board.ranked[:_MOST]
        for job in group.jobs
        if job.valid(board.metric) is not None
    ]
    key = f"valid/{board.metric}"
    curves = [
        ([(row["epoch"], 100 * row[key]) for row in job.epochs if key in row], job.status, rank)
        for rank, group in board.ranked
        for job in group.jobs
    ]
    curves = [curve for curve in curves if curve[0]]
    figures = {}
    if spread:
        caption = "Every job by the rank of its configuration; crosses: not run to its end"
        rows = len({rank for rank, _, _ in spread})
        figures[caption] = draw_svg(0.8 + 0.22 * rows, _spread, (board.metric, spread))
    if curves:
        caption = "Validation over the epochs; the best configuration stands out"
        figures[caption] = draw_svg(3, _curves, (board.metric, curves))
    return figures


def _spread(axes: Axes, data: tuple[str, list[tuple[int, float, str]]]) -> None:
    metric, points = data
    for marker, ended in (("o", True), ("x", False)):
        some = [(value, rank) for rank, value, status in points if (status == "finished") is ended]
        if some:
            values, ranks = zip(*some, strict=True)
            axes.plot(values, ranks, marker, color=TRAINING, ms=4, alpha=0.8)
    axes.set(xlabel=f"{metric} on validation, percent", ylabel="rank")
    axes.set_yticks(sorted({rank for rank, _, _ in points}))
    axes.invert_yaxis()
    axes.grid(axis="x")


def _curves(axes: Axes, data: tuple[str, list[tuple[list[tuple[float, float]], str, int]]]) -> None:
    metric, curves = data
    for points, status, rank in reversed(curves):
        best = rank == 1
        axes.plot(
            *zip(*points, strict=True),
            color=TEST if best else TRAINING,
            alpha=1 if best else 0.45,
            lw=1.6 if best else 0.9,
            ls="-" if status in ("finished", "unfinished") else ":",
            marker="." if len(points) == 1 else None,
        )
    axes.set(xlabel="epoch", ylabel=f"{metric} on validation, %")
    axes.xaxis.set_major_locator(whole_numbers(9))
    axes.grid(axis="y")
