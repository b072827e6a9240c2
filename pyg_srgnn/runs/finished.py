"""A finished run, and runs that differ in their seeds alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from pyg_srgnn.data.fingerprint import changes
from pyg_srgnn.runs.directory import read_config
from pyg_srgnn.runs.result import RunResult

# Keys whose values belong to a machine, with their defaults. A run that was resumed from a
# checkpoint is as if it had never stopped.
PLACES = {"dataset.root": "datasets", "dataset.mirror": None, "checkpoint": None}
# Keys in which the runs of one configuration may differ.
FREE = {*PLACES, "seed", "deterministic", "trainer.enable_progress_bar", "threads", "resume"}
# Keys that name the runs a run is made of, whose seeds follow its own.
MADE_OF = ("model.members", "distil")
_SEED = re.compile(r"(?<=[/,])(seed=)?\d+$|(?<=[/,])seed=\d+(?=[,/])")  # in a folder's name


class Stat(NamedTuple):
    """Mean and standard deviation over the seeds."""

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
    result: RunResult
    config: dict[str, Any]
    """What ``config.yaml`` holds, resolved and flat: ``{"model.name": "srgnn", …}``."""
    overrides: list[str]
    """The keys of the command."""

    @classmethod
    def read(cls, folder: str | Path) -> Run:
        """Read a directory that ``srgnn-train`` or ``study.keep`` wrote.

        Raises:
            ValueError: If the run is not finished.
            FileNotFoundError: If its configuration or its command is missing.
        """
        folder = Path(folder)
        result = RunResult.read(folder)
        kept = folder / "overrides.yaml"
        command = kept if kept.is_file() else folder / ".hydra" / kept.name
        overrides = OmegaConf.to_container(OmegaConf.load(command))
        return cls(folder, result, read_config(folder), list(map(str, overrides or ())))

    def overrides_but(self, keys: Collection[str]) -> list[str]:
        """The keys of the command without some keys, and without Hydra's own."""
        names = [key_and_value(override)[0] for override in self.overrides]
        return [
            override
            for name, override in zip(names, self.overrides, strict=True)
            if name not in keys and not name.startswith("hydra.")
        ]


def key_and_value(override: str) -> tuple[str, str]:
    """Split an override of Hydra's command line, without ``+`` and ``~``."""
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value.strip("'\"")


def require_seeds_of_one(runs: Sequence[Run]) -> None:
    """Compare runs with the first of them.

    The members of a mixture, and a teacher, may differ in their seeds, which end their folders'
    names, as in ``runs/srgnn/1``, or stand there as in a sweep's ``seed=1``.

    Raises:
        ValueError: If two differ in more than the seed; names both files and every key, and how
            their data differs.
    """
    first = runs[0]
    for run in runs:
        differ = [
            f"{key}: {first.config.get(key)} and {run.config.get(key)}"
            for key in sorted((first.config.keys() | run.config.keys()) - FREE)
            if _without_seeds(key, first.config.get(key))
            != _without_seeds(key, run.config.get(key))
        ]
        if first.result.data is not None and run.result.data is not None:
            differ += changes(first.result.data, run.result.data)
        if differ:
            raise ValueError(
                f"{first.folder / 'config.yaml'} and {run.folder / 'config.yaml'} differ in "
                f"more than the seed, so they are no runs of one configuration:\n  "
                + "\n  ".join(differ)
            )


def _without_seeds(key: str, value: Any) -> Any:
    """The value of a key; of those that name runs, the folders without what tells the seed."""
    if key not in MADE_OF or value is None:
        return value
    return [_SEED.sub("", folder) for folder in ([value] if isinstance(value, str) else value)]
