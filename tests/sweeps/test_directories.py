"""A command finds its sweep again, and a job its directory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from pyg_srgnn.sweeps.directories import fixed_keys, job_name, sweep_name


def named(*overrides: str) -> str:
    return sweep_name(OverridesParser.create().parse_overrides(list(overrides)))


SWEEP = ("seed=0,1", "model.num_steps=range(1,4)", "test=false", "dataset=diginetica")


def test_the_same_sweep_has_the_same_name() -> None:
    name = named(*SWEEP)
    assert named(*reversed(SWEEP)) == name
    assert re.fullmatch(
        r"dataset-diginetica_model\.num_steps-range_1-4__seed-0-1_[0-9a-f]{8}", name
    )


def test_a_sweep_is_found_under_the_name_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    digest = named(*SWEEP).rpartition("_")[2]
    old = f"dataset=diginetica,model.num_steps=range_1,4_,seed=0,1_{digest}"
    Path("runs", "sweeps", old).mkdir(parents=True)
    assert named(*SWEEP) == old
    assert named(*SWEEP, "model.dropout=0.1") != old


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


@pytest.mark.parametrize(
    ("dirname", "name"),
    [
        ("model.num_steps=1,seed=0", "model.num_steps-1_seed-0"),
        ("optimizer.lr=1e-05,seed=0", "optimizer.lr-1e-05_seed-0"),
        ("+x=-1", "+x--1"),
        ("", "job"),
    ],
)
def test_a_jobs_name_is_readable(dirname: str, name: str, tmp_path: Path) -> None:
    assert job_name(dirname, str(tmp_path)) == name


def test_a_jobs_name_is_its_own(tmp_path: Path) -> None:
    texts = ["a=x/y", "a=x y", "a=x_y", "a=../..", "b=" + 200 * "x", "b=" + 201 * "x"]
    texts += ["a=1,b=2", "a=1_b-2", "a='1,b=2'", "a-1_b=2", "a=1-b=2", "a-b=1", "a=b-1", "a=-1"]
    texts += ["a=,b=1", "a=_b-1", "a=[1,2]", "a=[1_2]", "~a", "a=", "job", "a=1,a_b=2", "a=1_a,b=2"]
    names = [job_name(text, str(tmp_path)) for text in texts]
    assert len(set(names)) == len(texts)
    # Neither Hydra's grammar nor a shell asks for quotes around such a path.
    assert all(re.fullmatch(r"[-\w.+]{1,100}", name) for name in names)


@given(st.lists(st.tuples(st.text("ab-_", min_size=1), st.text("ab-_.")), max_size=3).map(dict))
def test_no_two_jobs_have_one_name(items: dict[str, str]) -> None:
    """A name without a digest is read back in one way."""
    name = job_name(",".join(f"{key}={value}" for key, value in items.items()), "")
    if not re.search("(^|_)[0-9a-f]{8}$", name) and items:
        pairs = re.findall(r"(.+?)-(.*?)(?:_|$)", name)
        assert dict(pairs) == items


def test_a_job_that_has_an_old_name_keeps_it(tmp_path: Path) -> None:
    old = "model.num_steps=1,seed=0"
    (tmp_path / old).mkdir()
    assert job_name(old, str(tmp_path)) == old
    assert job_name("model.num_steps=2,seed=0", str(tmp_path)) == "model.num_steps-2_seed-0"
    digest = job_name("model=a/b", str(tmp_path)).rpartition("_")[2]
    (tmp_path / f"model=a_b_{digest}").mkdir()
    assert job_name("model=a/b", str(tmp_path)) == f"model=a_b_{digest}"


def test_keys_with_one_value_need_not_stand_in_names() -> None:
    overrides = [*SWEEP, "+hydra.callbacks.x=1", "model.dropout=interval(0,1)"]
    parsed = OverridesParser.create().parse_overrides(overrides)
    assert fixed_keys(parsed) == ["dataset", "hydra.callbacks.x", "test"]
    parsed = OverridesParser.create().parse_overrides(["seed=3", "test=false", "seed=0,1"])
    assert fixed_keys(parsed) == ["test"], "or all its jobs would have one name"
