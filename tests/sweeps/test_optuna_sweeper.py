"""Optuna's study after a kill: no trial is lost, none is drawn twice."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn.commands import train
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.sweeps.optuna_sweeper import distribution, open_study
from pyg_srgnn.sweeps.overrides import parse_overrides
from tests.commands import run
from tests.sweeps.test_sweep import COUNTS

optuna = pytest.importorskip("optuna")
SEEDED = partial(optuna.samplers.RandomSampler, seed=7)
SPACE: dict[str, Any] = {
    "x": optuna.distributions.FloatDistribution(1e-7, 1.0, log=True),
    "y": optuna.distributions.CategoricalDistribution([True, "a", 3, 0.1]),
}


def test_killed_and_failed_trials_are_repeated_first(tmp_path: Path) -> None:
    study = open_study(tmp_path, SEEDED)
    complete, failed, killed = (study.ask(SPACE) for _ in range(3))
    half = study.ask()
    x = half._suggest("x", SPACE["x"])  # killed while its values were drawn
    study.tell(complete, 0.5)
    study.tell(failed, state=optuna.trial.TrialState.FAIL)
    for _ in range(3):  # killed again before anything was done
        study = open_study(tmp_path, SEEDED)
    again = [study.ask(SPACE) for _ in range(4)]
    assert [trial.params for trial in again[:2]] == [failed.params, killed.params]
    assert again[2].params["x"] == x
    assert again[3].params not in [trial.params for trial in (*again[:3], complete)]
    assert len(study.trials) == 8
    # An override is text: the job's directory is found only if the number survives that.
    assert all(float(f"{trial.params['x']}") == trial.params["x"] for trial in again)


def test_the_same_seed_draws_the_same_values(tmp_path: Path) -> None:
    def drawn(name: str) -> list[dict[str, Any]]:
        study = open_study(tmp_path / name, SEEDED)
        return [study.ask(SPACE).params for _ in range(3)]

    assert drawn("a") == drawn("b")


def test_a_study_of_optuna_2_10_is_resumed(tmp_path: Path) -> None:
    """It was written by three trials of ``search=item_knn`` with the sweeper of that time."""
    written = (Path(__file__).parent / "study_2_10.sql").read_text()
    with sqlite3.connect(tmp_path / "study.db") as file:
        file.executescript(written)
    file.close()
    study = open_study(tmp_path, SEEDED)
    assert [trial.value for trial in study.trials] == [0.3671875, 0.359375, 0.3671875]
    search = [
        "model.shrinkage=tag(log,interval(0.1,500.0))",
        "model.neighbours=choice(50,100,200,500)",
    ]
    space = {o.key_or_group: distribution(o) for o in parse_overrides(search, CONF)}
    study.tell(study.ask(space), 0.4)
    assert study.best_value == 0.4 and study.best_params not in [t.params for t in study.trials[:3]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("int(interval(1,8))", optuna.distributions.IntDistribution(1, 8)),
        ("interval(0.5,8)", optuna.distributions.FloatDistribution(0.5, 8.0)),
        ("int(tag(log,interval(1,8)))", optuna.distributions.IntDistribution(1, 8, log=True)),
        ("range(2,8,2)", optuna.distributions.IntDistribution(2, 8, step=2)),
        ("range(0.0,1.0,0.5)", optuna.distributions.FloatDistribution(0.0, 1.0, step=0.5)),
        ("a,3,true", optuna.distributions.CategoricalDistribution(["a", 3, True])),
        ("null,'b c'", optuna.distributions.CategoricalDistribution(["null", "'b c'"])),
        ("glob(f*)", optuna.distributions.CategoricalDistribution(["fast"])),
    ],
)
def test_distributions(values: str, expected: Any) -> None:
    (override,) = parse_overrides([f"experiment={values}"], CONF)
    assert distribution(override) == expected


@pytest.mark.slow
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
