"""A study: finished runs of several configurations and seeds, kept small, and their summary.

Runs lie in ``<folder>/<dataset>/<label>/<seed>/``; a label names a configuration.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import OmegaConf

from pyg_srgnn.data.fingerprint import changes
from pyg_srgnn.utils.files import folder_written_aside

if TYPE_CHECKING:
    from pyg_srgnn.evaluation.samples import Samples

METRICS = (
    *("hr@5", "hr@10", "hr@20", "mrr@5", "mrr@10", "mrr@20"),
    *("ndcg@20", "coverage@20", "tied"),
)
# What is a machine's own, and its defaults; a run that goes on from a checkpoint is as if it had
# never stopped.
_HERE = {"dataset.root": "datasets", "dataset.mirror": None, "checkpoint": None}
# What is no part of a configuration.
FREE = {*_HERE, "seed", "deterministic", "trainer.enable_progress_bar", "threads", "resume"}
_KEPT = ("metrics.json", "ranks.parquet", "epochs.csv", "refit.csv")  # as they are


class Stat(NamedTuple):
    """A figure over the seeds."""

    mean: float
    sd: float | None
    """Standard deviation of the sample, of n - 1; None of one seed."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Stat:
        """Mean and deviation of at least one value."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else None)


class Run(NamedTuple):
    """A finished run."""

    folder: Path
    metrics: dict[str, Any]
    """What ``metrics.json`` holds."""
    config: dict[str, Any]
    """What ``config.yaml`` holds, resolved and flat: ``{"model.name": "srgnn", …}``."""
    overrides: list[str]
    """The keys of the command."""

    @classmethod
    def read(cls, folder: str | Path) -> Run:
        """Read a directory that ``srgnn-train`` or :func:`keep` wrote.

        Raises:
            ValueError: If the run is not finished.
            FileNotFoundError: If its configuration or its command is missing.
        """
        folder = Path(folder)
        metrics = folder / "metrics.json"
        if not metrics.is_file():
            raise ValueError(f"{folder} holds no finished run: there is no {metrics.name}")
        kept = folder / "overrides.yaml"
        command = kept if kept.is_file() else folder / ".hydra" / kept.name
        config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"), resolve=True)
        overrides = OmegaConf.to_container(OmegaConf.load(command))
        return cls(
            folder,
            json.loads(metrics.read_text(encoding="utf-8")),
            dict(flat(config)),
            [str(override) for override in overrides or ()],
        )


def require_seeds_of_one(runs: Sequence[Run]) -> None:
    """Hold runs against the first of them.

    Raises:
        ValueError: If two differ in more than the seed; names both files and every key, and how
            their data differs.
    """
    first = runs[0]
    for run in runs:
        differ = [
            f"{key}: {first.config.get(key)} and {run.config.get(key)}"
            for key in sorted((first.config.keys() | run.config.keys()) - FREE)
            if first.config.get(key) != run.config.get(key)
        ]
        if "data" in first.metrics and "data" in run.metrics:
            differ += changes(first.metrics["data"], run.metrics["data"])
        if differ:
            raise ValueError(
                f"{first.folder / 'config.yaml'} and {run.folder / 'config.yaml'} differ in "
                f"more than the seed, so they are no runs of one configuration:\n  "
                + "\n  ".join(differ)
            )


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in their seeds alone.

    Args:
        label: Its name.
        runs: At least one run, in the order of the seeds.

    Raises:
        ValueError: If two runs differ in more than the seed, or a run's folder is not named by
            its seed.
    """

    label: str
    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        """Hold the runs against the first one."""
        for run in self.runs:
            if run.folder.name != str(run.metrics["seed"]):
                raise ValueError(
                    f"{run.folder} holds a run of seed {run.metrics['seed']}; a folder of a study "
                    f"is named by its run's seed"
                )
        require_seeds_of_one(self.runs)

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return str(self.runs[0].metrics["dataset"])

    @property
    def model(self) -> str:
        """Name of the model, ``model.name``."""
        return str(self.runs[0].metrics["model"])

    @property
    def protocol(self) -> str:
        """``"honest"`` or ``"literature"``."""
        return str(self.runs[0].metrics["protocol"])

    @property
    def refit(self) -> bool:
        """Whether the tested model was trained on the validation sessions, too."""
        return bool(self.runs[0].metrics["refit"])

    @property
    def seeds(self) -> list[int]:
        """The seeds, ascending."""
        return [run.metrics["seed"] for run in self.runs]

    @property
    def seconds(self) -> Stat:
        """Seconds of training."""
        return Stat.of([run.metrics["train_seconds"] for run in self.runs])

    @property
    def device(self) -> str:
        """What trained: ``"cpu"``, or a GPU's model."""
        return str(self.runs[0].metrics.get("device", "cpu"))

    @property
    def parameters(self) -> int | None:
        """Numbers that the model has learned or counted; None where the runs do not say."""
        return self.runs[0].metrics.get("parameters") or None  # literature: no one model is kept

    @property
    def command(self) -> str:
        """The command that makes the runs again."""
        kept = [entry for entry in self.runs[0].overrides if not _left_out(entry, FREE)]
        seeds = "seed=" + ",".join(map(str, self.seeds))
        sweep = ["-m"] if len(self.seeds) > 1 else []
        return shlex.join(["srgnn-train", *kept, seeds, *sweep])

    def has(self, part: str) -> bool:
        """Whether every run was evaluated on ``"valid"`` or ``"test"``."""
        return all(run.metrics[part] is not None for run in self.runs)

    def percent(self, metric: str, part: str = "test") -> Stat:
        """A metric over the seeds, in percent.

        Args:
            metric: Such as ``"hr@20"``.
            part: ``"valid"`` or ``"test"``. (default: ``"test"``)
        """
        return Stat.of([100 * run.metrics[part][metric] for run in self.runs])

    def samples(self) -> Samples | None:
        """The test samples, averaged over the seeds; None where a run has no ``ranks.parquet``.

        Raises:
            ValueError: If the runs' test sets are different ones.
        """
        files = [run.folder / "ranks.parquet" for run in self.runs]
        if not all(file.is_file() for file in files):
            return None
        # A leaderboard, which reads runs as well, does without polars.
        from pyg_srgnn.evaluation.rank_table import read_ranks
        from pyg_srgnn.evaluation.samples import Samples

        return Samples.average([read_ranks(file) for file in files])


def read_study(folder: str | Path) -> list[Configuration]:
    """The configurations of ``<folder>/<dataset>/<label>/<seed>/``, datasets and labels sorted.

    Raises:
        ValueError: If runs of one label differ in more than the seed; names both files.
    """
    datasets = sorted(path for path in Path(folder).glob("*") if path.is_dir())
    return [found for dataset in datasets for found in read_configurations(dataset)]


def read_configurations(folder: str | Path) -> list[Configuration]:
    """The configurations of ``<folder>/<label>/<seed>/``, sorted; unfinished runs are left out.

    Raises:
        ValueError: As :func:`read_study`.
    """
    runs: dict[str, list[Run]] = {}
    for metrics in sorted(Path(folder).glob("*/[!.]*/metrics.json")):  # not what a kill has left
        runs.setdefault(metrics.parts[-3], []).append(Run.read(metrics.parent))
    return [
        Configuration(label, tuple(sorted(found, key=lambda run: run.metrics["seed"])))
        for label, found in runs.items()
    ]


def keep(run_dir: str | Path, folder: str | Path, label: str | None = None) -> Path:
    """Copy of a run what a study needs: metrics, configuration, command, ranks and curves.

    Model and logs stay behind, and so do the paths of the run's machine: ``dataset.root``,
    ``dataset.mirror`` and ``checkpoint`` become the defaults. What was there is replaced.

    Args:
        run_dir: A finished run.
        folder: The study's folder.
        label: The configuration's name; with slashes, a path. (default: the model's name)

    Returns:
        ``<folder>/<dataset>/<label>/<seed>``.

    Raises:
        ValueError: If the run is not finished, the label leads out of the folder, or the
            configuration names another absolute path, which would mean nothing elsewhere.
    """
    run = Run.read(run_dir)
    label = run.metrics["model"] if label is None else label
    parts = PurePosixPath(label).parts
    if not parts or ".." in parts or _absolute(label):
        raise ValueError(f"keep: 'label' must be a name or a path below the folder (got {label!r})")
    config = OmegaConf.load(run.folder / "config.yaml")
    for key, default in _HERE.items():
        if key in run.config:
            OmegaConf.update(config, key, default)
    overrides = [override for override in run.overrides if not _left_out(override, set(_HERE))]
    told = [(key, value) for key, value in run.config.items() if key not in _HERE]
    told += map(_split, overrides)
    if paths := sorted({f"{key}={value}" for key, value in told if _absolute(value)}):
        raise ValueError(
            f"{run.folder} was told {', '.join(paths)}: a run that is kept must not depend on an "
            f"absolute path"
        )
    target = Path(folder, str(run.metrics["dataset"]), label, str(run.metrics["seed"]))
    target.parent.mkdir(parents=True, exist_ok=True)
    with folder_written_aside(target, target.with_name(f".{target.name}.part")) as aside:
        for name in _KEPT:
            if (run.folder / name).is_file():
                shutil.copyfile(run.folder / name, aside / name)
        OmegaConf.save(config, aside / "config.yaml")
        OmegaConf.save(OmegaConf.create(overrides), aside / "overrides.yaml")
    return target


def _split(override: str) -> tuple[str, str]:
    """Key and value of a key of Hydra's command line, without what adds or deletes it."""
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value.strip("'\"")


def _left_out(override: str, keys: set[str]) -> bool:
    key = _split(override)[0]
    return key in keys or key.startswith("hydra.")


def _absolute(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_absolute, value))
    if not isinstance(value, str):
        return False
    return PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings with their keys, ``("model.name", "srgnn")``."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, None if value == {} else value  # an empty mapping says as much as null
