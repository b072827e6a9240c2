"""Runs whose samples are augmented and whose loss has further terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.nn import SessionModel
from pyg_srgnn.training import train
from pyg_srgnn.training.module import SessionModule
from tests.tiny import tiny_config
from tests.training.interruption import interrupted
from tests.training.test_run import rows_of, untimed

KEYS = ("drop_items=0.2", "crop=0.5", "r_drop=0.3", "contrast=0.2", "model.output_dropout=0.2")


@pytest.mark.slow
def test_an_interrupted_run_is_resumed(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(tiny_root, *KEYS, "trainer.max_epochs=3", "test=false", "baselines=[]")
    whole = train(config, tmp_path / "whole")
    interrupted(config, tmp_path / "part", monkeypatch)
    assert untimed(train(config, tmp_path / "part")) == untimed(whole)
    rows = [rows_of(tmp_path / name / "epochs.csv") for name in ("whole", "part")]
    assert rows[0] == rows[1]


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_each_key_reaches_the_training(
    key: str, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no validation: all clicks of its samples are read."""
    lengths: list[int] = []
    step = SessionModule.validation_step

    def counting(self: SessionModule, batch: Any, batch_idx: int) -> None:
        assert "steps" not in batch
        lengths.append(len(batch.alias_index))
        step(self, batch, batch_idx)

    monkeypatch.setattr(SessionModule, "validation_step", counting)
    losses, read = [], []
    for name, keys in (("without", ()), ("with", (key,))):
        short = ("trainer.max_epochs=1", "trainer.limit_train_batches=2", "test=false")
        lengths.clear()
        train(tiny_config(tiny_root, *short, "baselines=[]", *keys), tmp_path / name)
        losses.append(rows_of(tmp_path / name / "epochs.csv")[0]["loss"])
        read.append(sum(lengths))
    assert losses[0] != losses[1] and read[0] == read[1]


def test_terms_are_weighted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Constant(SessionModel):
        def loss(self, data: Any) -> Tensor:
            return torch.tensor(1.0)

    monkeypatch.setattr("pyg_srgnn.training.module.r_drop", lambda *given: torch.tensor(10.0))
    monkeypatch.setattr("pyg_srgnn.training.module.contrast", lambda *given: torch.tensor(100.0))
    module = SessionModule(Constant(3), r_drop=0.5, contrast=0.25)
    monkeypatch.setattr(module, "log", lambda *given, **named: None)

    class Sessions(dict[str, Any]):
        num_graphs = 2

    assert module.training_step(Sessions(), 0).item() == 1 + 5 + 25  # type: ignore[arg-type]


def test_a_sampled_loss_has_no_probabilities(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "r_drop=0.5", "model.loss=sampled", "model.negatives=8")
    with pytest.raises(ValueError, match=r"r_drop=0\.5: expected 0 with model\.loss=sampled"):
        validate_run(config)


@pytest.mark.parametrize("key", ["drop_items=1", "crop=1.1", "r_drop=-1", "contrast=x"])
def test_values_out_of_range(key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=key.partition("=")[0]):
        validate_run(tiny_config(tmp_path, key))
