"""Optuna's study after a kill: nothing is lost, nothing is drawn twice."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.commands import train
from pyg_srgnn.sweeps.optuna_study import open_study
from tests.commands import run
from tests.sweeps.test_sweep import COUNTS

pytestmark = pytest.mark.slow

optuna = pytest.importorskip("optuna")


def configured(folder: Path, *told: str, **sweeper: Any) -> DictConfig:
    """Hydra's configuration with the plugin's defaults; read-only, as Hydra has it."""
    defaults = {
        "direction": "minimize",
        "storage": None,
        "study_name": None,
        "n_trials": 20,
        "n_jobs": 2,
        "max_failure_rate": 0.0,
        "sampler": {"seed": 7},
    }
    hydra = OmegaConf.create(
        {
            "sweeper": defaults | sweeper,
            "launcher": {"n_jobs": 3},
            "sweep": {"dir": str(folder)},
            "overrides": {"hydra": list(told)},
        }
    )
    OmegaConf.set_readonly(hydra, True)
    return hydra


def test_what_the_study_is_where_nobody_said(tmp_path: Path) -> None:
    hydra = configured(tmp_path)
    open_study(hydra)
    sweeper = hydra.sweeper
    assert sweeper.storage == f"sqlite:///{tmp_path}/study.db" and sweeper.study_name == "sweep"
    assert (sweeper.direction, sweeper.n_jobs, sweeper.max_failure_rate) == ("maximize", 3, 1.0)
    assert (sweeper.n_trials, sweeper.sampler.seed) == (20, 7)
    told = configured(tmp_path, "hydra.sweeper.direction=minimize", n_jobs=5)
    open_study(told)
    assert (told.sweeper.direction, told.sweeper.n_jobs) == ("minimize", 5)


def test_a_study_goes_on(tmp_path: Path) -> None:
    warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
    hydra = configured(tmp_path, n_trials=6)
    open_study(hydra)
    space = {
        "x": optuna.distributions.LogUniformDistribution(1e-7, 1.0),
        "y": optuna.distributions.CategoricalDistribution([True, "a", 3, 0.1]),
    }
    study = optuna.create_study(
        study_name="sweep", storage=hydra.sweeper.storage, direction="maximize"
    )
    complete, failed, killed, half = (study.ask() for _ in range(4))
    for trial in (complete, failed, killed):
        for name, distribution in space.items():
            trial._suggest(name, distribution)
    x = half._suggest("x", space["x"])  # killed while its values were drawn
    study.tell(complete, 0.5)
    study.tell(failed, state=optuna.trial.TrialState.FAIL)
    for _ in range(3):  # killed again before anything was done
        hydra = configured(tmp_path, n_trials=6)
        open_study(hydra)
        assert (hydra.sweeper.n_trials, hydra.sweeper.sampler.seed > 7) == (5, True)
    study = optuna.load_study(study_name="sweep", storage=hydra.sweeper.storage)
    again = [study.ask(space) for _ in range(4)]
    assert [trial.params for trial in again[:1]] == [killed.params]
    assert again[1].params["x"] == x and again[1].number == half.number
    assert again[2].params == failed.params
    assert again[3].params not in [trial.params for trial in (*again[:3], complete)]
    assert len(study.trials) == 6
    # An override is text: the job's directory is found only if the number survives that.
    assert all(float(f"{trial.params['x']}") == trial.params["x"] for trial in again)


def test_a_sweep_by_optuna_counts_complete_trials_and_tries_failed_ones_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [
        "-m",
        *COUNTS,
        f"dataset.root={tmp_path / 'datasets'}",
        "hydra/sweeper=optuna",
        "hydra.sweep.dir=sweep",
        "model.shrinkage=interval(0.0,100.0)",
        "model.neighbours=choice(5,-1)",
    ]
    seed = "hydra.sweeper.sampler.seed=1"
    first = run(train.main, "srgnn-train", *command, "hydra.sweeper.n_trials=4", seed)

    def states() -> list[str]:
        study = optuna.load_study(study_name="sweep", storage="sqlite:///sweep/study.db")
        return [trial.state.name for trial in study.trials]

    once = states()
    complete, failed = once.count("COMPLETE"), once.count("FAIL")
    assert complete + failed == 4 and complete and failed, "the seed should draw both"
    assert first.status == 1 and f"{failed} jobs have failed" in first.out
    jobs = set(Path("sweep").rglob("metrics.json"))
    assert len(jobs) == complete
    last = run(train.main, "srgnn-train", *command, f"hydra.sweeper.n_trials={complete + failed}")
    assert last.status == 1
    assert states().count("COMPLETE") == complete and states().count("FAIL") == 2 * failed
    assert set(Path("sweep").rglob("metrics.json")) == jobs
    done = run(train.main, "srgnn-train", *command, f"hydra.sweeper.n_trials={complete}")
    assert done.status == 0 and len(states()) == complete + 2 * failed + failed
