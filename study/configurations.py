"""The configurations of a study: their seeds, figures and commands.

Runs lie in ``<folder>/<dataset>/<label>/<seed>/``; a label names a configuration.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pyg_srgnn.evaluation.rank_table import read_ranks
from pyg_srgnn.evaluation.samples import Samples
from pyg_srgnn.runs.finished import FREE, MADE_OF, Run, Stat, require_seeds_of_one


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in their seeds alone, and those of the runs that they are made of.

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
        """Compare the runs with the first one."""
        for run in self.runs:
            if run.folder.name != str(run.result.seed):
                raise ValueError(
                    f"{run.folder} holds a run of seed {run.result.seed}; a folder of a study is "
                    f"named by its run's seed"
                )
        require_seeds_of_one(self.runs)

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.runs[0].result.dataset

    @property
    def model(self) -> str:
        """Name of the model, ``model.name``."""
        return self.runs[0].result.model

    @property
    def protocol(self) -> str:
        """``"honest"`` or ``"literature"``."""
        return self.runs[0].result.protocol

    @property
    def refit(self) -> bool:
        """Whether the tested model was trained on the validation sessions, too."""
        return bool(self.runs[0].result.refit)

    @property
    def seeds(self) -> list[int]:
        """The seeds, ascending."""
        return [run.result.seed for run in self.runs]

    @property
    def seconds(self) -> Stat:
        """Seconds of training."""
        return Stat.of([run.result.train_seconds for run in self.runs])

    @property
    def device(self) -> str:
        """The device of the training: ``"cpu"``, or the model of a GPU."""
        return self.runs[0].result.device

    @property
    def parameters(self) -> int | None:
        """Number of parameters or counts of the model; None where it is not known."""
        return self.runs[0].result.parameters or None  # protocol=literature keeps no one model

    @property
    def commands(self) -> list[str]:
        """The commands that make the runs again: one, unless they are made of other runs."""
        found = []
        for _, same in groupby(self.runs, lambda run: [run.config.get(key) for key in MADE_OF]):
            runs = list(same)
            seeds = "seed=" + ",".join(str(run.result.seed) for run in runs)
            sweep = ["-m"] if len(runs) > 1 else []
            kept = runs[0].overrides_but(FREE)
            found.append(shlex.join(["srgnn-train", *kept, seeds, *sweep]))
        return found

    def has(self, part: str) -> bool:
        """Whether every run was evaluated on ``"valid"`` or ``"test"``."""
        return all(getattr(run.result, part) is not None for run in self.runs)

    def percent(self, metric: str, part: str = "test") -> Stat:
        """A metric over the seeds, in percent.

        Args:
            metric: Such as ``"hr@20"``.
            part: ``"valid"`` or ``"test"``. (default: ``"test"``)
        """
        return Stat.of([100 * getattr(run.result, part)[metric] for run in self.runs])

    def samples(self) -> Samples | None:
        """The test samples, averaged over the seeds; None where a run has no ``ranks.parquet``.

        Raises:
            ValueError: If the runs' test sets are different ones.
        """
        files = [run.folder / "ranks.parquet" for run in self.runs]
        if not all(file.is_file() for file in files):
            return None
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
        Configuration(label, tuple(sorted(found, key=lambda run: run.result.seed)))
        for label, found in runs.items()
    ]
