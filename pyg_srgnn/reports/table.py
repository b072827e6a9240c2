"""Tables of metrics: percent with two decimals, baselines beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyg_srgnn.functional.metrics import (
    MAIN,
    beyond,
    by_importance,
    columns,
    figure,
)
from pyg_srgnn.functional.metrics import (
    title as title_of,
)
from pyg_srgnn.reports.categories import category_table
from pyg_srgnn.reports.recall import recall_table
from pyg_srgnn.reports.targets import target_table
from pyg_srgnn.runs.result import METRICS_FILE, OPTIMUM, RunResult
from pyg_srgnn.utils.terminal import Column, Styled, lines, styled, table

_OPTIMUM = "optimum (exact)"

LITERATURE = (
    "protocol=literature: the best test epoch of each metric by itself. These numbers were\n"
    "chosen on the test set; do not compare them with those of protocol=honest."
)


LAST = "leave-last-out: each session's last click alone is a target"
_LABELS = {"last": LAST}


def metrics_table(
    title: str,
    rows: Mapping[str, Mapping[str, float]],
    monitor: str = MAIN[0],
    elsewhere: str = METRICS_FILE,
) -> Styled:
    """A line of metrics for every scorer, in as many columns as the terminal has room for.

    Args:
        title: First line.
        rows: Metrics of each scorer as fractions; a missing one leaves its cell empty. The first
            scorer is bold.
        monitor: The metric that chose the epoch, which is shown in any case. (default: the first of
            :data:`~pyg_srgnn.functional.metrics.MAIN`, which always is)
        elsewhere: The file that holds every metric. (default: ``"metrics.json"``)
    """
    asked = beyond(name for row in rows.values() for name in row)
    names = list(dict.fromkeys((*columns(), monitor)))
    going = [name for name in by_importance(names) if name not in {*MAIN, monitor}]
    shown = [
        Column(name, rank=1 + len(asked) + going.index(name) if name in going else 0)
        for name in names
    ]
    # Those that were asked for, in lines that keep them narrow; they go after the others.
    shown += [
        Column(title_of(name).replace(" ", "\n"), rank=1 + place)
        for place, name in enumerate(asked)
    ]
    cells = [
        [name, *(figure(key, row[key]) if key in row else "" for key in [*names, *asked])]
        for name, row in rows.items()
    ]
    parts: list[str] = [
        styled(title, "bold"),
        table([Column("", "label"), *shown], cells, [0], elsewhere),
    ]
    tied = [f"{name} {100 * row['tied']:.2f}" for name, row in rows.items() if row.get("tied")]
    if tied:
        parts.append(f"targets that tie with another item, percent: {', '.join(tied)}")
    return lines(*parts)


def result_tables(result: RunResult, part: str, monitor: str = MAIN[0]) -> list[str]:
    """The tables of a run: all metrics, and those over parts of the targets.

    These are warm, rare and cold ones, if they differ, and the categories, if they are known.

    Args:
        result: The run's result.
        part: ``"valid"`` or ``"test"``.
        monitor: As in :func:`metrics_table`.
    """
    rows = {result.model: getattr(result, part) or {}}
    rows |= {name: of[part] for name, of in result.baselines.items() if part in of}
    if result.optimum is not None and part in result.optimum:
        rows[_OPTIMUM] = result.optimum[part]
    tables: list[str] = [metrics_table(f"{_what(result, part)}, percent", rows, monitor)]
    targets = dict(result.targets or {}) if part == "test" else {}
    if OPTIMUM in targets:
        targets[_OPTIMUM] = targets.pop(OPTIMUM)
    by_target = target_table(rows, targets, always="text" in (result.data or {}))
    of_category = result.categories if part == "test" else None
    by_category = None if of_category is None else category_table(of_category)
    return [*tables, *filter(None, [by_target, recall_table(rows), by_category])]


def _what(result: RunResult, part: str) -> str:
    """What was evaluated: ``"synthetic, test"``, and what else tells it from other tables."""
    words = [result.dataset, part]
    if (of := result.window) is not None:
        words.append(f"window {of['number'] + 1} of {of['windows']}")
        words.append(f"{of['from'][:10]} to {of['to'][:10]}")
    if result.positions is not None:
        words.append(_LABELS[result.positions])
    return ", ".join(words)


def made_of(result: RunResult, whole: bool = True) -> list[str]:
    """Lines about the other runs that a run is made of; none of most runs.

    Args:
        result: The run's result.
        whole: Whether these are named by their whole paths, or by their folders alone. (default:
            True)
    """

    def name(run: str) -> str:
        return run if whole else Path(run).name

    found = []
    if (taught := result.distil) is not None:
        found.append(
            f"Distilled: a single model, trained towards {name(taught['run'])} "
            f"(model={taught['model']}), {taught['weight']:.0%} of the loss."
        )
    if result.members is not None:
        of_weights = "equal weights" if result.refit == "only" else "weights fitted on validation"
        found.append(f"A mixture, with {of_weights}:")
        found += [
            f"- {name(run)} (model={of['model']}): {of['new_weight']:.2f} of the new items, "
            f"{of['own_weight']:.2f} of the session's own, {of['gate_weight']:.2f} of the choice "
            f"between them; temperature {of['temperature']:g}"
            for run, of in result.members.items()
        ]
    return found


def run_summary(result: RunResult, monitor: str) -> Styled:
    """The tables and the circumstances of a run.

    Args:
        result: The run's result.
        monitor: As in :func:`metrics_table`.
    """
    first, *more = result_tables(result, "valid" if result.test is None else "test", monitor)
    parts = [first]
    for other in more:
        parts += ["", other, ""]
    if result.epochs:
        refit = " (refit)" if result.refit else ""
        parts.append(
            f"seed {result.seed}, best epoch {result.best_epoch} of {result.epochs}"
            f"{refit}, {result.samples_per_second:,.0f} samples/s, "
            f"{result.train_seconds:.0f} s of training"
        )
    parts += made_of(result)
    if result.protocol == "literature":
        parts.append(LITERATURE)
    return lines(*parts)
