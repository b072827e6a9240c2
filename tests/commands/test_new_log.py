"""A log's recommendations: its sessions are made by the rules that the model was trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.commands import export, recommend, train
from pyg_srgnn.datasets import RetailRocket
from tests.commands import Result, run
from tests.commands.test_click_log import SMALL
from tests.datasets.test_retailrocket import write

pytestmark = pytest.mark.slow

VIEWS = [("a", 0, 1), ("a", 60, 2), ("a", 4000, 3), ("a", 4060, 4), ("a", 4060, 4), ("a", 4070, 4)]


def write_log(
    path: Path, names: str = "timestamp,visitorid,event,itemid", unit: int = 1000
) -> Path:
    rows = [f"{unit * (1_430_000_000 + t)},{who},view,{item}" for who, t, item in VIEWS]
    path.write_text("\n".join([names, *rows, ""]), encoding="utf-8")
    return path


def trained(folder: Path, *keys: str) -> Path:
    result = run(
        train.main,
        "srgnn-train",
        *(*keys, *SMALL, f"dataset.root={folder}", f"hydra.run.dir={folder / 'run'}"),
        "trainer.limit_train_batches=2",
        "refit=false",
    )
    assert result.status == 0, result.err
    return folder / "run"


@pytest.fixture(scope="module")
def retailrocket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retailrocket")
    raw = folder / "retailrocket" / "raw"
    raw.mkdir(parents=True)
    write(raw / "events.csv")
    return trained(folder, "dataset=retailrocket")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of sessions that were prepared, and saved, before."""
    folder = tmp_path_factory.mktemp("prepared")
    write(folder / "events.csv")
    rules: dict[str, Any] = {"gap": "2h", "dedupe": True, "max_length": 4}
    prepare(folder / "events.csv", Preparation(**rules)).save(folder / "sessions")
    return trained(folder, "dataset=click_log", f"dataset.path={folder / 'sessions'}")


def recommended(checkpoint: Path, log: Path, *keys: str) -> Result:
    output = log.with_name("top.parquet")
    places = [f"checkpoint={checkpoint}", f"input={log}", f"output={output}"]
    return run(recommend.main, "srgnn-recommend", *places, *keys)


def serves(checkpoint: Path, log: Path, session: list[int], *keys: str) -> None:
    """Recommending for the log is recommending for this session."""
    result = recommended(checkpoint, log, "k=5", *keys)
    assert result.status == 0, result.err
    (row,) = pl.read_parquet(log.with_name("top.parquet")).to_dicts()
    (best,) = Recommender.load(checkpoint).recommend([session], 5)
    assert row["items"] == [item for item, _ in best]
    assert row["scores"] == pytest.approx([score for _, score in best], abs=1e-5)


@pytest.mark.parametrize("exported", [False, True])
def test_a_benchmark(retailrocket: Path, tmp_path: Path, exported: bool) -> None:
    """Of a visitor's views, those after the last 30 minutes of silence count."""
    model = retailrocket
    if exported:
        model = tmp_path / "export"
        result = run(export.main, "srgnn-export", f"checkpoint={retailrocket}", f"output={model}")
        assert result.status == 0, result.err
    serves(model, write_log(tmp_path / "log.csv"), [3, 4, 4, 4])


def test_sessions_that_were_prepared_before(prepared: Path, tmp_path: Path) -> None:
    serves(prepared, write_log(tmp_path / "log.csv"), [2, 3, 4, 4])


def test_the_checkpoint_of_an_earlier_version(retailrocket: Path, tmp_path: Path) -> None:
    stored = torch.load(Checkpoint.load(retailrocket).path, weights_only=True)
    assert stored.pop("preparation") == RetailRocket.preparation.to_dict()
    torch.save(stored, tmp_path / "old.ckpt")
    assert Checkpoint.load(tmp_path / "old.ckpt").preparation is None
    log = write_log(tmp_path / "log.csv", "timestamp,session,event,itemid")
    serves(tmp_path / "old.ckpt", log, [item for *_, item in VIEWS])
    stored["dataset"] = {"name": "click_log", "path": "log.csv", "gap": "30m", "valid": 0.1}
    torch.save(stored, tmp_path / "old.ckpt")
    assert Checkpoint.load(tmp_path / "old.ckpt").preparation == {"gap": "30m"}


def test_columns_with_other_names(retailrocket: Path, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", "when,who,event,what", unit=1)
    result = recommended(retailrocket, log)
    assert result.status == 1
    assert "no column known to be the user" in result.err + result.out
    assert "Give log.user=COLUMN" in result.err + result.out
    assert "dataset." not in result.err + result.out
    keys = ["log.user=who", "log.item=what", "log.time=when"]
    serves(retailrocket, log, [3, 4, 4, 4], *keys)
    serves(retailrocket, log, [3, 4, 4, 4], *keys, "log.where={event: view}")


def test_guessed_columns_are_said(retailrocket: Path, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", "ts,user,event,itemid", unit=1)
    result = recommended(retailrocket, log)
    assert "user=user (guessed), item=itemid, time=ts (guessed)" in result.out + result.err


def test_errors_name_keys_of_this_command(retailrocket: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dataset.time"  # which is no key
    folder.mkdir()
    log = write_log(folder / "log.csv", unit=1)
    result = recommended(retailrocket, log)
    said = result.out + result.err
    assert result.status == 1 and f"{folder / 'log.csv'}, line 2" in said
    assert "Give log.time_format=s, ms, us or ns" in said and "log.on_bad_rows=skip" in said
    serves(retailrocket, log, [3, 4, 4, 4], "log.time_format=s")


def test_how_a_log_is_read_without_one(retailrocket: Path) -> None:
    result = run(
        recommend.main, "srgnn-recommend", f"checkpoint={retailrocket}", "items=[1]", "log.time=t"
    )
    assert result.status == 1
    assert "log.time='t': expected null without input=FILE" in result.out + result.err
