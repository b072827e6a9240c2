"""Two processes on one CPU, started by the real command, beside one process."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pyg_srgnn.checkpoint import read_checkpoint
from pyg_srgnn.commands import train as command
from pyg_srgnn.training import train
from tests.commands import run
from tests.tiny import TINY, tiny_config

pytestmark = pytest.mark.slow

# 61 test sessions and batches of 37: shares differ in size, and the last batch is a small one.
KEYS = ["dataset.num_test_sessions=61", "batch_size=37", "eval_batch_size=20", "refit=true"]
# Each process draws its own dropout.
KEYS += ["trainer.enable_progress_bar=false", "seed=3", "model.dropout=0", "model.products=full"]


def start(root: Path, *keys: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyg_srgnn.commands.train", *TINY, f"dataset.root={root}"]
    return subprocess.run(
        [*command, *KEYS, *keys],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )


def same_run(one: Path, two: Path) -> None:
    """Losses, metrics of every part and weights of two run directories."""
    for name in ("epochs.csv", "refit.csv"):
        mine, theirs = (list(csv.DictReader((run / name).open())) for run in (one, two))
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            for key in a.keys() - {"samples_per_second", "train_seconds"}:
                assert float(a[key]) == pytest.approx(float(b[key]), abs=1e-5), key
    mine, theirs = (json.loads((run / "metrics.json").read_text()) for run in (one, two))
    assert mine["samples"] == theirs["samples"]
    for a, b in (
        (mine["valid"], theirs["valid"]),
        (mine["test"], theirs["test"]),
        *(
            (mine["baselines"][n]["test"], theirs["baselines"][n]["test"])
            for n in mine["baselines"]
        ),
    ):
        assert a == pytest.approx(b, abs=1e-9)
    assert mine["targets"].keys() == theirs["targets"].keys() >= {mine["model"], *mine["baselines"]}
    for name, groups in mine["targets"].items():
        for group, metrics in groups.items():
            assert metrics == pytest.approx(theirs["targets"][name][group], abs=1e-9)
    for name in ("last.ckpt", "refit.ckpt"):
        mine, theirs = (read_checkpoint(run / "checkpoints" / name) for run in (one, two))
        for key, weight in mine["state_dict"].items():
            torch.testing.assert_close(theirs["state_dict"][key], weight, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "loss"),
    [("srgnn_plain", "cross_entropy"), ("srgnn", "sampled"), ("gru4rec", "binary")],
)
def test_two_processes_are_one(tmp_path: Path, model: str, loss: str) -> None:
    """The same losses, weights and metrics: each row counts once, in training and evaluation.

    The first two are stopped after an epoch and resumed.
    """
    keys = [f"model={model}", f"model.loss={loss}", "model.negatives=16", "ties=median"]
    one, two = tmp_path / "one", tmp_path / "two"
    train(tiny_config(tmp_path / "data", *KEYS, *keys), one)
    for epochs in (1, 2) if model == "srgnn_plain" else (2,):
        done = start(
            tmp_path / "data",
            *keys,
            "trainer.devices=2",
            f"trainer.max_epochs={epochs}",
            f"hydra.run.dir={two}",
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("best epoch") == 1, "one process speaks"
        if epochs == 1:  # a finished run is not resumed
            for file in ("metrics.json", "refit.csv", "checkpoints/refit.ckpt"):
                (two / file).unlink()
    same_run(one, two)


def test_an_error_ends_all_processes(tmp_path: Path) -> None:
    done = start(
        tmp_path / "data", "trainer.devices=2", "optimizer.lr=1e30", f"hydra.run.dir={tmp_path}/run"
    )
    assert done.returncode != 0
    assert "not a number" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("keys", "environment", "message"),
    [
        (["trainer.devices=2", "batch_size=1"], {}, "batch_size=1"),
        (["-m", "trainer.devices=2", "seed=1,2"], {}, "trainer.devices=2"),
        (["trainer.num_nodes=2"], {}, "hydra.run.dir"),
        (["trainer.devices=2"], {"WORLD_SIZE": "2"}, "hydra.run.dir"),
        (["trainer.devices=0"], {}, "trainer.devices=0"),
    ],
)
def test_what_processes_cannot_do_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: list[str], environment, message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    root = f"dataset.root={tmp_path / 'data'}"
    result = run(command.main, "srgnn-train", *TINY, *KEYS, root, *keys)
    assert result.status == 1
    assert message in result.out + result.err
    assert "Traceback" not in result.err
