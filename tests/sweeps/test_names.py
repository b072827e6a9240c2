"""A command finds its sweep again, and a job its directory."""

from __future__ import annotations

import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from pyg_srgnn.sweeps.names import fixed_keys, job_name, sweep_name


def named(*overrides: str) -> str:
    return sweep_name(OverridesParser.create().parse_overrides(list(overrides)))


SWEEP = ("seed=0,1", "model.num_steps=range(1,4)", "test=false", "dataset=diginetica")


def test_the_same_sweep_has_the_same_name() -> None:
    name = named(*SWEEP)
    assert named(*reversed(SWEEP)) == name
    assert re.fullmatch(
        r"dataset=diginetica,model\.num_steps=range_1,4_,seed=0,1_[0-9a-f]{8}", name
    )


@pytest.mark.parametrize(
    "override",
    [
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=3",
        "hydra.sweeper.n_trials=7",
        "hydra.mode=MULTIRUN",
        "trainer.enable_progress_bar=false",
        "threads=2",
        "dataset.root=/elsewhere",
    ],
)
def test_what_cannot_change_a_number_does_not_change_the_name(override: str) -> None:
    assert named(*SWEEP, override) == named(*SWEEP)


@pytest.mark.parametrize(
    "override",
    [
        "model.dropout=0.1",
        "trainer.max_epochs=3",
        "hydra/sweeper=optuna",
        "hydra.sweeper.sampler.seed=3",
        "+hydra.sweeper.params.model.scale=1,2",
    ],
)
def test_what_changes_the_jobs_changes_the_name(override: str) -> None:
    assert named(*SWEEP, override) != named(*SWEEP)


def test_the_configuration_of_another_run_makes_another_sweep() -> None:
    parsed = OverridesParser.create().parse_overrides(list(SWEEP))
    assert len({sweep_name(parsed, "a"), sweep_name(parsed, "b"), sweep_name(parsed)}) == 3


def test_a_jobs_name_is_readable_and_its_own() -> None:
    assert job_name("model.num_steps=1,seed=0") == "model.num_steps=1,seed=0"
    assert job_name("") == "job"
    odd = [job_name(text) for text in ("a=x/y", "a=x y", "a=x_y", "a=../..", "b=" + 200 * "x")]
    assert len(set(odd)) == len(odd)
    assert all(re.fullmatch(r"[-\w.,=+]{1,100}", name) for name in odd)


def test_keys_with_one_value_need_not_stand_in_names() -> None:
    overrides = [*SWEEP, "+hydra.callbacks.x=1", "model.dropout=interval(0,1)"]
    parsed = OverridesParser.create().parse_overrides(overrides)
    assert fixed_keys(parsed) == ["dataset", "hydra.callbacks.x", "test"]
