"""Resume Optuna's study where a sweep was killed: no trial is lost, none is run twice."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from pyg_srgnn.sweeps.parallel import count

log = logging.getLogger(__name__)

SWEEPER = "hydra_plugins.hydra_optuna_sweeper"


# What the plugin's configuration has where nobody said otherwise, and what it is here.
_DEFAULTS: dict[str, tuple[Any, Any]] = {
    "direction": ("minimize", "maximize"),
    "study_name": (None, "sweep"),
    "max_failure_rate": (0.0, 1.0),  # a failed job does not end the sweep
}


def open_study(hydra: DictConfig) -> None:
    """Keep Optuna's study in the sweep's directory, and resume the one that is there.

    A trial that was running when the sweep was killed waits to be asked for again, with what was
    drawn for it: its job finds its directory, whose name is made of just that, and resumes from its
    checkpoint. What failed is tried again, like a failed job of any sweep.

    Args:
        hydra: Hydra's part of the configuration. Of its ``sweeper``, ``n_trials`` is lowered by
            the trials that are complete, and a seed of the sampler is moved on, or it would draw
            the same values again.
    """
    sweeper = hydra.sweeper
    told = {line.partition("=")[0].lstrip("+") for line in hydra.overrides.hydra}
    at_once = count(OmegaConf.select(hydra, "launcher.n_jobs") or 1)
    defaults = _DEFAULTS | {
        "storage": (None, f"sqlite:///{Path(hydra.sweep.dir).absolute()}/study.db"),
        "n_jobs": (2, at_once),  # drawn at once: as many as the launcher runs
    }
    with read_write(sweeper), open_dict(sweeper):
        for key, (theirs, ours) in defaults.items():
            found = sweeper[key]
            if getattr(found, "name", found) == theirs and f"hydra.sweeper.{key}" not in told:
                sweeper[key] = ours
        _resume(sweeper)


def _resume(sweeper: DictConfig) -> None:
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(logging.WARNING)
    # What this old Optuna calls experimental works as it should.
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    summaries = optuna.get_all_study_summaries(storage=sweeper.storage)
    if sweeper.study_name not in {summary.study_name for summary in summaries}:
        return
    study = optuna.load_study(study_name=sweeper.study_name, storage=sweeper.storage)
    trials = study.get_trials()
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            study._storage.set_trial_state(trial._trial_id, TrialState.WAITING)
    tried: list[Any] = [trial.params for trial in trials if trial.state != TrialState.FAIL]
    tried += [t.system_attrs.get("fixed_params") for t in trials if t.state == TrialState.WAITING]
    for trial in trials:
        if trial.state == TrialState.FAIL and trial.params not in tried:
            study.enqueue_trial(trial.params)
            tried.append(trial.params)
    complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
    log.info("resuming after %d of %d trials", complete, sweeper.n_trials)
    sweeper.n_trials = max(0, sweeper.n_trials - complete)
    if OmegaConf.select(sweeper, "sampler.seed") is not None:
        sweeper.sampler.seed += len(trials)
