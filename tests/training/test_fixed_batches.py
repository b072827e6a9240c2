from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import pytest
import torch

from pyg_srgnn.training import train
from tests.tiny import tiny_config

SAME = "model.dropout=0", "model.products=full", "test=false", "baselines=[]"


def losses(folder: Path, name: str, *keys: str) -> list[float]:
    """The losses and validation metrics of a run's epochs."""
    train(tiny_config(folder / "data", *SAME, *keys), folder / name)
    rows = csv.DictReader((folder / name / "epochs.csv").open())
    return [float(row[key]) for row in rows for key in ("loss", "valid/mrr@20")]


@pytest.mark.parametrize("text", ["text=null", "text=auto"])
def test_a_run_is_the_same_with_batches_of_fixed_sizes(text: str, tmp_path: Path) -> None:
    usual = losses(tmp_path, "usual", text)  # on a CPU, batches=auto is batches=loader
    fixed = losses(tmp_path, "fixed", text, "batches=device")
    assert len(usual) == 4 and fixed == pytest.approx(usual, rel=1e-4)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (["model=gru4rec"], "model=gru4rec"),
        (["model=srgnn_plain", "model.loss=binary"], "model.loss=binary"),
        (["compile=true"], "compile=true and texts of the items"),
    ],
    ids=["gru4rec", "binary", "texts"],
)
def test_it_is_told_what_does_not_allow_them(keys: list[str], named: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"batches=device.*{named}.*expected batches=loader"):
        train(tiny_config(tmp_path / "data", *keys, "batches=device"), tmp_path / "run")


def test_compiling_needs_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'batches' must be device with compile=true"):
        train(tiny_config(tmp_path / "data", "compile=true"), tmp_path / "run")


@pytest.mark.slow  # compiles the model
def test_a_run_is_the_same_when_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["text=null", "batches=device", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    eager = losses(tmp_path, "eager", *keys)
    # The graph is what is tested; inductor would want a compiler.
    compiler = partial(torch.compile, backend="aot_eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", compiler)
    assert losses(tmp_path, "compiled", *keys, "compile=true") == pytest.approx(eager, rel=1e-4)
