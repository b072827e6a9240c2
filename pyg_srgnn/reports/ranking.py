"""Ranks the runs below a directory by validation, the seeds of a configuration together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from pyg_srgnn.data.fingerprint import short_digest
from pyg_srgnn.functional.metrics import MAIN, TIE_BREAKER, beyond, figure
from pyg_srgnn.runs.directory import flat, found_below
from pyg_srgnn.runs.epochs import read_epochs
from pyg_srgnn.runs.finished import FREE, Stat
from pyg_srgnn.runs.result import METRICS_FILE, RunResult


@dataclass(frozen=True)
class Job:
    """A run: finished, pruned, failed or unfinished."""

    path: str
    """Its directory, relative to the leaderboard's."""
    overrides: dict[str, str]
    """The keys that its command gave."""
    config: dict[str, Any]
    """Its whole configuration, flat."""
    status: str
    """``"finished"``, ``"pruned"``, ``"failed"`` or ``"unfinished"``."""
    result: RunResult | None
    """None of a run that has not finished."""
    epochs: list[dict[str, float]]
    """The rows of ``epochs.csv``: metrics of every epoch so far."""
    error: str
    """The error of a failed run, or of a finished one that could not be started again."""
    data: str
    """A digest of its data; empty where it is not known."""

    @classmethod
    def read(cls, folder: Path, root: Path) -> Job:
        """Read a run's directory.

        Raises:
            ValueError: If a file of it cannot be read; names it.
        """
        result = RunResult.read(folder) if (folder / METRICS_FILE).is_file() else None
        failure = _json(folder / "error.json")
        data = (result and result.data) or _json(folder / "data.json")
        if result:
            status = "finished" if result.pruned is None else "pruned"
        else:
            status = "failed" if failure else "unfinished"
        epochs = folder / "epochs.csv"
        overrides = _first(folder / ".hydra" / "overrides.yaml", folder / "overrides.yaml")
        pairs = (str(override).lstrip("+~").partition("=") for override in overrides or ())
        config = _first(folder / "config.yaml", folder / ".hydra" / "config.yaml")
        return cls(
            folder.relative_to(root).as_posix(),
            {key: value for key, _, value in pairs},
            flat(config or {}),
            status,
            result,
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
        if self.result:
            return _percent(self.result.valid, metric)
        key = f"valid/{metric}"
        return max((100 * row[key] for row in self.epochs if key in row), default=None)

    def test(self, metric: str) -> float | None:
        """A metric on the test set, in percent; None where it was not read."""
        return _percent(self.result.test, metric) if self.result else None

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        if self.result:
            return self.result.train_seconds
        return sum(row.get("train_seconds", 0.0) for row in self.epochs)


class Group(NamedTuple):
    """Jobs that differ in their seeds alone."""

    jobs: list[Job]

    @property
    def finished(self) -> list[Job]:
        """Those that ran to their end; the others would distort the mean."""
        return [job for job in self.jobs if job.status == "finished"]

    @property
    def dataset(self) -> str:
        """Name of their dataset."""
        return str(self.jobs[0].config.get("dataset.name", ""))

    def stat(self, values: Iterable[float | None]) -> Stat | None:
        """Mean and deviation of the values that are known."""
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
            metric: The metric that ranks them. (default: what they monitor)

        Raises:
            ValueError: If there is no run, the runs monitor different metrics and none is named,
                or a run has no such metric.
        """
        root = Path(directory)
        markers = (METRICS_FILE, "error.json", "config.yaml", ".hydra/overrides.yaml")
        found = {path for name in markers for path in found_below(root, name)}
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
        known = {key for job in jobs for key in (job.result and job.result.valid) or ()}
        if known and metric not in known:
            raise ValueError(f"metric '{metric}': expected one of {', '.join(sorted(known))}")
        keys = {key: None for job in jobs for key in job.overrides}  # in the order of the commands
        differ = [
            key
            for key in keys
            if _distinguishes(key) and len({job.overrides.get(key) for job in jobs}) > 1
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
        """A warning about the runs; empty where there is none."""
        notes = []
        if self.mixed:
            notes.append(
                "The data differs among these runs: compare only those with the same value of data."
            )
        seeds = ([job.seed for job in group.finished] for group in self.groups)
        if any(len(set(of)) < len(of) for of in seeds):
            notes.append(
                "Some configurations were run more than once with the same seed, and every run "
                "counts: their deviations are not those over seeds."
            )
        return " ".join(notes)

    @property
    def asked(self) -> list[str]:
        """The metrics beyond accuracy that runs have on the test set."""
        jobs = (job for group in self.groups for job in group.jobs)
        return beyond(name for job in jobs for name in (job.result and job.result.test) or ())

    @property
    def columns(self) -> list[str]:
        """Names of the columns of :meth:`rows`."""
        valid = f"valid/{self.metric}"
        ends = ["seed", "status", valid, "mean", "sd", "n"]
        ends += [f"test/{name}" for name in (*MAIN, *self.asked)]
        ends += ["epochs", "best_epoch", "seconds", "samples/s", "run", "error"]
        return ["rank", *self.differ, *["data"] * self.mixed, *ends]

    def rows(self) -> list[list[str]]:
        """One row per job, in percent; rank, mean, deviation and n are its configuration's."""
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
                *(_figure(job, name) for name in self.asked),
                str(job.result.epochs if job.result else len(job.epochs)),
                str(job.result.best_epoch if job.result else ""),
                f"{job.seconds:.1f}",
                f"{job.result.samples_per_second:.0f}" if job.result else "",
                job.path,
                job.error,
            ]
            for rank, group in self.ranked
            for job in group.jobs
        ]

    def summary(self) -> tuple[list[str], list[list[str]]]:
        """Column names and one row per configuration, as people read them."""
        columns = ["", *self.differ, *["data"] * self.mixed, f"valid {self.metric}"]
        columns += [*(f"test {name}" for name in MAIN), "jobs"]
        rows = []
        for rank, group in self.ranked:
            states = [job.status for job in group.jobs]
            counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
            first = group.jobs[0]
            rows.append(
                [
                    str(rank),
                    *(first.overrides.get(key, "") for key in self.differ),
                    *[first.data] * self.mixed,
                    _spread(group.valid(self.metric)),
                    *(_spread(group.test(name)) for name in MAIN),
                    counts,
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


def _ranked(jobs: Sequence[Job], metric: str) -> list[Group]:
    groups: dict[Any, list[Job]] = {}
    for job in jobs:
        settings = {key: v for key, v in job.config.items() if key not in FREE}
        # A run that could not begin has written its command, but no configuration.
        alike = settings or {key: v for key, v in job.overrides.items() if _distinguishes(key)}
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


def _distinguishes(key: str) -> bool:
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
    """The content of the first of the files that exists."""
    path = next((path for path in paths if path.is_file()), None)
    return None if path is None else OmegaConf.to_container(OmegaConf.load(path), resolve=True)


def _percent(metrics: Mapping[str, float] | None, metric: str) -> float | None:
    value = (metrics or {}).get(metric)
    return None if value is None else 100 * value


def _figure(job: Job, name: str) -> str:
    """A metric beyond accuracy on the test set; empty where the run has none."""
    value = ((job.result and job.result.test) or {}).get(name)
    return "" if value is None else figure(name, value)


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _mean_sd(stat: Stat | None) -> tuple[str, str]:
    return ("", "") if stat is None else (_two(stat.mean), _two(stat.sd))


def _spread(stat: Stat | None) -> str:
    mean, sd = _mean_sd(stat)
    return f"{mean} ± {sd}" if sd else mean
