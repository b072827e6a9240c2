"""A command that is refused leaves no directory behind; what has begun keeps its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyg_srgnn.commands import evaluate, train
from tests.commands import run
from tests.tiny import TINY


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


REFUSED = {
    "a value": ["model.dropout=2"],
    "a key": ["+model.colour=red"],
    "a log that is not there": ["dataset=click_log", "dataset.path=nowhere.csv", "refit=true"],
    "a run that is not there": ["checkpoint=nowhere"],
    "weights that are not there": ["warm_start=nowhere"],
    "a value that only Lightning knows": ["trainer.limit_train_batches=0.0001"],
}


@pytest.mark.slow
@pytest.mark.parametrize("why", REFUSED)
def test_a_refused_run_leaves_no_directory(
    tmp_path_factory: pytest.TempPathFactory, why: str
) -> None:
    keys = [f"dataset.root={tmp_path_factory.mktemp('datasets')}", *REFUSED[why]]
    tiny = [key for key in TINY if "dataset=click_log" not in keys or "dataset." not in key]
    result = run(train.main, "srgnn-train", *tiny, *keys)
    assert result.status == 1 and result.out + result.err
    assert "Traceback" not in result.err and "Logging error" not in result.err
    assert list(Path.cwd().iterdir()) == []


def test_a_directory_that_was_there_stays() -> None:
    Path("mine").mkdir()
    Path("runs/synthetic/earlier").mkdir(parents=True)
    assert run(train.main, "srgnn-train", "model.dropout=2", "hydra.run.dir=mine").status == 1
    assert "dropout" in json.loads(Path("mine/error.json").read_text())["message"]
    assert run(train.main, "srgnn-train", "model.dropout=2").status == 1
    assert [path.name for path in Path("runs/synthetic").iterdir()] == ["earlier"]


def test_a_run_that_has_begun_keeps_its_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = f"dataset.root={tmp_path_factory.mktemp('datasets')}"
    result = run(train.main, "srgnn-train", *TINY, root, "optimizer.lr=1e38", "hydra.run.dir=run")
    assert result.status == 1
    assert "is not a number" in json.loads(Path("run/error.json").read_text())["message"]


def test_a_sweeps_failed_job_keeps_its_error() -> None:
    result = run(train.main, "srgnn-train", "-m", "model.dropout=2,3", "hydra.sweep.dir=sweep")
    assert result.status == 1 and len(list(Path("sweep").rglob("error.json"))) == 2


def test_a_refused_evaluation_leaves_no_directory() -> None:
    assert run(evaluate.main, "srgnn-evaluate", "checkpoint=nowhere").status == 1
    assert list(Path.cwd().iterdir()) == []
