"""The report of a rolling evaluation: every window, their mean and trend, and how a model ages."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pyg_srgnn.functional.metrics import MAIN, title
from pyg_srgnn.reports.table import LAST
from pyg_srgnn.runs.directory import read_config
from pyg_srgnn.runs.finished import FREE, Stat
from pyg_srgnn.runs.result import RunResult
from pyg_srgnn.runs.rolling import AGED, WINDOW, windows_of
from pyg_srgnn.utils.extras import pip_install
from pyg_srgnn.utils.files import written_aside
from pyg_srgnn.utils.terminal import Column, Styled, lines, styled, table

log = logging.getLogger(__name__)

_RETRAINED, _AGED = "retrained", "first model"
_FILE, _PICTURE = "rolling.csv", "rolling.png"

Scores = dict[str, float]  # metrics as fractions, such as {"hr@20": 0.5}


class Trend(NamedTuple):
    """A straight line through a metric's values over the windows."""

    slope: float
    """Change from a window to the next."""
    error: float | None
    """Standard error of the slope; None of fewer than three windows."""

    @classmethod
    def of(cls, windows: Sequence[int], values: Sequence[float]) -> Trend | None:
        """Least squares; None of fewer than two windows."""
        if len(windows) < 2:
            return None
        x = np.array(windows, dtype=np.float64) - np.mean(windows)
        y = np.array(values, dtype=np.float64) - np.mean(values)
        slope = float(x @ y / (x @ x))
        if len(windows) < 3:
            return cls(slope, None)
        rest = y - slope * x
        return cls(slope, float(np.sqrt(rest @ rest / (len(windows) - 2) / (x @ x))))


class Rolling(NamedTuple):
    """A configuration over the windows; metrics are means over its seeds."""

    keys: dict[str, str]
    """The keys in which it differs from the others."""
    seeds: int
    results: dict[int, RunResult]
    """A run of each window, for what all seeds have in common."""
    scores: dict[str, dict[int, Scores]]
    """Metrics of each window: of each model that was trained before the window, by its name, and of
    the first window's, which was not trained again."""
    model: str
    counts: dict[str, dict[int, int]]
    """How many seeds the metrics of each window are the means of; as ``scores``."""

    @property
    def complete(self) -> list[int]:
        """The windows that every seed has been tested on, with every series that is shown."""
        names = [name for name in (self.model, _AGED) if self.scores.get(name)]
        of = [self.counts[name] for name in names]
        return [n for n in self.results if all(counts.get(n) == self.seeds for counts in of)]

    @property
    def shown(self) -> dict[str, dict[int, Scores]]:
        """The scores of the model, trained again for every window and not."""
        names = {self.model: _RETRAINED, _AGED: _AGED}
        return {names[name]: self.scores[name] for name in names if self.scores.get(name)}


def read_rolling(directory: str | Path) -> list[Rolling]:
    """The configurations of a rolling evaluation.

    Raises:
        ValueError: If none of its windows has been tested.
    """
    groups: dict[str, list[dict[int, Path]]] = {}
    configs: dict[str, dict[str, Any]] = {}
    for windows in windows_of(Path(directory)):
        config = read_config(next(iter(windows.values())))
        config = {key: value for key, value in config.items() if key not in {*FREE, WINDOW}}
        alike = repr(sorted(config.items()))
        groups.setdefault(alike, []).append(windows)
        configs[alike] = config
    every = {key: None for config in configs.values() for key in config}
    differ = [key for key in every if len({repr(of.get(key)) for of in configs.values()}) > 1]
    found = []
    for alike, seeds in groups.items():
        keys = {key: str(configs[alike].get(key)) for key in differ}
        rolling = _rolling(keys, seeds)
        if rolling.results:
            found.append(rolling)
    if not found:
        raise ValueError(f"{directory}: no window of a rolling evaluation has been tested")
    return found


def _rolling(keys: dict[str, str], seeds: Sequence[Mapping[int, Path]]) -> Rolling:
    """One configuration of its runs by window, a mapping for each seed."""
    results: dict[int, RunResult] = {}
    scores: dict[str, dict[int, list[Scores]]] = {}
    model = ""
    for number, folder in sorted(pair for windows in seeds for pair in windows.items()):
        result = RunResult.read(folder)
        if result.test is None:
            continue
        model = result.model
        results.setdefault(number, result)
        of_run = {model: result.test} | {n: of["test"] for n, of in result.baselines.items()}
        if (folder / AGED).is_file():
            of_run[_AGED] = json.loads((folder / AGED).read_text(encoding="utf-8"))["test"]
        for name, metrics in of_run.items():
            scores.setdefault(name, {}).setdefault(number, []).append(metrics)
    if _AGED in scores:  # the first window's model is that of the window itself
        scores[_AGED] = {0: scores[model].get(0, [])} | scores[_AGED]
    means = {
        name: {number: _mean(every) for number, every in of.items() if every}
        for name, of in scores.items()
    }
    counts = {
        name: {number: len(every) for number, every in of.items()} for name, of in scores.items()
    }
    return Rolling(keys, len(seeds), results, means, model, counts)


def _mean(every: Sequence[Scores]) -> Scores:
    names = [name for name in every[0] if all(name in metrics for metrics in every)]
    return {name: Stat.of([metrics[name] for metrics in every]).mean for name in names}


def write_rolling(directory: str | Path) -> Styled:
    """Write ``rolling.csv`` and, with matplotlib, ``rolling.png`` into a sweep's directory.

    Returns:
        A table for each configuration: every window, the mean, and the trend.

    Raises:
        ValueError: As :func:`read_rolling`.
    """
    root = Path(directory)
    every = read_rolling(root)
    with (
        written_aside(root / _FILE) as aside,
        aside.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows(_rows(every))
    files = [str(root / _FILE)]
    if (picture := plot_rolling(every, root / _PICTURE)) is not None:
        files.append(str(picture))
    parts: list[str] = []
    for rolling in every:
        parts += [_table(rolling), ""]
    return lines(*parts, f"Files: {', '.join(files)}")


def _rows(every: Sequence[Rolling]) -> Iterator[list[Any]]:
    """The rows of ``rolling.csv``, metrics as fractions."""
    keys = list(every[0].keys)
    scored = (m for of in every for by in of.scores.values() for s in by.values() for m in s)
    names = list(dict.fromkeys(scored))
    yield [*keys, "scorer", "window", "from", "to", "training_samples", "test_samples",
           "positions", "seeds", *names]  # fmt: skip
    for rolling in every:
        for scorer, by_window in rolling.scores.items():
            for number, metrics in by_window.items():
                result = rolling.results[number]
                window, samples = result.window or {}, result.samples
                facts = [number, window["from"], window["to"], samples["train"], samples["test"]]
                facts += [result.positions or "every", rolling.counts[scorer][number]]
                yield [*rolling.keys.values(), scorer, *facts, *(metrics.get(n) for n in names)]


def _table(rolling: Rolling) -> Styled:
    first = next(iter(rolling.results.values()))
    window = first.window or {}
    what = f"{first.dataset}, {window['windows']} windows of {window['window']}, percent"
    labels = [f"{key}={value}" for key, value in rolling.keys.items()]
    labels += [LAST if first.positions == "last" else "every click but a session's first"]
    labels += [f"mean of {rolling.seeds} seeds"] if rolling.seeds > 1 else []
    columns = [Column("window", "label"), Column("from", "label"), Column("test\nsamples", rank=1)]
    columns += [Column(f"{title(name)}\n{scorer}") for scorer in rolling.shown for name in MAIN]
    series = [(by, name) for by in rolling.shown.values() for name in MAIN]
    complete = rolling.complete
    partial = len(complete) < len(rolling.results)
    rows = [
        [
            f"{number + 1}{'' if number in complete else ' *'}",
            (result.window or {})["from"][:10],
            f"{result.samples['test']:,}",
            *(f"{100 * by[number][name]:.2f}" if number in by else "" for by, name in series),
        ]
        for number, result in rolling.results.items()
    ]
    values = [[100 * by[number][name] for number in complete] for by, name in series]
    rows.append(["mean", "", "", *(f"{Stat.of(of).mean:.2f}" if of else "" for of in values)])
    trends = [Trend.of(complete, of) for of in values]
    rows.append(["trend", "", "", *(f"{of.slope:+.2f}" if of else "" for of in trends)])
    rows.append(
        [
            "± error",
            "",
            "",
            *(f"{of.error:.2f}" if of and of.error is not None else "" for of in trends),
        ]
    )
    return lines(
        styled(what, "bold"),
        "; ".join(labels),
        table(columns, rows, [len(rows) - 3], _FILE),
        "trend: percent points from a window to the next, least squares, with its standard error",
        *["* runs are missing: not in the mean and the trend"] * partial,
    )


def plot_rolling(every: Sequence[Rolling], path: Path) -> Path | None:
    """Draw HR@20 and MRR@20 over the windows.

    Returns:
        The picture's path, or None where matplotlib is not installed (extra ``plots``).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        log.info("no plot of the windows without matplotlib: %s", pip_install("plots"))
        return None
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    panels = figure.subplots(1, len(MAIN))
    for axes, name in zip(panels, MAIN, strict=True):
        for place, rolling in enumerate(every):
            label = ", ".join(f"{key}={value}" for key, value in rolling.keys.items())
            for scorer, by in rolling.shown.items():
                axes.plot(
                    [number + 1 for number in by],
                    [100 * of[name] for of in by.values()],
                    marker="o",
                    color=f"C{place % 10}",
                    ls="-" if scorer == _RETRAINED else ":",
                    label=f"{label}: {scorer}" if label else scorer,
                )
        axes.set(xlabel="window", title=f"{title(name)}, %")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    panels[0].legend(fontsize="small")
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=150)
    return path
