"""A run once more, from its ``config.yaml`` alone: ``--config-path RUN --config-name config``."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from pyg_srgnn.checkpoint import read_checkpoint
from pyg_srgnn.commands import train
from pyg_srgnn.training import train as train_run
from tests.commands import run
from tests.tiny import TINY, tiny_config

pytestmark = pytest.mark.slow

SHORT = [*TINY, "trainer.max_epochs=1", "test=false", "baselines=[]"]
TIMES = {"train_seconds", "samples_per_second", "versions"}


def started(folder: Path, threads: int, *arguments: str) -> None:
    """srgnn-train in a working directory, with more than one thread in a process of its own."""
    if threads == 1:
        with contextlib.chdir(folder):
            result = run(train.main, "srgnn-train", *arguments)
        assert result.status == 0, result.out + result.err
        return
    done = subprocess.run(
        [sys.executable, "-m", "pyg_srgnn.commands.train", *arguments],
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": str(Path(__file__).parents[2])}
        # Threads that wait for one another would keep busy cores from the work itself.
        | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def untimed(run_dir: Path) -> dict[str, Any]:
    metrics = json.loads((run_dir / "metrics.json").read_text())
    return {key: value for key, value in metrics.items() if key not in TIMES}


def epochs(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "epochs.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def the_run_of(folder: Path) -> Path:
    """The one run below the default directory."""
    (found,) = (run for run in (folder / "runs" / "synthetic").iterdir() if not run.is_symlink())
    return found


@pytest.mark.parametrize(
    ("threads", "keys"),
    [
        (1, ["seed=5"]),
        (2, ["deterministic=true"]),
        (2, ["deterministic=true", "model.loss=sampled", "num_workers=1", "refit=true"]),
    ],
)
def test_the_same_run_bit_for_bit(tmp_path: Path, threads: int, keys: list[str]) -> None:
    """Two runs, of which the second one knows the first one's file and nothing else."""
    # A catalogue and a width at which kernels share their work among threads.
    wide = ["dataset.num_items=600", "dataset.interest_size=60", "dataset.num_sessions=800"]
    wide += ["model.channels=64", "model.negatives=64", "dataset.root=data", "baselines=[]"]
    wide += ["trainer.limit_train_batches=5"]
    started(tmp_path, threads, *TINY, *wide, *keys, "hydra.run.dir=first")
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "first" / "config.yaml").rename(kept / "config.yaml")
    started(tmp_path, threads, "--config-path", "kept", "--config-name", "config")
    first, again = tmp_path / "first", the_run_of(tmp_path)
    assert (again / "config.yaml").read_bytes() == (kept / "config.yaml").read_bytes()
    assert untimed(again) == untimed(first)
    assert epochs(again) == epochs(first)
    names = sorted(path.name for path in (first / "checkpoints").iterdir())
    assert names == sorted(path.name for path in (again / "checkpoints").iterdir())
    for name in names:
        ours, theirs = (read_checkpoint(run / "checkpoints" / name) for run in (first, again))
        assert ours["state_dict"].keys() == theirs["state_dict"].keys()
        for key, weight in ours["state_dict"].items():
            assert torch.equal(weight, theirs["state_dict"][key]), f"{name}: {key}"
    assert not (tmp_path / "outputs").exists()
    assert [path.name for path in kept.iterdir()] == ["config.yaml"]


def test_the_key_holds_for_its_run_alone(tmp_path: Path) -> None:
    """Every algorithm is deterministic while it says so, and free again in a sweep's next job."""
    keys = ("trainer.max_epochs=1", "test=false", "baselines=[]")
    train_run(tiny_config(tmp_path, *keys, "deterministic=true"), tmp_path / "yes")
    assert torch.are_deterministic_algorithms_enabled()
    train_run(tiny_config(tmp_path, *keys), tmp_path / "no")
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a run, in the working directory's folder ``run``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    config = tiny_config(Path("data"), *SHORT[len(TINY) :])
    (tmp_path / "run" / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True))
    return tmp_path / "run" / "config.yaml"


def again(*arguments: str) -> Any:
    return run(
        train.main, "srgnn-train", "--config-path", "run", "--config-name", "config", *arguments
    )


def test_keys_may_be_overridden(stored: Path, tmp_path: Path) -> None:
    result = again("seed=7", "hydra.run.dir=other")
    assert result.status == 0, result.out + result.err
    assert untimed(tmp_path / "other")["seed"] == 7
    assert (tmp_path / "other" / "train.log").read_text() == result.out  # logged as ever


def test_a_sweep_of_a_run(stored: Path, tmp_path: Path) -> None:
    result = again("-m", "seed=0,1", "hydra.sweep.dir=sweep")
    assert result.status == 0, result.out + result.err
    found = [untimed(path.parent)["seed"] for path in (tmp_path / "sweep").rglob("metrics.json")]
    assert sorted(found) == [0, 1]


def test_help_and_the_configuration(stored: Path, tmp_path: Path) -> None:
    shown = again("--help")
    assert shown.status == 0 and shown.out.startswith("srgnn-train: ")
    assert "num_items: 40" in shown.out
    shown = again("--cfg", "job", "seed=3")
    expected = OmegaConf.load(stored)
    expected.seed = 3
    assert OmegaConf.create(shown.out) == expected
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {"chanels": 3}}, "there is no key model.chanels; did you mean model.channels?"),
        ({"optimizer": {"lr": -1}}, "optimizer.lr=-1: expected a number > 0"),
        ({"patienc": 3}, "there is no key patienc; did you mean patience?"),
    ],
)
def test_what_is_wrong_in_the_file(stored: Path, change: dict[str, Any], said: str) -> None:
    OmegaConf.save(OmegaConf.merge(OmegaConf.load(stored), change), stored)
    result = again("hydra.run.dir=other")
    assert result.status == 1 and said in result.out + result.err
    assert "Traceback" not in result.out + result.err


def test_a_key_that_an_older_file_lacks(stored: Path) -> None:
    config = OmegaConf.load(stored)
    del config["deterministic"]
    OmegaConf.save(config, stored)
    result = again("hydra.run.dir=other")
    assert result.status == 1 and "deterministic is missing; +deterministic=VALUE" in result.err
    assert again("hydra.run.dir=other", "+deterministic=true").status == 0


def test_no_run_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = again()
    assert result.status == 1 and str(tmp_path / "run" / "config.yaml") in result.err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("a: [1")
    result = again()
    assert result.status == 1 and "cannot be read as YAML" in result.err
    assert "Traceback" not in result.err


def test_a_configuration_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a defaults list it is Hydra's matter, from the working directory as well."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "mine.yaml").write_text("name: srgnn\n")
    (tmp_path / "run" / "config.yaml").write_text("defaults: [{model: mine}, _self_]\nseed: 3\n")
    shown = again("--cfg", "job")
    assert OmegaConf.create(shown.out) == {"model": {"name": "srgnn"}, "seed": 3}
