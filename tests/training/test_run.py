from __future__ import annotations

import csv
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.evaluation.loop import evaluate, evaluate_rows
from pyg_srgnn.evaluation.rank_table import baselines_of, read_ranks
from pyg_srgnn.functional.targets import GROUPS
from pyg_srgnn.reports import run_summary, write_slices
from pyg_srgnn.runs.result import RunResult
from pyg_srgnn.training import train
from study.jobs import FEWER_COUNTS
from tests.tiny import tiny_config
from tests.training.interruption import interrupted

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


def rows_of(path: Path) -> list[dict[str, str]]:
    """The epochs of a CSV log, without what differs from run to run."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["samples_per_second"], row["train_seconds"]
    return rows


def untimed(result: RunResult) -> RunResult:
    return replace(result, samples_per_second=0.0, train_seconds=0.0)


@pytest.fixture(scope="module")
def evaluated() -> list[str]:
    """The classes of the scorers that ``four_epochs`` has tested."""
    return []


@pytest.fixture(scope="module")
def four_epochs(
    root: Path, tmp_path_factory: pytest.TempPathFactory, evaluated: list[str]
) -> tuple[Path, RunResult]:
    def recording(scorer: Any, *args: Any, **kwargs: Any) -> Any:
        evaluated.append(type(scorer).__name__)
        return evaluate_rows(scorer, *args, **kwargs)

    # What another run of this data has counted would not be counted again.
    shutil.rmtree(root / "synthetic" / "baselines", ignore_errors=True)
    run_dir = tmp_path_factory.mktemp("runs") / "four"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyg_srgnn.evaluation.baselines.evaluate_rows", recording)
        return run_dir, train(tiny_config(root, "trainer.max_epochs=4"), run_dir)


@pytest.fixture(scope="module")
def refitted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    run_dir = tmp_path_factory.mktemp("runs") / "refit"
    return run_dir, train(tiny_config(root, "trainer.max_epochs=3", "refit=true"), run_dir)


def test_a_resumed_checkpoint_equals_an_uninterrupted_run(
    root: Path, tmp_path: Path, four_epochs: tuple[Path, RunResult]
) -> None:
    train(tiny_config(root, "trainer.max_epochs=2"), tmp_path / "two")
    config = tiny_config(root, "trainer.max_epochs=4", f"checkpoint={tmp_path / 'two'}")
    resumed = train(config, tmp_path / "resumed")

    run_dir, whole = four_epochs
    assert untimed(resumed) == untimed(whole)
    assert rows_of(tmp_path / "resumed" / "epochs.csv") == rows_of(run_dir / "epochs.csv")
    rates = [float(row["lr"]) for row in rows_of(run_dir / "epochs.csv")]
    assert rates == pytest.approx([0.003, 0.003, 0.003, 0.0003])  # the rate of each epoch itself
    for name in ("best.ckpt", "last.ckpt"):
        ours, theirs = (
            torch.load(folder / "checkpoints" / name, weights_only=True)["state_dict"]
            for folder in (tmp_path / "resumed", run_dir)
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_the_best_epoch_may_lie_before_the_break(root: Path, tmp_path: Path) -> None:
    # An untrained model recommends everything, a trained one repeats itself: coverage falls.
    monitor = "monitor=coverage@20"
    whole = train(tiny_config(root, "trainer.max_epochs=4", monitor), tmp_path / "whole")
    assert whole.best_epoch < 3, "the case needs an early best epoch"
    train(tiny_config(root, "trainer.max_epochs=3", monitor), tmp_path / "part")
    config = tiny_config(root, "trainer.max_epochs=4", monitor, f"checkpoint={tmp_path / 'part'}")
    assert untimed(train(config, tmp_path / "resumed")) == untimed(whole)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_interrupted_run_is_resumed_in_its_directory(
    root: Path,
    tmp_path: Path,
    four_epochs: tuple[Path, RunResult],
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    config = tiny_config(root, "trainer.max_epochs=4", f"num_workers={workers}")
    interrupted(config, tmp_path / "run", monkeypatch)
    assert not (tmp_path / "run" / "metrics.json").exists()
    shutil.move(tmp_path / "run", tmp_path / "moved")  # and is moved, too
    assert untimed(train(config, tmp_path / "moved")) == untimed(four_epochs[1])


def test_a_finished_run_is_not_run_again(
    root: Path, four_epochs: tuple[Path, RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyg_srgnn.training.run._protocol", None)
    run_dir, whole = four_epochs
    assert train(tiny_config(root, "trainer.max_epochs=4"), run_dir) == whole


def test_another_configuration_does_not_enter_the_directory(
    root: Path, four_epochs: tuple[Path, RunResult]
) -> None:
    with pytest.raises(ValueError, match=r"model\.channels: there 8, here 9"):
        train(tiny_config(root, "trainer.max_epochs=4", "model.channels=9"), four_epochs[0])


def test_early_stopping_stops_once_and_for_all(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(root, "trainer.max_epochs=30", "patience=1", "optimizer.lr=0.02")
    result = train(config, tmp_path / "run")
    assert result.epochs < 30
    assert result.best_epoch == result.epochs - 1
    # Killed between the last epoch and the evaluation, it must not train another epoch.
    (tmp_path / "run" / "metrics.json").unlink()
    assert untimed(train(config, tmp_path / "run")) == untimed(result)


def test_refit_trains_on_all_training_sessions_for_the_chosen_epochs(
    root: Path, refitted: tuple[Path, RunResult]
) -> None:
    run_dir, result = refitted
    assert result.refit is True
    assert len(rows_of(run_dir / "refit.csv")) == result.best_epoch
    assert result.checkpoint == "checkpoints/refit.ckpt"
    config = tiny_config(root)
    assert result.samples["train"] == len(open_dataset(config.dataset, "trainval"))
    refit = torch.load(run_dir / "checkpoints" / "refit.ckpt", weights_only=True)
    steps = -(-result.samples["train"] // config.batch_size) * result.best_epoch
    assert refit["global_step"] == steps
    clicks = open_dataset(config.dataset, "trainval").sessions.num_clicks
    assert int(refit["clicks"].sum()) == clicks


@pytest.mark.parametrize("name", ["four_epochs", "refitted"])
def test_trap_best_hr_and_best_mrr_from_different_epochs(
    root: Path, name: str, request: pytest.FixtureRequest
) -> None:
    """All reported metrics come from one and the same checkpoint, chosen on validation."""
    run_dir, result = request.getfixturevalue(name)
    rows = rows_of(run_dir / "epochs.csv")
    best = max(rows, key=lambda row: (float(row["valid/hr@20"]), float(row["valid/mrr@20"])))
    assert result.best_epoch == int(best["epoch"])
    assert result.valid["mrr@20"] == pytest.approx(float(best["valid/mrr@20"]), abs=1e-9)

    test = open_dataset(tiny_config(root).dataset, "test")
    model = Checkpoint.load(run_dir).model
    again = evaluate(model, SessionLoader(test, 256), test.num_items)
    assert result.test == pytest.approx(again, abs=1e-12)  # batches differ, and so do sums' ends


@pytest.mark.usefixtures("four_epochs")
def test_the_test_set_is_read_once_for_each_model(evaluated: list[str]) -> None:
    assert evaluated == ["SRGNN", *(kind.__name__ for kind in BASELINES.values())]


def test_the_test_set_is_left_alone(root: Path, tmp_path: Path, monkeypatch: Any) -> None:
    opened: list[str] = []

    def opening(config: Any, split: str) -> Any:
        opened.append(split)
        return open_dataset(config, split)

    monkeypatch.setattr("pyg_srgnn.training.job.open_dataset", opening)
    result = train(tiny_config(root, "test=false"), tmp_path)
    assert set(opened) == {"train", "valid"}
    assert result.test is None and result.valid["hr@20"] > 0
    assert not (tmp_path / "ranks.parquet").exists()
    assert write_slices(tmp_path, result.model) is None


def test_training_on_all_sessions_for_a_known_number_of_epochs(root: Path, tmp_path: Path) -> None:
    """It gives the model that a run with a choice refits for as many epochs."""
    chosen = train(tiny_config(root, "refit=true", "trainer.max_epochs=1"), tmp_path / "a")
    only = train(tiny_config(root, "refit=only", "trainer.max_epochs=1"), tmp_path / "b")
    assert only.valid is None and only.best_epoch == 1 and only.refit == "only"
    assert only.test == chosen.test
    assert only.checkpoint == "checkpoints/refit.ckpt"


def test_a_refit_trains_whole_epochs_beyond_the_limits_of_the_choice(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config(root, "refit=true", "batch_size=50")
    batches = -(-len(open_dataset(config.dataset, "train")) // config.batch_size)
    refitted = -(-len(open_dataset(config.dataset, "trainval")) // config.batch_size)
    assert refitted > batches, "the case needs more batches in the refit"
    config.trainer.max_steps = 2 * batches
    config.monitor = "mrr@20"
    result = train(config, tmp_path / "a")
    stored = torch.load(tmp_path / "a" / str(result.checkpoint), weights_only=True)
    assert stored["global_step"] == result.best_epoch * refitted
    config.refit, config.trainer.max_epochs = "only", 5
    with caplog.at_level("WARNING"):
        only = train(config, tmp_path / "b")
    assert only.best_epoch == only.epochs == -(-2 * batches // refitted) < 5
    assert f"ended in epoch {only.epochs} of 5 by trainer.max_steps" in caplog.text


def test_the_rows_of_the_test_set(root: Path, four_epochs: tuple[Path, RunResult]) -> None:
    config = tiny_config(root)
    run_dir, result = four_epochs
    rows = read_ranks(run_dir / "ranks.parquet")
    test, training = (open_dataset(config.dataset, split) for split in ("test", "train"))
    assert len(rows) == len(test) and rows["row"].to_list() == list(range(len(test)))
    assert (rows["rank"] <= 20).mean() == pytest.approx(result.test["hr@20"])
    assert baselines_of(rows) == list(BASELINES)
    for name in BASELINES:
        hits = (rows[f"rank_{name}"] <= 20).mean()
        assert hits == pytest.approx(result.baselines[name]["test"]["hr@20"])
    clicked = set(training.sessions.items.tolist())
    for number in range(0, len(test), 7):
        data = test[number]
        assert rows["prefix"][number] == data.alias_index.numel()
        assert rows["repeat"][number] == bool(data.y in data.x)
        assert rows["seen"][number] == (int(data.y) in clicked)


def test_the_metrics_by_the_targets_clicks(root: Path, four_epochs: tuple[Path, RunResult]) -> None:
    """Those of the rows of ranks.parquet; monitor may not name them."""
    run_dir, result = four_epochs
    rows = read_ranks(run_dir / "ranks.parquet")
    training = open_dataset(tiny_config(root).dataset, "train")
    clicks = torch.bincount(training.sessions.items, minlength=training.num_items)
    assert set(rows["clicks"]) <= set(clicks.tolist())
    assert list(result.targets) == ["srgnn", *BASELINES, "optimum"]
    for name in ("srgnn", *BASELINES):
        groups = result.targets[name]
        rank = "rank" if name == "srgnn" else f"rank_{name}"
        for group, low, high in (("warm", 1, 10**9), ("rare", 1, 20), ("cold", 0, 0)):
            mine = rows.filter(rows["clicks"].is_between(low, high))[rank]
            assert groups[group]["samples"] == len(mine)
            if len(mine):
                assert groups[group]["hr@20"] == pytest.approx((mine <= 20).mean())
    with pytest.raises(ValueError, match="monitor"):
        validate_run(tiny_config(root, "monitor=rare/hr@20"))


def test_the_optimum_by_the_targets_clicks(root: Path, tmp_path: Path) -> None:
    """It is that of the groups of the sessions trained on."""
    grows = ("dataset.new_items=0.1", "dataset.late_items=0.1")
    keys = (*grows, "model=popularity", "baselines=[]", "refit=true")
    result = train(tiny_config(root, *keys), tmp_path)
    training, test = (
        open_dataset(tiny_config(root, *grows).dataset, split) for split in ("trainval", "test")
    )
    clicks = torch.bincount(training.sessions.items, minlength=training.num_items)
    assert not clicks[-4:].any()
    expected = test.optimum_by_target({name: group(clicks) for name, group in GROUPS.items()})
    assert result.targets["optimum"] == expected
    best = expected["cold"]
    assert f"{100 * best['hr@20']:.2f} / {100 * best['mrr@20']:.2f}" in run_summary(result, "hr@20")


def test_the_slices_of_a_run(
    root: Path, tmp_path: Path, four_epochs: tuple[Path, RunResult]
) -> None:
    run_dir, result = four_epochs
    shutil.copy(run_dir / "ranks.parquet", tmp_path)
    write_slices(tmp_path, result.model)
    with (tmp_path / "slices.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    whole = {"srgnn": result.test, "markov": result.baselines["markov"]["test"]}
    for scorer, metrics in whole.items():
        for kind in ("prefix", "target", "decile", "day"):  # the parts of a kind make the whole
            parts = [row for row in rows if row["scorer"] == scorer and row["slice"] == kind]
            known = [row for row in parts if row["samples"] != "0"]
            for metric in ("hr@20", "mrr@20"):
                total = sum(float(row["share"]) * float(row[metric]) / 100 for row in known)
                assert total == pytest.approx(100 * metrics[metric], abs=1e-3)
    counted = train(tiny_config(root, "model=stan", "baselines=[]"), tmp_path / "stan")
    write_slices(tmp_path / "stan", counted.model)
    with (tmp_path / "stan" / "slices.csv").open(encoding="utf-8") as file:
        assert {row["scorer"] for row in csv.DictReader(file)} == {counted.model}


@pytest.mark.parametrize("name", ["session_popularity", "vsknn"])
def test_a_counting_model_is_run_as_a_model(root: Path, tmp_path: Path, name: str) -> None:
    config = tiny_config(root, f"model={name}", "refit=true")
    result = train(config, tmp_path)
    assert result.model == name and result.epochs == 0 and result.checkpoint is None
    assert name not in result.baselines and "markov" in result.baselines
    test, training, every = (open_dataset(config.dataset, s) for s in ("test", "train", "trainval"))
    scorer = BASELINES[name].fit(every.sessions, every.num_items)
    assert result.test == evaluate(scorer, SessionLoader(test, 128), test.num_items)
    scorer = BASELINES[name].fit(training.sessions, every.num_items)
    valid = open_dataset(config.dataset, "valid")
    assert result.valid == evaluate(scorer, SessionLoader(valid, 128), valid.num_items)
    assert (tmp_path / "ranks.parquet").is_file() and not (tmp_path / "checkpoints").exists()
    with pytest.raises(ValueError, match="names no checkpoint"):
        Checkpoint.load(tmp_path)


@pytest.mark.parametrize("refit", ["false", "true"])
def test_an_average_of_the_weights(
    root: Path, tmp_path: Path, refit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The average is validated, kept and tested; a resumed run continues it."""
    keys = ["average=0.9", "trainer.max_epochs=3", f"refit={refit}", "optimizer.schedule=cosine"]
    whole = train(tiny_config(root, *keys), tmp_path / "whole")
    plain = train(tiny_config(root, *keys[1:]), tmp_path / "plain")
    assert whole.valid != plain.valid and whole.test != plain.test
    interrupted(tiny_config(root, *keys), tmp_path / "cut", monkeypatch)
    assert untimed(train(tiny_config(root, *keys), tmp_path / "cut")) == untimed(whole)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_schedules_span_the_epochs_that_were_asked_for(
    root: Path, tmp_path: Path, schedule: str
) -> None:
    """A refit of fewer epochs takes the first part of the same schedule."""
    keys = [f"optimizer.schedule={schedule}", "trainer.max_epochs=4", "optimizer.lr=0.01"]
    train(tiny_config(root, *keys, "patience=4", "monitor=coverage@5", "refit=true"), tmp_path)
    rates = [float(row["lr"]) for row in rows_of(tmp_path / "epochs.csv")]
    peak = 0 if schedule == "cosine" else 1
    assert rates.index(max(rates)) == peak and rates[3] < 0.3 * max(rates)
    again = [float(row["lr"]) for row in rows_of(tmp_path / "refit.csv")]
    assert again == pytest.approx(rates[: len(again)], rel=0.05)  # an epoch has more batches


def test_metrics_beyond_accuracy_are_in_the_table(root: Path, tmp_path: Path) -> None:
    config = tiny_config(root, "metrics=[novelty,popularity_bias]", "baselines=[markov]")
    result = train(config, tmp_path)
    for metrics in (result.test, result.baselines["markov"]["test"]):
        assert metrics is not None and metrics["novelty@20"] > 1
    assert "novelty@20" not in (result.valid or {})
    shown = run_summary(RunResult.read(tmp_path), "hr@20")
    assert "(bits)" in shown and "bias@20" in shown
    assert f"{result.baselines['markov']['test']['novelty@20']:.2f}" in shown

    # A run of a version without the key is resumed as before.
    (tmp_path / "metrics.json").unlink()
    text = (tmp_path / "config.yaml").read_text()
    before = text.replace("metrics:\n- novelty\n- popularity_bias\n", "")
    assert before != text
    (tmp_path / "config.yaml").write_text(before)
    assert train(tiny_config(root, "baselines=[markov]"), tmp_path).test == {
        name: value
        for name, value in (result.test or {}).items()
        if not name.startswith(("novelty", "popularity"))
    }


def test_the_literature_protocol_is_labelled(root: Path, tmp_path: Path) -> None:
    config = tiny_config(root, "trainer.max_epochs=3", "protocol=literature")
    result = train(config, tmp_path)
    rows = rows_of(tmp_path / "epochs.csv")
    for name in ("hr@20", "mrr@5", "ndcg@10"):
        assert result.test[name] == max(float(row[f"test/{name}"]) for row in rows)
    assert set(result.best_epochs) | {"tied"} == set(result.test)
    assert result.protocol == "literature" and result.valid is None
    assert "chosen on the test set" in run_summary(result, config.monitor)
    assert result.samples["train"] == len(open_dataset(config.dataset, "trainval"))


def test_same_seed_same_numbers_and_another_seed_others(
    root: Path, tmp_path: Path, four_epochs: tuple[Path, RunResult]
) -> None:
    again, other = (
        train(tiny_config(root, "trainer.max_epochs=4", f"seed={seed}"), tmp_path / str(seed))
        for seed in (0, 1)
    )
    assert untimed(four_epochs[1]) == untimed(again)
    assert four_epochs[1].test != other.test


def test_a_loss_that_is_no_number_stops_the_run(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match=r"epoch 1 .* smaller optimizer\.lr"):
        train(tiny_config(root, "optimizer.lr=1e38"), tmp_path)


def test_a_checkpoint_to_resume_must_exist(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no file"):
        train(tiny_config(root, f"checkpoint={tmp_path / 'nowhere'}"), tmp_path / "run")


def test_the_last_checkpoint_knows_the_best_of_its_own_epoch(root: Path, tmp_path: Path) -> None:
    """Else a later epoch, worse than it but better than the one before, would replace it."""
    run_dir = tmp_path / "run"
    train(
        tiny_config(root, *FEWER_COUNTS, "trainer.max_epochs=4", "model.text_expert=false"), run_dir
    )
    last = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    (best,) = [
        state
        for key, state in last["callbacks"].items()
        if "valid/hr@20" in key and "best_model_score" in state
    ]
    rows = [float(row["valid/hr@20"]) for row in rows_of(run_dir / "epochs.csv")]
    assert float(best["best_model_score"]) == pytest.approx(max(rows), abs=1e-7)
    assert max(rows) == rows[-1], "the case needs its best epoch at the end"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=0.5", "optimizer.lr: there 0.003, here 0.5"),
        ("dataset.valid=0.5", "dataset.valid: there 0.1, here 0.5"),
        ("protocol=literature", "protocol: there honest, here literature"),
    ],
)
def test_a_run_is_not_resumed_with_other_settings(
    root: Path, tmp_path: Path, four_epochs: tuple[Path, RunResult], override: str, message: str
) -> None:
    config = tiny_config(root, "trainer.max_epochs=5", f"checkpoint={four_epochs[0]}", override)
    with pytest.raises(ValueError, match=message):
        train(config, tmp_path)


def test_a_refitted_model_is_not_resumed(
    root: Path, tmp_path: Path, refitted: tuple[Path, RunResult]
) -> None:
    refit = refitted[0] / "checkpoints" / "refit.ckpt"
    with pytest.raises(ValueError, match="has seen the validation sessions"):
        train(tiny_config(root, f"checkpoint={refit}"), tmp_path / "next")


def test_a_run_is_not_resumed_for_fewer_epochs(
    root: Path, tmp_path: Path, four_epochs: tuple[Path, RunResult]
) -> None:
    config = tiny_config(root, "trainer.max_epochs=3", f"checkpoint={four_epochs[0]}")
    with pytest.raises(ValueError, match="has trained 4 epochs already"):
        train(config, tmp_path)


class _Payload:
    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.sentinel),)


def test_trap_plain_pickle_load_of_a_resumed_checkpoint(root: Path, tmp_path: Path) -> None:
    sentinel, evil = tmp_path / "executed", tmp_path / "checkpoints" / "evil.ckpt"
    evil.parent.mkdir()
    torch.save({"state_dict": _Payload(sentinel)}, evil, pickle_module=pickle)
    config = tiny_config(root, f"checkpoint={evil}")
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True))
    with pytest.raises(ValueError, match="is not a checkpoint that srgnn-train wrote"):
        train(config, tmp_path / "run")
    assert not sentinel.exists()


@pytest.mark.usefixtures("pictures")
def test_sr_gnn_learns_more_than_the_baselines_know(root: Path, tmp_path: Path) -> None:
    config = tiny_config(
        root,
        "dataset.num_sessions=3000",
        "model.channels=32",
        "optimizer.lr=0.01",
        "trainer.max_epochs=6",
    )
    result = train(config, tmp_path)
    for name, baseline in result.baselines.items():
        assert result.test["hr@5"] > baseline["test"]["hr@5"], name
    assert result.test["hr@5"] < result.optimum["test"]["hr@5"] + 0.05
    assert RunResult.read(tmp_path) == result


@pytest.mark.parametrize("protocol", ["honest", "literature"])
def test_epochs_that_tie_are_told_apart_by_mrr(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    protocol: str,
) -> None:
    """With 15 items every epoch has an HR@20 of 1; best epoch, checkpoint, stop and refit agree."""
    keys = ["dataset.num_items=15", "dataset.interest_size=10", "trainer.max_epochs=5"]
    keys += [
        *FEWER_COUNTS,
        f"protocol={protocol}",
        "patience=1",
        "baselines=[]",
        "optimizer.lr=0.002",
    ]
    config = tiny_config(root, *keys)
    with caplog.at_level("INFO"):
        result = train(config, tmp_path / "whole")
    assert "15 items: HR@20 is 100 whatever is recommended; monitor=mrr@20" in caplog.text
    part = "valid" if protocol == "honest" else "test"
    rows = rows_of(tmp_path / "whole" / "epochs.csv")
    assert {row[f"{part}/hr@20"] for row in rows} == {"1.0"}
    by_mrr = [float(row[f"{part}/mrr@20"]) for row in rows]
    rising = next((i for i in range(1, 5) if by_mrr[i] <= by_mrr[i - 1]), 5)
    assert len(rows) == min(rising + 1, 5) and rising > 1, "stopped when MRR no longer rose"
    assert result.best_epoch == rising
    best = torch.load(tmp_path / "whole" / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] + 1 == rising
    interrupted(config, tmp_path / "cut", monkeypatch)
    assert untimed(train(config, tmp_path / "cut")) == untimed(result)
    if protocol == "honest":
        refit = train(tiny_config(root, *keys, "refit=true"), tmp_path / "refit")
        assert len(rows_of(tmp_path / "refit" / "refit.csv")) == refit.best_epoch == rising
