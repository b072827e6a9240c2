"""A directory of runs as a table: ranked by validation, seeds together, nothing hidden."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from pyg_srgnn.data.fingerprint import short_digest
from pyg_srgnn.functional.metrics import MAIN, TIE_BREAKER
from pyg_srgnn.reports.leaderboard_page import leaderboard_page
from pyg_srgnn.runs.directory import flat
from pyg_srgnn.runs.epochs import read_epochs
from pyg_srgnn.runs.finished import FREE, Stat
from pyg_srgnn.utils.files import written_aside
from pyg_srgnn.utils.terminal import Column, Styled, lines, table


@dataclass(frozen=True)
class Job:
    """A run, whatever became of it."""

    path: str
    """Its directory, relative to the leaderboard's."""
    overrides: dict[str, str]
    """The keys that its command gave."""
    config: dict[str, Any]
    """Its whole configuration, flat."""
    status: str
    """``"finished"``, ``"pruned"``, ``"failed"`` or ``"unfinished"``."""
    metrics: dict[str, Any]
    """What ``metrics.json`` holds; empty where there is none."""
    epochs: list[dict[str, float]]
    """The rows of ``epochs.csv``: metrics of every epoch so far."""
    error: str
    """What a failed run said, or one that was finished and could not be started again."""
    data: str
    """A digest of its data; empty where it is not known."""

    @classmethod
    def read(cls, folder: Path, root: Path) -> Job:
        """Read a run's directory.

        Raises:
            ValueError: If a file of it cannot be read; names it.
        """
        metrics = _json(folder / "metrics.json")
        failure = _json(folder / "error.json")
        data = metrics.get("data") or _json(folder / "data.json")
        if metrics:
            status = "finished" if metrics.get("pruned") is None else "pruned"
        else:
            status = "failed" if failure else "unfinished"
        epochs = folder / "epochs.csv"
        told = _first(folder / ".hydra" / "overrides.yaml", folder / "overrides.yaml")
        pairs = (str(override).lstrip("+~").partition("=") for override in told or ())
        config = _first(folder / "config.yaml", folder / ".hydra" / "config.yaml")
        return cls(
            folder.relative_to(root).as_posix(),
            {key: value for key, _, value in pairs},
            flat(config or {}),
            status,
            metrics,
            read_epochs(epochs) if epochs.is_file() else [],
            f"{failure['type']}: {failure['message']}" if failure else "",
            short_digest(data) if data else "",
        )

    @property
    def seed(self) -> int | None:
        """Its seed; None of a run whose configuration was not written."""
        return self.config.get("seed")

    def valid(self, metric: str) -> float | None:
        """A metric on validation, in percent: of the epoch chosen, or of the best one so far."""
        if self.metrics:
            part = self.metrics.get("valid")
            return None if part is None or metric not in part else 100 * part[metric]
        key = f"valid/{metric}"
        return max((100 * row[key] for row in self.epochs if key in row), default=None)

    def test(self, metric: str) -> float | None:
        """A metric on the test set, in percent; None where it was not read."""
        part = self.metrics.get("test")
        return None if part is None or metric not in part else 100 * part[metric]

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        so_far = sum(row.get("train_seconds", 0.0) for row in self.epochs)
        return float(self.metrics.get("train_seconds", so_far))


class Group(NamedTuple):
    """Jobs that differ in their seeds alone."""

    jobs: list[Job]

    @property
    def finished(self) -> list[Job]:
        """Those that ran to their end; the others would bend the mean."""
        return [job for job in self.jobs if job.status == "finished"]

    @property
    def dataset(self) -> str:
        """What they were trained on."""
        return str(self.jobs[0].config.get("dataset.name", ""))

    def stat(self, values: Iterable[float | None]) -> Stat | None:
        """Mean and deviation of what is known."""
        known = [value for value in values if value is not None]
        return Stat.of(known) if known else None

    def valid(self, metric: str) -> Stat | None:
        """A metric on validation over the finished jobs, in percent."""
        return self.stat(job.valid(metric) for job in self.finished)

    def test(self, metric: str) -> Stat | None:
        """A metric on the test set over the finished jobs, in percent."""
        return self.stat(job.test(metric) for job in self.finished)


@dataclass(frozen=True)
class Leaderboard:
    """The runs below a directory, those of a configuration together, the best one first.

    Args:
        groups: Ranked by the mean of ``metric`` on validation, ties by MRR, within a dataset.
        metric: Such as ``"hr@20"``.
        differ: The keys in which the commands differ.
        root: The directory, to which the paths of the jobs are relative.
    """

    groups: list[Group]
    metric: str
    differ: list[str]
    root: Path

    @classmethod
    def read(cls, directory: str | Path, metric: str | None = None) -> Leaderboard:
        """Read all runs below a directory, at any depth.

        Args:
            directory: Of a sweep, or of runs.
            metric: What ranks them. (default: what they monitor)

        Raises:
            ValueError: If there is no run, the runs monitor different metrics and none is named,
                or a run has no such metric.
        """
        root = Path(directory)
        markers = ("metrics.json", "error.json", "config.yaml", ".hydra/overrides.yaml")
        found = {path for name in markers for path in root.rglob(name)}
        folders = {path.parents[1 if path.parent.name == ".hydra" else 0] for path in found}
        folders = {folder for folder in folders if folder.name != ".hydra"}
        jobs = [Job.read(folder, root) for folder in sorted(folders)]
        if not jobs:
            raise ValueError(f"{root}: no run of srgnn-train lies there")
        if metric is None:
            monitored = sorted({job.config["monitor"] for job in jobs if "monitor" in job.config})
            if len(monitored) > 1:
                raise ValueError(
                    f"{root}: its runs monitor different metrics ({', '.join(monitored)}); "
                    f"name the one that ranks them"
                )
            metric = monitored[0] if monitored else MAIN[0]
        known = {key for job in jobs for key in (job.metrics.get("valid") or ())}
        if known and metric not in known:
            raise ValueError(f"metric '{metric}': expected one of {', '.join(sorted(known))}")
        keys = {key: None for job in jobs for key in job.overrides}  # in the order of the commands
        differ = [
            key for key in keys if _tells(key) and len({job.overrides.get(key) for job in jobs}) > 1
        ]
        return cls(_ranked(jobs, metric), metric, differ, root)

    @property
    def ranked(self) -> list[tuple[int, Group]]:
        """The groups with their ranks, which begin with 1 in every dataset."""
        count: Counter[str] = Counter()
        ranked = []
        for group in self.groups:
            count[group.dataset] += 1
            ranked.append((count[group.dataset], group))
        return ranked

    @property
    def mixed(self) -> bool:
        """Whether runs of one dataset were trained on different data."""
        jobs = [(group.dataset, job.data) for group in self.groups for job in group.jobs]
        data = {(name, digest) for name, digest in jobs if digest}
        return len(data) > len({name for name, _ in data})

    @property
    def note(self) -> str:
        """What must be said of the whole, if anything."""
        if not self.mixed:
            return ""
        return "The data differs among these runs: compare only those with the same value of data."

    @property
    def columns(self) -> list[str]:
        """Names of the columns of :meth:`rows`."""
        valid = f"valid/{self.metric}"
        ends = ["seed", "status", valid, "mean", "sd", "n", *(f"test/{name}" for name in MAIN)]
        ends += ["epochs", "best_epoch", "seconds", "samples/s", "run", "error"]
        return ["rank", *self.differ, *["data"] * self.mixed, *ends]

    def rows(self) -> list[list[str]]:
        """A row a job, metrics in percent; rank, mean, deviation and n are its configuration's."""
        return [
            [
                str(rank),
                *(job.overrides.get(key, "") for key in self.differ),
                *[job.data] * self.mixed,
                str("" if job.seed is None else job.seed),
                job.status,
                _two(job.valid(self.metric)),
                *_mean_sd(group.valid(self.metric)),
                str(len(group.finished)),
                *(_two(job.test(name)) for name in MAIN),
                str(job.metrics.get("epochs", len(job.epochs))),
                str(job.metrics.get("best_epoch", "")),
                f"{job.seconds:.1f}",
                f"{job.metrics.get('samples_per_second', 0):.0f}" if job.metrics else "",
                job.path,
                job.error,
            ]
            for rank, group in self.ranked
            for job in group.jobs
        ]

    def summary(self) -> tuple[list[str], list[list[str]]]:
        """Column names and a row a configuration, as people read them."""
        columns = ["", *self.differ, *["data"] * self.mixed, f"valid {self.metric}"]
        columns += [*(f"test {name}" for name in MAIN), "jobs"]
        rows = []
        for rank, group in self.ranked:
            states = [job.status for job in group.jobs]
            told = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
            first = group.jobs[0]
            rows.append(
                [
                    str(rank),
                    *(first.overrides.get(key, "") for key in self.differ),
                    *[first.data] * self.mixed,
                    _spread(group.valid(self.metric)),
                    *(_spread(group.test(name)) for name in MAIN),
                    told,
                ]
            )
        return [*columns, "seconds"], [
            [*row, f"{sum(job.seconds for job in group.jobs):,.0f}"]
            for row, group in zip(rows, self.groups, strict=True)
        ]

    @property
    def best(self) -> dict[str, str]:
        """The path of each dataset's best run: of the best configuration, its best seed."""
        best = {}
        for rank, group in self.ranked:
            known = [job for job in group.finished if job.valid(self.metric) is not None]
            if rank == 1 and known:
                job = max(known, key=self._merit)  # the first of several
                best[group.dataset] = str(self.root / job.path)
        return best

    def _merit(self, job: Job) -> tuple[float, float]:
        return job.valid(self.metric) or 0.0, job.valid(TIE_BREAKER) or 0.0

    @property
    def failures(self) -> list[Job]:
        """The jobs that failed."""
        return [job for group in self.groups for job in group.jobs if job.error]


def write_leaderboard(directory: str | Path, metric: str | None = None) -> Styled:
    """Write ``leaderboard.csv`` and ``leaderboard.html`` into a directory of runs.

    Runs are ranked by validation alone; what they have on the test set stands beside it.

    Args:
        directory: Of a sweep, or of runs at any depth.
        metric: What ranks them, such as ``"mrr@20"``. (default: what they monitor)

    Returns:
        The configurations as a table of text, the failed jobs with their errors, and the path of
        the best run.

    Raises:
        ValueError: As :meth:`Leaderboard.read`.
    """
    root = Path(directory)
    board = Leaderboard.read(root, metric)
    with (
        written_aside(root / "leaderboard.csv") as aside,
        aside.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([board.columns, *board.rows()])
    with written_aside(root / "leaderboard.html") as aside:
        aside.write_text(leaderboard_page(root.resolve().name, board), encoding="utf-8")
    found: list[str] = [_summary_table(board)]
    found += [board.note] * bool(board.note)
    found += [f"failed: {job.path}\n{indent(job.error, 4 * ' ')}" for job in board.failures]
    for dataset, path in board.best.items():
        found.append(f"Best run{f' on {dataset}' if len(board.best) > 1 else ''}: {path}")
    return lines(*found, f"Files: {root / 'leaderboard.csv'}, {root / 'leaderboard.html'}")


def _ranked(jobs: Sequence[Job], metric: str) -> list[Group]:
    groups: dict[Any, list[Job]] = {}
    for job in jobs:
        told = {key: v for key, v in job.config.items() if key not in FREE}
        # A run that could not begin has written no configuration of its own, but its command.
        alike = told or {key: v for key, v in job.overrides.items() if _tells(key)}
        groups.setdefault(repr(sorted(alike.items())), []).append(job)
    found = [
        Group(sorted(group, key=lambda job: (job.seed or 0, job.path)))
        for alike in groups.values()
        for group in _by_data(alike)
    ]

    def key(group: Group) -> tuple[str, bool, float, float, str]:
        stats = group.valid(metric), group.valid(TIE_BREAKER)
        value, tied = (0.0 if stat is None else -stat.mean for stat in stats)
        return group.dataset, stats[0] is None, value, tied, group.jobs[0].path

    return sorted(found, key=key)


def _by_data(jobs: Sequence[Job]) -> Iterable[list[Job]]:
    """Jobs of one configuration, apart where they are known to have had different data."""
    known = {job.data for job in jobs if job.data}
    if len(known) < 2:
        return [list(jobs)]
    return [[job for job in jobs if job.data == data] for data in sorted({j.data for j in jobs})]


def _tells(key: str) -> bool:
    """Whether a key of a command makes a run another one, beyond its seed."""
    return key not in FREE and key.split(".")[0] != "hydra"


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: no JSON of a run: {error}") from error


def _first(*paths: Path) -> Any:
    """What the first of the files that is there holds."""
    path = next((path for path in paths if path.is_file()), None)
    return None if path is None else OmegaConf.to_container(OmegaConf.load(path), resolve=True)


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _mean_sd(stat: Stat | None) -> tuple[str, str]:
    return ("", "") if stat is None else (_two(stat.mean), _two(stat.sd))


def _spread(stat: Stat | None) -> str:
    mean, sd = _mean_sd(stat)
    return f"{mean} ± {sd}" if sd else mean


def _summary_table(board: Leaderboard) -> Styled:
    """A row a configuration; where there is no room, validation and what was swept stay."""
    names, rows = board.summary()
    keys = [Column(key.replace(".", ".\n"), "text") for key in names[1:-5]]
    # What ranks, two metrics on the test set, jobs and seconds.
    figures = [Column(name.replace(" ", "\n"), rank=rank) for rank, name in enumerate(names[-5:])]
    figures[3] = figures[3]._replace(kind="label")
    return table([Column("", "label"), *keys, *figures], rows, elsewhere="leaderboard.csv")
