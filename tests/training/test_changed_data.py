"""Data that changes under a run: nothing resumes, refits, evaluates or reports on it unnoticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.commands import evaluate
from pyg_srgnn.commands import train as train_command
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.datasets import DATASETS, ClickLog, SessionDataset, open_dataset
from pyg_srgnn.training import train
from tests.commands import run
from tests.training.interruption import interrupted

pytestmark = pytest.mark.slow

START = 1_700_000_000
WAYS_OUT = (r"hydra\.run\.dir=DIR", r"resume=false")


def write(log: Path, step: int = 1, items: int = 60, order: int = 1) -> None:
    """A session of four clicks from every item, each ``step`` after the one before.

    ``order`` is by how much the items of the sessions differ from one session to the next.
    """
    rows = [
        f"{session},i{(session * order + step * click) % items},{START + 9 * session + click}"
        for session in range(3 * items)
        for click in range(4)
    ]
    log.write_text("\n".join(["session,item,time", *rows]) + "\n", encoding="utf-8")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write(tmp_path / "clicks.csv")
    return tmp_path / "clicks.csv"


def keys(log: Path, *overrides: str) -> list[str]:
    return [
        *("dataset=click_log", f"dataset.path={log}", f"dataset.root={log.parent}"),
        *("model=srgnn_plain", "model.channels=32", "trainer.accelerator=cpu", "baselines=[]"),
        *("batch_size=50", "optimizer.lr=0.03", "optimizer.schedule=step", "patience=9"),
        *("trainer.max_epochs=3", "trainer.enable_progress_bar=false", *overrides),
    ]


def config(log: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", keys(log, *overrides))


def follows(run_dir: Path, step: int) -> int:
    """Of how many of the 60 items the one ``step`` after it is recommended first."""
    recommender = Recommender.load(run_dir)
    best = recommender.recommend([[f"i{item}"] for item in range(60)], k=1)
    return sum(row[0][0] == f"i{(item + step) % 60}" for item, row in enumerate(best))


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "other steps": (lambda log: write(log, step=2), "training sessions: as many, but other clicks"),
    "other order": (lambda log: write(log, order=7), "items: the same 60, in another order"),
    "one more": (lambda log: write(log, items=61), "items: 60 there, 61 here"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_stopped_run_is_not_resumed(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    rewrite, message = CHANGES[change]
    interrupted(config(log), tmp_path / "run", monkeypatch)
    files = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.ckpt")}
    rewrite(log)
    for way_out in WAYS_OUT:
        with pytest.raises(
            ValueError, match=rf"(?s)the data has changed since.*{message}.*{way_out}"
        ):
            train(config(log), tmp_path / "run")
    assert {path: path.read_bytes() for path in files} == files
    if change == "one more":
        with pytest.raises(ValueError, match=r"training sessions: 162 there, 165 here"):
            train(config(log), tmp_path / "run")
    with pytest.raises(ValueError, match=r"(?s)^checkpoint=.*has changed since.*warm_start"):
        train(config(log, f"checkpoint={tmp_path / 'run'}"), tmp_path / "other")
    assert not (tmp_path / "other" / "checkpoints").exists()


def test_a_run_begins_anew_in_its_directory(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = "trainer.max_epochs=8"
    interrupted(config(log, longer), tmp_path / "run", monkeypatch)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    write(log, step=2)
    result = train(config(log, longer, "resume=false"), tmp_path / "run")
    assert follows(tmp_path / "run", step=2) > 30 > 10 > follows(tmp_path / "run", step=1)
    assert result.epochs == 8 and (tmp_path / "run" / "notes.txt").read_text() == "mine"
    data = open_dataset(config(log).dataset, "train").fingerprint
    assert data == result.data == json.loads((tmp_path / "run" / "data.json").read_text())
    assert data == Checkpoint.load(tmp_path / "run").data
    assert train(config(log, longer), tmp_path / "run") == result  # whatever the command before was
    again = train(config(log, longer, "resume=false", "model.channels=8"), tmp_path / "run")
    assert again.parameters < result.parameters  # what is replaced need not be alike


def test_a_run_to_resume_cannot_begin_anew(log: Path, tmp_path: Path) -> None:
    directory = f"hydra.run.dir={tmp_path / 'run'}"
    command = ["srgnn-train", *keys(log), "resume=false", "checkpoint=x", directory]
    result = run(train_command.main, *command)
    assert result.status == 1 and "resume=false: expected true with checkpoint" in result.out


def test_a_finished_run_is_not_shown(log: Path, tmp_path: Path) -> None:
    train(config(log, "trainer.max_epochs=1"), tmp_path / "run")
    write(log, step=2)
    for file in ("data.json", None):  # metrics.json alone tells it, too
        with pytest.raises(ValueError, match="the data has changed since"):
            train(config(log, "trainer.max_epochs=1"), tmp_path / "run")
        if file:
            (tmp_path / "run" / file).unlink()


def test_a_run_does_not_refit_on_other_data(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that is rewritten while a run is at work."""
    opened: list[str] = []

    def opening(settings: Any, split: str) -> Any:
        opened.append(split)
        if split == "trainval":
            write(log, step=2)
        return open_dataset(settings, split)

    monkeypatch.setattr("pyg_srgnn.training.job.open_dataset", opening)
    with pytest.raises(ValueError, match="the data has changed since"):
        train(config(log, "trainer.max_epochs=1", "refit=true"), tmp_path / "run")
    assert opened == ["train", "valid", "trainval"]


def test_a_finished_sweep_is_not_shown(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    counts = [key for key in keys(log) if not key.startswith("model")] + ["model=item_knn"]
    command = ["srgnn-train", "-m", *counts, "test=false", "seed=0,1", "hydra.sweep.dir=sweep"]
    assert run(train_command.main, *command).status == 0
    write(log, step=2)
    result = run(train_command.main, *command)
    assert result.status == 1 and "valid hr@20" not in result.out
    assert "the data has changed since" in result.err and "hydra.sweep.dir=DIR" in result.err
    before = {path: path.read_text() for path in Path("sweep").rglob("data.json")}
    assert run(train_command.main, *command, "resume=false").status == 0
    after = {path: path.read_text() for path in before}
    assert len(before) == 2 and not before.items() & after.items()


def test_a_model_is_not_evaluated_on_other_data(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(config(log, "trainer.max_epochs=1"), tmp_path / "run")
    command = ["srgnn-evaluate", f"checkpoint={tmp_path / 'run'}", "baselines=[]"]
    assert run(evaluate.main, *command).status == 0
    write(log, step=2)
    result = run(evaluate.main, *command)
    assert result.status == 1 and "the data has changed since" in result.out


def test_a_warm_start_is_for_other_data(log: Path, tmp_path: Path) -> None:
    train(config(log, "trainer.max_epochs=1"), tmp_path / "old")
    write(log, items=61)
    result = train(
        config(log, "trainer.max_epochs=1", f"warm_start={tmp_path / 'old'}"), tmp_path / "new"
    )
    assert result.data["items"]["count"] == 61


@pytest.mark.parametrize("stopped", [True, False])
def test_what_an_earlier_version_has_left_still_opens(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    run_dir = tmp_path / "run"
    if stopped:
        interrupted(config(log), run_dir, monkeypatch)
    else:
        train(config(log), run_dir)
        metrics = json.loads((run_dir / "metrics.json").read_text())
        del metrics["data"]
        (run_dir / "metrics.json").write_text(json.dumps(metrics))
    (run_dir / "data.json").unlink()
    for path in run_dir.rglob("*.ckpt"):
        stored = torch.load(path, weights_only=True)
        del stored["data"]
        torch.save(stored, path)
    assert Checkpoint.load(run_dir).data is None
    assert follows(run_dir, step=1) >= 0
    assert train(config(log), run_dir).epochs == 3
    assert (run_dir / "data.json").exists() is stopped  # a finished run's is not known any more


class Shop(SessionDataset):
    """As README has it: what it reads is in no key of its cache."""

    name = "shop"
    step = 1

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        sessions = Sessions.from_lists([[i % 9, (i + self.step) % 9] for i in range(60)])
        return *sessions.split_last(0.2), Vocabulary(range(9))


def test_a_dataset_of_ones_own_whose_cache_was_made_anew(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        DATASETS, "click_log", lambda path, **keys: Shop(keys["root"], keys["split"])
    )
    train(config(log, "trainer.max_epochs=1"), tmp_path / "run")
    monkeypatch.setattr(Shop, "step", 2)
    train(config(log, "trainer.max_epochs=1"), tmp_path / "run")  # the cache is still the old one
    processed = Path(Shop(log.parent).processed_dir)
    processed.rename(processed.with_name("old"))
    with pytest.raises(ValueError, match="training sessions: as many, but other clicks"):
        train(config(log, "trainer.max_epochs=1"), tmp_path / "run")


def test_the_fingerprint_is_of_all_splits_and_of_nothing_else(log: Path, tmp_path: Path) -> None:
    found = [
        ClickLog(tmp_path / str(valid), split, valid, path=log).fingerprint
        for split in ("train", "valid", "trainval", "test")
        for valid in (0.1, 0.3)
    ]
    assert all(one == found[0] for one in found)
    assert found[0]["training"]["clicks"] == 4 * found[0]["training"]["sessions"] == 4 * 162
    later = log.with_name("later.csv")
    later.write_text(log.read_text().replace(",17000", ",17001"))
    assert ClickLog(tmp_path, path=later).fingerprint != found[0]  # other times
