"""The leaderboard of a directory of runs, whatever became of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from pyg_srgnn.commands.leaderboard import main
from pyg_srgnn.reports.leaderboard import write_leaderboard
from pyg_srgnn.reports.ranking import Leaderboard
from tests.results import run_result

CONFIG: dict[str, Any] = {"dataset": {"name": "toy", "root": "a"}, "monitor": "hr@20"}


def run(
    root: Path,
    name: str,
    lr: float,
    seed: int,
    valid: float | None = None,
    error: str | None = None,
    epochs: tuple[float, ...] = (),
    pruned: int | None = None,
    monitor: str = "hr@20",
    data: str | None = None,
) -> None:
    """Write a run's directory by hand."""
    folder = root / name
    (folder / ".hydra").mkdir(parents=True)
    overrides = [f"optimizer.lr={lr}", f"seed={seed}", "model=srgnn", "hydra.sweep.dir=x"]
    OmegaConf.save(OmegaConf.create(overrides), folder / ".hydra" / "overrides.yaml")
    config = CONFIG | {"seed": seed, "optimizer": {"lr": lr}, "monitor": monitor}
    OmegaConf.save(OmegaConf.create(config), folder / ".hydra" / "config.yaml")
    if error is not None:
        (folder / "error.json").write_text(json.dumps({"type": "ValueError", "message": error}))
        return
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    if data is not None:
        parts = {part: {"sha256": data} for part in ("items", "training", "test")}
        (folder / "data.json").write_text(json.dumps(parts))
    rows = "".join(f"{n},{value},10\n" for n, value in enumerate(epochs, start=1))
    (folder / "epochs.csv").write_text("epoch,valid/hr@20,train_seconds\n" + rows)
    if valid is not None:
        run_result(
            valid={"hr@20": valid, "mrr@20": 1 - valid},
            test={"hr@20": 1 - valid, "mrr@20": 0.1},
            epochs=len(epochs),
            train_seconds=30.0,
            samples_per_second=100.0,
            pruned=pruned,
            seed=seed,
        ).write(folder)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    run(tmp_path, "worse,0", 0.1, 0, 0.5)
    run(tmp_path, "worse,1", 0.1, 1, 0.52)
    run(tmp_path, "deep/better,0", 0.2, 0, 0.6, epochs=(0.55, 0.6))
    run(tmp_path, "deep/better,1", 0.2, 1, 0.58)
    run(tmp_path, "broken", 0.3, 0, error="optimizer.lr must be\nless")
    run(tmp_path, "stopped", 0.4, 0, epochs=(0.2, 0.61, 0.3))
    run(tmp_path, "pruned", 0.5, 0, 0.9, pruned=1)
    return tmp_path


def test_every_run_has_a_row_ranked_by_validation(sweep):
    write_leaderboard(sweep)
    with (sweep / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["rank"], row["optimizer.lr"], row["seed"]) for row in rows[:4]] == [
        ("1", "0.2", "0"), ("1", "0.2", "1"), ("2", "0.1", "0"), ("2", "0.1", "1"),
    ]  # fmt: skip
    assert "model" not in rows[0], "all commands have the same one"
    first = rows[0]
    assert (first["mean"], first["sd"], first["n"]) == ("59.00", "1.41", "2")
    assert (first["valid/hr@20"], first["test/hr@20"], first["epochs"]) == ("60.00", "40.00", "2")
    by_run = {row["run"]: row for row in rows}
    assert len(by_run) == 7
    assert by_run["broken"]["status"] == "failed"
    assert by_run["broken"]["error"] == "ValueError: optimizer.lr must be\nless"
    stopped = by_run["stopped"]
    assert (stopped["status"], stopped["valid/hr@20"]) == ("unfinished", "61.00"), "best so far"
    assert (stopped["mean"], stopped["n"], stopped["seconds"]) == ("", "0", "30.0")
    assert (by_run["pruned"]["status"], by_run["pruned"]["n"]) == ("pruned", "0")


def test_metrics_beyond_accuracy_have_columns(sweep):
    assert "test/gini@20" not in Leaderboard.read(sweep).columns
    path = sweep / "worse,0" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["test"] |= {"novelty@20": 7.25, "gini@20": 0.5, "gini@5": 0.6}
    path.write_text(json.dumps(metrics))
    write_leaderboard(sweep)
    with (sweep / "leaderboard.csv").open(newline="") as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert rows["worse,0"]["test/novelty@20"] == "7.25"
    assert rows["worse,0"]["test/gini@20"] == "50.00" and "test/gini@5" not in rows["worse,0"]
    assert rows["worse,1"]["test/gini@20"] == ""


def test_the_test_set_ranks_nothing(sweep):
    """Here the order of the test metrics is that of validation turned round."""
    board = Leaderboard.read(sweep)
    means = [stat.mean for group in board.groups if (stat := group.valid("hr@20"))]
    tests = [stat.mean for group in board.groups if (stat := group.test("hr@20"))]
    assert means == sorted(means, reverse=True)
    assert tests == sorted(tests)


def test_ties_are_ranked_by_mrr(tmp_path):
    for name, lr, mrr in (("a", 0.1, 0.2), ("b", 0.2, 0.4), ("c", 0.3, 0.3)):
        run(tmp_path, name, lr, 0, 1.0)
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        metrics["valid"]["mrr@20"] = mrr
        (tmp_path / name / "metrics.json").write_text(json.dumps(metrics))
    assert [group.jobs[0].path for group in Leaderboard.read(tmp_path).groups] == ["b", "c", "a"]


def test_runs_on_different_data_are_told_apart(tmp_path):
    for seed in (0, 1):
        run(tmp_path, f"old,{seed}", 0.1, seed, 0.5, data="one")
    run(tmp_path, "unknown", 0.1, 2, 0.5)
    text = write_leaderboard(tmp_path)
    assert "3 finished" in text and "data differs" not in text
    run(tmp_path, "new,3", 0.1, 3, 0.9, data="another")
    text = write_leaderboard(tmp_path)
    assert "data differs among these runs" in text and "2 finished" in text
    assert "data differs among these runs" in (tmp_path / "leaderboard.html").read_text()
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert rows["new,3"]["mean"] == "90.00" and rows["old,0"]["mean"] == "50.00"
    assert rows["old,0"]["data"] == rows["old,1"]["data"] != rows["new,3"]["data"] != ""
    assert rows["unknown"]["data"] == ""


def test_a_finished_run_that_was_refused_says_so(tmp_path):
    run(tmp_path, "done", 0.1, 0, 0.5)
    told = json.dumps({"type": "ValueError", "message": "the data has changed"})
    (tmp_path / "done" / "error.json").write_text(told)
    assert "failed: done\n    ValueError: the data has changed" in write_leaderboard(tmp_path)


def test_another_metric_ranks(sweep):
    board = Leaderboard.read(sweep, "mrr@20")
    assert board.groups[0].jobs[0].path == "worse,0"
    with pytest.raises(ValueError, match=r"metric 'ndcg@7': expected one of hr@20, mrr@20"):
        Leaderboard.read(sweep, "ndcg@7")


def test_different_monitors_want_a_choice(sweep):
    run(sweep, "other", 0.1, 7, 0.5, monitor="mrr@20")
    with pytest.raises(ValueError, match=r"hr@20, mrr@20"):
        write_leaderboard(sweep)
    assert Leaderboard.read(sweep, "hr@20").metric == "hr@20"


def test_page_and_text_show_failures_escaped(sweep):
    run(sweep, "odd", 0.6, 0, error="<script>alert(1)</script>")
    text = write_leaderboard(sweep)
    page = (sweep / "leaderboard.html").read_text()
    assert "failed: broken" in text and "59.00 ± 1.41" in text and "2 finished" in text
    assert "<script" not in page and "&lt;script" in page
    assert page.count("<svg") == 2
    assert "59.00 ± 1.41" in page and "deep/better,1" in page


def test_the_best_run_is_named(sweep, monkeypatch):
    """The better seed of the configuration whose mean is best; neither pruned nor unfinished."""
    monkeypatch.chdir(sweep.parent)
    text = write_leaderboard(sweep.name)
    assert f"Best run: {sweep.name}/deep/better,0" in text.splitlines()
    assert f"<td>{sweep.name}/deep/better,0</td>" in (sweep / "leaderboard.html").read_text()
    monkeypatch.chdir(sweep)
    assert "Best run: deep/better,0" in write_leaderboard(".").splitlines()


def test_the_best_run_of_every_dataset_is_named(sweep, monkeypatch):
    monkeypatch.setitem(CONFIG["dataset"], "name", "other")
    run(sweep, "elsewhere", 0.1, 0, 0.1)
    lines = write_leaderboard(sweep).splitlines()
    assert f"Best run on toy: {sweep / 'deep' / 'better,0'}" in lines
    assert f"Best run on other: {sweep / 'elsewhere'}" in lines


def test_a_leaderboard_is_written_again(sweep):
    first = write_leaderboard(sweep)
    assert write_leaderboard(sweep) == first


def test_command(sweep, capsys):
    assert main([str(sweep)]) == 0
    assert "leaderboard.csv" in capsys.readouterr().out
    empty = sweep / "deep" / "nothing"
    empty.mkdir()
    assert main([str(empty)]) == 1
    assert "no run of srgnn-train lies there" in capsys.readouterr().err
    (sweep / "pruned" / "metrics.json").write_text("{")
    assert main([str(sweep)]) == 1
    assert "pruned/metrics.json is no JSON" in capsys.readouterr().err


def test_the_same_seed_twice_is_said_and_files_of_others_are_no_runs(tmp_path: Path) -> None:
    run(tmp_path, "a", 0.1, 0, valid=0.5, epochs=(0.5,))
    assert Leaderboard.read(tmp_path).note == ""
    run(tmp_path, "b", 0.1, 0, valid=0.6, epochs=(0.6,))
    files = tmp_path / "a" / "wandb" / "run-1" / "files"
    files.mkdir(parents=True)
    (files / "config.yaml").write_text("wandb_version: 1\n")
    board = Leaderboard.read(tmp_path)
    assert "more than once with the same seed" in board.note
    assert [job.path for group in board.groups for job in group.jobs] == ["a", "b"]
