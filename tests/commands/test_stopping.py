"""Ctrl-C in every phase of every command: what is said, and that the command said resumes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import pyg_srgnn.commands.recommend_file
import pyg_srgnn.datasets
import pyg_srgnn.evaluation.baselines
import pyg_srgnn.reports.comparison
import pyg_srgnn.training.job
from pyg_srgnn.commands import compare, evaluate, prepare, recommend, train
from pyg_srgnn.commands.ending import STATUS, again
from pyg_srgnn.training.callbacks import EpochLog
from pyg_srgnn.training.module import SessionModule
from tests.commands import Result, run
from tests.tiny import TINY

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
LINE = re.compile(r"^([-\w.]+): stopped; kept: (.+); to resume: (.+)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a directory of its own, and with the handler of SIGINT that a stopped process gives up."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Result, str, list[str]]]:
    """Run a command in which Ctrl-C is pressed when a function is called for the n-th time."""

    def stop(
        owner: Any, name: str, nth: int, main: Callable[[], Any], script: str, *arguments: str
    ) -> tuple[Result, str, list[str]]:
        function, calls = getattr(owner, name), 0

        def pressed(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == nth:
                signal.raise_signal(signal.SIGINT)
            return function(*args, **kwargs)

        handler = signal.getsignal(signal.SIGINT)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, pressed)
            result = run(main, script, *arguments)
        signal.signal(signal.SIGINT, handler)
        printed = result.out + result.err
        assert result.status == STATUS == 130, printed
        assert "Traceback" not in printed
        (found,) = LINE.findall(printed)
        assert found[0] == script
        words = shlex.split(found[2])
        assert words[0] == script
        return result, found[1], words[1:]

    return stop


# Where it is pressed: the function, the call, and what is kept then.
PHASES = {
    "data": (pyg_srgnn.training.job, "open_dataset", 1, "the prepared data"),
    "first epoch": (EpochLog, "on_train_batch_end", 2, "the prepared data"),
    "second epoch": (EpochLog, "on_train_batch_end", 20, "1 epoch"),
    "validation": (SessionModule, "on_validation_epoch_end", 2, "1 epoch"),
    "model scored": (pyg_srgnn.evaluation.baselines, "evaluate_rows", 1, "3 epochs"),
    "baseline scored": (pyg_srgnn.evaluation.baselines, "evaluate_rows", 3, "3 epochs"),
}


@pytest.mark.parametrize("phase", PHASES)
def test_training(phase: str, tiny_root: Path, stopped: Any) -> None:
    owner, name, nth, kept = PHASES[phase]
    shutil.rmtree(tiny_root / "synthetic" / "baselines", ignore_errors=True)
    settings = [*TINY, "trainer.max_epochs=3", "model.name=srgnn", "baselines=[markov,vsknn]"]
    _, said, words = stopped(
        owner, name, nth, train.main, "srgnn-train", *settings, f"dataset.root={tiny_root}"
    )
    assert said == kept
    (directory,) = Path("runs/synthetic").iterdir()
    assert words == [*settings, f"dataset.root={tiny_root}", f"hydra.run.dir={directory}"]
    assert said in (directory / "train.log").read_text()
    resumed = run(train.main, "srgnn-train", *words)
    assert resumed.status == 0, resumed.out + resumed.err
    assert set(Path("runs/synthetic").iterdir()) == {directory, directory.with_name("latest")}
    metrics = json.loads((directory / "metrics.json").read_text())
    assert metrics["epochs"] == 3 and list(metrics["baselines"]) == ["markov", "vsknn"]


def test_refit(tiny_root: Path, stopped: Any) -> None:
    settings = [*TINY, f"dataset.root={tiny_root}", "refit=true", "hydra.run.dir=a b"]
    _, said, words = stopped(
        pyg_srgnn.evaluation.baselines, "evaluate_rows", 1, train.main, "srgnn-train", *settings
    )
    assert re.fullmatch(r"2 epochs and [12] epochs? of the refit", said)
    assert run(train.main, "srgnn-train", *words).status == 0
    assert Path("a b/metrics.json").is_file()


def test_sweep(tiny_root: Path, stopped: Any) -> None:
    settings = ["-m", *TINY, f"dataset.root={tiny_root}", "test=false", "seed=0,1,2"]
    result, said, words = stopped(
        EpochLog, "on_train_epoch_end", 3, train.main, "srgnn-train", *settings
    )
    assert said == "1 finished job, and the epochs of the others"
    assert words == settings
    (directory,) = Path("runs/sweeps").iterdir()
    assert len(list(directory.glob("*/config.yaml"))) == 2, "the third job must not have begun"
    assert "leaderboard" not in result.out
    resumed = run(train.main, "srgnn-train", *words)
    assert resumed.status == 0, resumed.out + resumed.err
    assert len(list(directory.rglob("metrics.json"))) == 3


def test_prepare(stopped: Any) -> None:
    settings = ["dataset=synthetic", "dataset.root=data"]
    settings += [text for text in TINY if text.startswith("dataset.")]
    _, said, words = stopped(
        pyg_srgnn.datasets, "open_dataset", 2, prepare.main, "srgnn-prepare", *settings
    )
    assert said == "what was downloaded" and words == settings
    assert run(prepare.main, "srgnn-prepare", *words).status == 0


def test_evaluate(tiny_root: Path, tiny_run: Path, stopped: Any) -> None:
    shutil.rmtree(tiny_root / "synthetic" / "baselines", ignore_errors=True)
    settings = [f"checkpoint={tiny_run}", "baselines=[markov]"]
    _, said, words = stopped(
        pyg_srgnn.evaluation.baselines,
        "evaluate_rows",
        2,
        evaluate.main,
        "srgnn-evaluate",
        *settings,
    )
    assert said == "nothing" and words == settings


def test_recommend_for_a_file(
    tiny_run: Path, stopped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pl.DataFrame({"clicks": [[1, 2], [3], [4, 5, 6]] * 10})
    rows.write_parquet("sessions.parquet")
    whole = pyg_srgnn.commands.recommend_file.recommend_file

    def small_parts(*args: Any, **options: Any) -> int:
        return whole(*args, **options, sessions_at_once=7)

    monkeypatch.setattr(pyg_srgnn.commands.recommend_file, "recommend_file", small_parts)
    settings = [f"checkpoint={tiny_run}", "input=sessions.parquet", "output=top.jsonl", "k=3"]
    _, said, words = stopped(
        pyg_srgnn.commands.recommend_file,
        "_recommended",
        3,
        recommend.main,
        "srgnn-recommend",
        *settings,
    )
    assert said == "2 parts" and words == settings
    done = run(recommend.main, "srgnn-recommend", *words)
    assert done.status == 0 and len(Path("top.jsonl").read_text().splitlines()) == 30


def test_compare(tiny_run: Path, stopped: Any) -> None:
    settings = [str(tiny_run), "--baseline", "vsknn"]
    stopped(pyg_srgnn.reports.comparison, "read_side", 1, compare.main, "srgnn-compare", *settings)


def test_the_command_that_resumes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def command(*arguments: str, run_dir: Any = "runs/x") -> str:
        monkeypatch.setattr(sys, "argv", ["srgnn-train", *arguments])
        return again(run_dir)

    assert command() == "srgnn-train hydra.run.dir=runs/x"
    assert command("-m", "seed=1", "resume=false", run_dir=None) == "srgnn-train -m seed=1"
    assert command(run_dir=tmp_path / "y") == "srgnn-train hydra.run.dir=y"
    # Options and their values stay where they are, and the overrides side by side.
    assert (
        command("seed=1", "a=[1, 2]", "--config-name", "config")
        == "srgnn-train seed=1 'a=[1, 2]' hydra.run.dir=runs/x --config-name config"
    )
    # What else names the directory, or would start it anew, goes.
    assert (
        command("hydra.run.dir=runs/${now:%S}", "resume=false", "seed=1")
        == "srgnn-train seed=1 hydra.run.dir=runs/x"
    )
    # Quoted for Hydra, and then for the shell.
    (word,) = shlex.split(command(run_dir="it's, a=b"))[1:]
    assert word == r"hydra.run.dir='it\'s, a=b'"


def test_a_real_interrupt_and_the_command_as_printed(tiny_root: Path, tmp_path: Path) -> None:
    """A process of its own, SIGINT from outside, and the shell for the command."""
    module = [sys.executable, "-m", "pyg_srgnn.commands.train"]
    settings = [*TINY, f"dataset.root={tiny_root}", "trainer.max_epochs=400", "patience=1000"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with open("out", "w") as out:
        process = subprocess.Popen(
            [*module, *settings], stdout=out, stderr=out, env=environment, cwd=tmp_path
        )
        last = "runs/*/*/checkpoints/last.ckpt"
        while process.poll() is None and not list(tmp_path.glob(last)):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # impatient
        assert process.wait() == 130
    printed = Path("out").read_text()
    assert "Traceback" not in printed
    ((_, said, command),) = LINE.findall(printed)
    epochs = int(said.split()[0])
    assert re.fullmatch(rf"{epochs} epochs?", said) and epochs >= 1
    assert " -m pyg_srgnn.commands.train dataset." in command
    fewer = command.replace("trainer.max_epochs=400", f"trainer.max_epochs={epochs + 1}")
    done = subprocess.run(
        fewer, shell=True, capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (metrics,) = tmp_path.glob("runs/*/latest/metrics.json")
    assert json.loads(metrics.read_text())["epochs"] == epochs + 1
