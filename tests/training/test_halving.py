"""Successive halving against naive loops, and the files of a stopped run."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.runs.result import RunResult
from pyg_srgnn.training import train
from pyg_srgnn.training.halving import best_until, is_among_best, is_rung
from tests.tiny import tiny_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


def test_the_best_of_those_that_have_come_as_far_go_on() -> None:
    draw = random.Random(0)
    for _ in range(500):
        eta, mine = draw.randint(2, 4), draw.randint(0, 5) / 5
        others = [draw.randint(0, 5) / 5 for _ in range(draw.randint(0, 9))]
        ranking = sorted([mine, *others], reverse=True)
        kept = ranking[: max(1, len(ranking) // eta)]
        assert is_among_best(mine, others, eta) == (mine >= kept[-1])


def test_rungs() -> None:
    assert [e for e in range(1, 30) if is_rung(e, 1, 3)] == [1, 3, 9, 27]
    assert [e for e in range(1, 30) if is_rung(e, 2, 2)] == [2, 4, 8, 16]


def test_the_value_at_a_rung_is_the_best_so_far() -> None:
    rows = [{"epoch": 1, "v": 0.3}, {"epoch": 2}, {"epoch": 3, "v": 0.2}, {"epoch": 4, "v": 0.9}]
    assert best_until(rows, "v", 3) == 0.3
    assert best_until(rows, "v", 5) is None and best_until([], "v", 1) is None
    assert best_until([{"epoch": 1.0}], "v", 1) is None


def configured(root: Path, *overrides: str) -> DictConfig:
    settings = ("trainer.max_epochs=3", "halving=2", "baselines=[]", "refit=true", *overrides)
    return tiny_config(root, *settings)


def other_run(sweep: Path, name: str, config: DictConfig, values: list[float]) -> None:
    """The files of a run of the sweep, as far as others look at them."""
    folder = sweep / "deeper" / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True))
    with (folder / "epochs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "loss", "valid/hr@20"])
        writer.writerows([epoch, 1.0, value] for epoch, value in enumerate(values, 1))


def test_a_run_left_behind_is_stopped_and_reads_no_test_set(root: Path, tmp_path: Path) -> None:
    config = configured(root)
    other_run(tmp_path, "better", config, [1.0, 1.0])
    result = train(config, tmp_path / "run", tmp_path)
    assert result.pruned == 1 and result.epochs == 1 and result.best_epoch == 1
    assert result.test is None and result.baselines == {}
    assert 0 < result.valid["hr@20"] < 1
    assert RunResult.read(tmp_path / "run") == result
    assert not (tmp_path / "run" / "refit.csv").exists()


def test_runs_of_another_kind_are_not_looked_at(root: Path, tmp_path: Path) -> None:
    config = configured(root, "refit=false", "test=false")
    other_run(tmp_path, "longer", configured(root, "trainer.max_epochs=4"), [1.0, 1.0, 1.0])
    other_run(tmp_path, "elsewhere", configured(root, "dataset.valid=0.2"), [1.0, 1.0, 1.0])
    other_run(tmp_path, "monitor", configured(root, "monitor=mrr@20"), [1.0, 1.0, 1.0])
    result = train(config, tmp_path / "run", tmp_path)
    assert result.pruned is None and result.epochs == 3


def test_runs_on_other_data_are_not_looked_at(root: Path, tmp_path: Path) -> None:
    config = configured(root, "refit=false", "test=false", "text=null")
    other_run(tmp_path, "better", config, [1.0, 1.0])
    data = open_dataset(config.dataset, "train").fingerprint
    known = tmp_path / "deeper" / "better" / "data.json"
    known.write_text(json.dumps(data | {"test": data["training"]}))
    assert train(config, tmp_path / "one", tmp_path).pruned is None
    known.write_text(json.dumps(data))
    assert train(config, tmp_path / "two", tmp_path).pruned == 1


def test_a_stopped_run_stays_stopped_when_resumed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while another one was better; killed before the end; then that one is gone."""
    config = configured(root)
    other_run(tmp_path, "better", config, [1.0, 1.0])

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pyg_srgnn.training.run._tested", dies)
        train(config, tmp_path / "run", tmp_path)
    (tmp_path / "deeper" / "better" / "epochs.csv").unlink()
    assert train(config, tmp_path / "run", tmp_path).pruned == 1
