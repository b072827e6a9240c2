"""Whole runs with item texts and cold items: precision, processes, resuming, other machines."""

from __future__ import annotations

import json
import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_srgnn import __version__
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.commands import evaluate
from pyg_srgnn.training import train
from tests.commands import run
from tests.tiny import tiny_config
from tests.training.test_distributed import KEYS, same_run, start

pytestmark = pytest.mark.slow

# Some items come in the course of time, some after the last training session.
COLD = ["dataset.new_items=0.1", "dataset.late_items=0.1", "trainer.enable_progress_bar=false"]
MODES = ("id", "text", "sum", "delta", "null_space")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.mark.parametrize("mode", MODES)
def test_bfloat16(root: Path, tmp_path: Path, mode: str) -> None:
    keys = ["trainer.precision=bf16-mixed", "+trainer.limit_train_batches=2", "baselines=[]"]
    keys += ["trainer.max_epochs=1", f"model.item_table={mode}"]
    result = train(tiny_config(root, *COLD, *keys), tmp_path / "run")
    checkpoint = Checkpoint.load(tmp_path / "run")
    assert checkpoint.text is not None
    assert checkpoint.model.num_trained < checkpoint.model.num_items
    assert all(p.isfinite().all() for p in checkpoint.model.parameters())
    assert result.test is not None and 0 < result.test["hr@20"] < 1
    groups = json.loads((tmp_path / "run" / "metrics.json").read_text())["targets"]["srgnn"]
    assert groups["cold"]["hr@20"] > 0, "texts rank them"


def test_a_package_that_was_never_installed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported from a checkout, it has no metadata: neither a version nor entry points."""
    found = Distribution.from_name

    def from_name(name: str) -> Distribution:
        if name == "pyg-srgnn":
            raise PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(Distribution, "from_name", from_name)
    monkeypatch.setattr("pyg_srgnn.utils.packages.entry_points", lambda **_: ())
    keys = ["encoder=hashed", "+trainer.limit_train_batches=2", "trainer.max_epochs=1"]
    train(tiny_config(root, *COLD, *keys, "test=false"), tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["data"]["text"]["encoder"]["name"] == "hashed"
    assert metrics["versions"]["pyg-srgnn"] == __version__


@pytest.mark.parametrize("mode", ["text", "null_space"])
def test_two_processes_are_one(tmp_path: Path, mode: str) -> None:
    keys = [f"model.item_table={mode}", *COLD]
    one, two = tmp_path / "one", tmp_path / "two"
    train(tiny_config(tmp_path / "data", *KEYS, *keys), one)
    done = start(tmp_path / "data", *keys, "trainer.devices=2", f"hydra.run.dir={two}")
    assert done.returncode == 0, done.stderr
    same_run(one, two)


@pytest.mark.parametrize("mode", ["id", "sum"])
def test_a_resumed_run_equals_an_uninterrupted_one(root: Path, tmp_path: Path, mode: str) -> None:
    keys = [*COLD, f"model.item_table={mode}", "baselines=[]"]
    results = [train(tiny_config(root, *keys), tmp_path / name) for name in ("whole", "again")]
    train(tiny_config(root, *keys, "trainer.max_epochs=1"), tmp_path / "one")
    resumed = tiny_config(root, *keys, f"checkpoint={tmp_path / 'one'}")
    results.append(train(resumed, tmp_path / "resumed"))
    assert results[0].test == results[1].test == results[2].test
    states = [
        Checkpoint.load(tmp_path / name / "checkpoints" / "last.ckpt").model.state_dict()
        for name in ("whole", "again", "resumed")
    ]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]) and torch.equal(tensor, states[2][name]), name


@pytest.mark.parametrize("mode", MODES)
def test_weights_averaged_clipped_and_started_from(root: Path, tmp_path: Path, mode: str) -> None:
    keys = [*COLD, f"model.item_table={mode}", "baselines=[]", "average=0.9", "refit=true"]
    keys += ["trainer.gradient_clip_val=1", "optimizer.decoupled=true", "trainer.max_epochs=1"]
    train(tiny_config(root, *keys), tmp_path / "old")
    started = tiny_config(root, *keys, f"warm_start={tmp_path / 'old'}")
    train(started, tmp_path / "new")
    old, new = (Checkpoint.load(tmp_path / name).model for name in ("old", "new"))
    assert old.text is not None and new.text is not None
    assert torch.equal(old.text.directions, new.text.directions)
    moved = [
        name
        for name, parameter in old.named_parameters()
        if parameter.numel() and not torch.equal(parameter, dict(new.named_parameters())[name])
    ]
    assert len(moved) > 10, "it was trained on"


class NotInstalled(MetaPathFinder):
    """Refuses to import encoders and what they need."""

    def find_spec(self, name: str, *args: Any) -> None:
        if name.split(".")[0] in ("wordllama", "sentence_transformers", "transformers") or (
            name.startswith("pyg_srgnn.text.encoders")
        ):
            raise ImportError(f"{name} is not installed")


def test_it_is_evaluated_where_its_encoder_is_not_installed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = train(tiny_config(root, *COLD, "baselines=[]"), tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "best.ckpt"
    stored = torch.load(path, weights_only=True)
    stored["text"]["encoder"]["name"] = "wordllama"
    torch.save(stored, path)
    for name in [*sys.modules]:
        if name.startswith(("pyg_srgnn.text.encoders", "wordllama")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(), *sys.meta_path])
    with pytest.raises(ImportError):
        import pyg_srgnn.text.encoders.hashed  # noqa: F401

    checkpoint = Checkpoint.load(tmp_path / "run")
    assert checkpoint.text is not None and checkpoint.text["encoder"]["name"] == "wordllama"
    folder = tmp_path / "evaluation"
    keys = [f"checkpoint={tmp_path / 'run'}", f"hydra.run.dir={folder}", "baselines=[]"]
    result = run(evaluate.main, "srgnn-evaluate", *keys)
    assert result.status == 0, result.err
    assert "cold" in result.out
    assert trained.test is not None
    evaluated = json.loads((folder / "evaluation.json").read_text())["metrics"]["model"]
    assert evaluated["hr@20"] == pytest.approx(trained.test["hr@20"], abs=1e-9)
