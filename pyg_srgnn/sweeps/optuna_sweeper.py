"""Hydra sweeper that searches with Optuna and resumes its study."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.sweeps.parallel import count

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

STUDY = "study.db"


class OptunaSweeper(Sweeper):
    """Runs trials that Optuna draws, in batches, until enough of them have a value.

    The study is kept in the sweep's directory. A trial that was killed or has failed is repeated
    with the same values by the next start: the name of a job's directory is made of them, so the
    job resumes from its checkpoint. The value of a job is maximized.

    Args:
        sampler: Makes Optuna's sampler of ``seed``, which is moved on by the trials that an earlier
            start has drawn.
        n_trials: Trials with a value, those of earlier starts included.
        n_jobs: Trials drawn at once. (default: None, as many as the launcher runs)
        params: Overrides, by key, before those of the command. (default: None)
    """

    def __init__(
        self,
        sampler: partial[BaseSampler],
        n_trials: int,
        n_jobs: int | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self.sampler = sampler
        self.n_trials, self.n_jobs = n_trials, n_jobs
        self.params = params or {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Make the launcher."""
        self.directory = Path(config.hydra.sweep.dir)
        self.loader = hydra_context.config_loader
        if self.n_jobs is None:
            self.n_jobs = count(OmegaConf.select(config.hydra, "launcher.n_jobs") or 1)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials that are left.

        Args:
            arguments: The overrides of the command: fixed ones, and those that are searched.
        """
        from optuna.trial import TrialState

        words = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        parsed = OverridesParser.create(self.loader).parse_overrides(words)
        overrides = {override.get_key_element(): override for override in parsed}
        searched = {key: o for key, o in overrides.items() if o.is_sweep_override()}
        fixed = {k: o.get_value_element_as_str() for k, o in overrides.items() if k not in searched}
        space = {key: distribution(o) for key, o in searched.items()}
        study = open_study(self.directory, self.sampler)
        complete = len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]))
        if study.trials:
            print(f"resuming after {complete} of {self.n_trials} trials", flush=True)
        first = 0
        while (left := self.n_trials - complete - first) > 0:
            trials = [study.ask(space) for _ in range(min(left, self.n_jobs or 1))]
            jobs = [
                [f"{key}={value}" for key, value in (trial.params | fixed).items()]
                for trial in trials
            ]
            assert self.launcher is not None
            returned = self.launcher.launch(jobs, initial_job_idx=first)
            for trial, job in zip(trials, returned, strict=True):
                if job.status == JobStatus.COMPLETED:
                    study.tell(trial, job.return_value)
                else:
                    study.tell(trial, state=TrialState.FAIL)
            first += len(trials)


def distribution(override: Override) -> BaseDistribution:
    """Optuna's distribution of a key that is searched.

    Args:
        override: An interval (``tag(log,…)`` for a logarithmic one), a range, of which the end is
            included, or choices; of whole numbers where its ends are.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    low: Any
    high: Any
    options: dict[str, Any]
    if isinstance(value, IntervalSweep):
        low, high, options = value.start, value.end, {"log": "log" in value.tags}
    elif isinstance(value, RangeSweep) and not value.shuffle:
        low, high, options = value.start, value.stop, {"step": value.step}
    else:
        choices: Any = override.sweep_iterator(Transformer.encode)
        return CategoricalDistribution(list(choices))
    whole = all(isinstance(number, int) for number in (low, high, options.get("step", 1)))
    return (IntDistribution if whole else FloatDistribution)(low, high, **options)


def open_study(directory: Path, sampler: partial[BaseSampler]) -> Study:
    """Open the study of a sweep, with the trials to be repeated in front.

    Args:
        directory: Of the sweep. A study of an earlier version of Optuna is upgraded.
        sampler: As of :class:`OptunaSweeper`.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(logging.WARNING)
    directory.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{(directory / STUDY).absolute()}", skip_compatibility_check=True
    )
    if storage.get_current_version() != storage.get_head_version():
        with warnings.catch_warnings(action="ignore"):  # of how such a study was written
            storage.upgrade()
    study = optuna.create_study(
        study_name="sweep", storage=storage, direction="maximize", load_if_exists=True
    )
    trials = study.trials
    repeated = {trial.user_attrs.get("repeats") for trial in trials}
    for trial in trials:
        if trial.state == TrialState.RUNNING:  # of a start that was killed
            study.tell(trial.number, state=TrialState.FAIL)
        if trial.state in (TrialState.RUNNING, TrialState.FAIL) and trial.number not in repeated:
            study.enqueue_trial(trial.params, user_attrs={"repeats": trial.number})
    seed = sampler.keywords.get("seed")
    study.sampler = sampler() if seed is None else sampler(seed=seed + len(trials))
    return study
