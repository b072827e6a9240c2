"""A rolling evaluation by the command: windows, mean and trend, and a model that ages."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.commands import leaderboard, train
from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.reports.rolling import Trend, read_rolling, write_rolling
from tests.commands import Result, run
from tests.results import run_result
from tests.tiny import TINY

pytestmark = pytest.mark.slow

# Items come on sale all the time, so that an old model lacks some.
ROLLING = [*TINY, "dataset.new_items=0.1", "dataset.late_items=0.3", "dataset.late_sessions=0.3",
           "text=null", "trainer.max_epochs=1", "evaluation=rolling", "windows=3",
           "window=14d", "metrics=[novelty]", "baselines=[markov]"]  # fmt: skip


def sweep(*arguments: str) -> Result:
    return run(train.main, "srgnn-train", "-m", *arguments)


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[str]]:
    """The directory of a sweep, what it printed, and its command."""
    folder = tmp_path_factory.mktemp("rolling")
    command = [*ROLLING, f"dataset.root={folder / 'datasets'}", f"hydra.sweep.dir={folder / 'out'}"]
    result = sweep(*command)
    assert result.status == 0, result.err
    return folder / "out", result.out, command


def folders(directory: Path) -> list[Path]:
    found = {path.parent for path in directory.rglob("metrics.json")}
    return sorted(found, key=lambda folder: folder.name)


def rows_of(directory: Path) -> list[dict[str, str]]:
    with (directory / "rolling.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_every_window_and_scorer(rolled: tuple[Path, str, list[str]]) -> None:
    directory, printed, _ = rolled
    runs = folders(directory)
    assert [folder.name for folder in runs] == [f"dataset.window.number-{i}" for i in range(3)]
    rows = rows_of(directory)
    assert [(row["scorer"], row["window"]) for row in rows] == [
        (name, str(i)) for name in ("srgnn", "markov", "first model") for i in range(3)
    ]
    for folder, row in zip(runs, rows, strict=False):
        found = json.loads((folder / "metrics.json").read_text())
        assert float(row["hr@20"]) == found["test"]["hr@20"]
        assert float(row["novelty@20"]) == found["test"]["novelty@20"]
        assert int(row["test_samples"]) == found["samples"]["test"]
        assert row["from"] == found["window"]["from"] and row["positions"] == "every"
    assert [row["from"] for row in rows[1:3]] == [row["to"] for row in rows[:2]]
    values = [100 * float(row["hr@20"]) for row in rows[:3]]
    slope, _ = np.polyfit(range(3), values, 1)
    mean = next(line for line in printed.splitlines() if line.startswith("mean"))
    trend = next(line for line in printed.splitlines() if line.startswith("trend"))
    assert f"{np.mean(values):.2f}" in mean and f"{slope:+.2f}" in trend
    assert "3 windows of 14d, percent" in printed and "every click but" in printed
    assert (directory / "rolling.png").read_bytes().startswith(b"\x89PNG")


def test_the_first_model_on_later_windows(rolled: tuple[Path, str, list[str]]) -> None:
    """Row by row: it recommends to what it knows of a session; what it lacks is a miss."""
    directory, _, _ = rolled
    first, *later = folders(directory)
    checkpoint = Checkpoint.load(first / "checkpoints" / "best.ckpt")
    lacking = 0
    for folder in later:
        settings: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml").dataset)
        test = open_dataset(settings, "test")
        hits, reciprocal = 0, 0.0
        for session in test.sessions.to_lists(test.vocabulary):
            for cut in range(1, len(session)):
                known = [i for i in checkpoint.vocabulary.encode(session[:cut]) if i >= 0]
                target = checkpoint.vocabulary.encode([session[cut]])[0]
                if not known or target < 0:
                    lacking += 1
                    continue
                with torch.inference_mode():
                    scores = checkpoint.scorer.scores([known])[0]
                rank = int((scores >= scores[target]).sum())
                hits += rank <= 20
                reciprocal += (rank <= 20) / rank
        aged = json.loads((folder / "aged.json").read_text())["test"]
        assert aged["hr@20"] == pytest.approx(hits / len(test))
        assert aged["mrr@20"] == pytest.approx(reciprocal / len(test), rel=1e-6)
    assert lacking, "the first model knows everything"


def test_it_is_resumed_where_it_was(rolled: tuple[Path, str, list[str]]) -> None:
    directory, printed, command = rolled
    runs = folders(directory)
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*.json")}
    (runs[2] / "metrics.json").unlink()
    (runs[1] / "aged.json").unlink()
    (directory / "rolling.csv").unlink()
    again = sweep(*command)
    assert again.status == 0 and again.out.splitlines()[-12:] == printed.splitlines()[-12:]
    after = {path: path.stat().st_mtime_ns for path in directory.rglob("*.json")}
    changed = {path for path in before if after[path] != before[path]}
    changed -= {runs[2] / "vocabulary.json"}  # written again as it was
    assert changed == {runs[2] / "metrics.json", runs[1] / "aged.json"}
    shown = run(leaderboard.main, "srgnn-leaderboard", str(directory))
    assert shown.status == 0 and "3 windows of 14d" in shown.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "windows=30"], "windows=30 window=14d: they are 420 days together, but the log"),
        (["-m", "window=2h"], "'window' must be days such as '7d' (got '2h')"),
        (["-m", "search=srgnn"], "evaluation=rolling: a search chooses on validation"),
        ([], "evaluation=rolling: it trains a model for every window; add -m"),
    ],
)
def test_what_cannot_be_rolled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(train.main, "srgnn-train", *words[:1], *ROLLING, *words[1:])
    assert result.status == 1 and said in result.err + result.out
    assert "Traceback" not in result.err and not list(tmp_path.rglob("metrics.json"))


def test_a_log_without_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clicks.csv").write_text("session,item\n" + "1,a\n1,b\n2,a\n2,b\n" * 9)
    result = sweep("evaluation=rolling", "dataset=click_log", "dataset.path=clicks.csv",
                   "dataset.order=file")  # fmt: skip
    assert result.status == 1 and "sessions of click_log have no times" in result.err
    assert not list(tmp_path.rglob("metrics.json"))


def test_the_last_click_of_each_session_is_labelled(tmp_path: Path) -> None:
    words = [*ROLLING, "model=popularity", "positions=last", "windows=2", "baselines=[]"]
    words = [word for word in words if not word.startswith("model.")]
    result = sweep(*words, f"dataset.root={tmp_path}", f"hydra.sweep.dir={tmp_path / 'out'}")
    assert result.status == 0
    # In the table of each run, and in that of the windows.
    assert result.out.count("leave-last-out: each session's last click alone") == 3
    first, second = rows_of(tmp_path / "out")[:2]
    assert first["positions"] == "last"
    settings: Any = OmegaConf.load(tmp_path / "out/dataset.window.number-1/config.yaml")
    assert int(second["test_samples"]) == len(open_dataset(settings.dataset, "test").sessions)
    aged = [row for row in rows_of(tmp_path / "out") if row["scorer"] == "first model"]
    assert len(aged) == 2 and aged[0]["hr@20"] == first["hr@20"]


def test_trend_by_hand() -> None:
    trend = Trend.of([0, 1, 2, 3], [1.0, 2.0, 2.0, 5.0])
    # Slope Σ(x − 1.5)(y − 2.5) / 5 = 6 / 5; the residuals are 0.3, 0.1, −1.1 and 0.7.
    assert trend is not None and trend.error is not None
    assert trend.slope == pytest.approx(1.2)
    assert trend.error == pytest.approx((1.8 / 2 / 5) ** 0.5)
    assert Trend.of([4], [1.0]) is None and Trend.of([0, 2], [1.0, 2.0]) == (0.5, None)


def test_means_are_of_windows_that_all_have(tmp_path: Path) -> None:
    window = {"from": "2026-01-01", "to": "2026-01-08", "windows": 3, "window": "7d"}
    for seed, number in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        scores = {"hr@20": 0.1 * (1 + number + seed), "mrr@20": 0.1}
        folder = tmp_path / f"{seed}-{number}"
        folder.mkdir()
        dataset = {"name": "toy", "window": {"number": number}}
        OmegaConf.save(OmegaConf.create({"seed": seed, "dataset": dataset}), folder / "config.yaml")
        result = run_result(test=scores, seed=seed)
        replace(result, window={**window, "number": number}).write(folder)
        if number and (seed, number) != (1, 1):
            (folder / "aged.json").write_text(json.dumps({"test": scores}))
    (rolling,) = read_rolling(tmp_path)
    assert rolling.seeds == 2 and rolling.complete == [0]
    text = str(write_rolling(tmp_path))
    rows = [line.split() for line in text.splitlines()]
    (mean,) = (row for row in rows if row[:1] == ["mean"])
    assert mean[1:] == ["15.00", "10.00", "15.00", "10.00"]
    assert [row[0] for row in rows if row[1:2] == ["*"]] == ["2", "3"] and "* runs are" in text
    seeds = {(row["scorer"], row["window"]): row["seeds"] for row in rows_of(tmp_path)}
    assert seeds["srgnn", "1"] == "2" and seeds["srgnn", "2"] == seeds["first model", "1"] == "1"
