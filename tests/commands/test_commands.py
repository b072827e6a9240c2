"""The console scripts on one tiny run: what they print, and the files they leave."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from pyg_srgnn import Recommender
from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.commands import compare, evaluate, prepare, recommend, train
from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.evaluation.rank_table import baselines_of, read_ranks
from tests.commands import Returned, run
from tests.tiny import TINY, tiny_config

pytestmark = pytest.mark.slow

NAMES = [f"{name}@{k}" for name in ("hr", "mrr", "ndcg", "coverage") for k in (5, 10, 20)]
# The contract, and what stands there besides.
CONTRACT = {
    "dataset",
    "protocol",
    "model",
    "seed",
    "best_epoch",
    "valid",
    "test",
    "baselines",
    "samples_per_second",
    "train_seconds",
    "versions",
}
BESIDES = {
    *(
        "refit",
        "pruned",
        "epochs",
        "optimum",
        "targets",
        "samples",
        "checkpoint",
        "parameters",
        "device",
        "data",
    ),
}


@pytest.fixture(scope="module")
def root(tiny_root):
    return tiny_root


@pytest.fixture(scope="module")
def run_dir(tiny_run):
    return tiny_run


@pytest.fixture(scope="module")
def metrics(run_dir):
    return json.loads((run_dir / "metrics.json").read_text())


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing may be left in the current directory but what is asked for."""
    monkeypatch.chdir(tmp_path)


def cells(text: str, row: str) -> list[str]:
    """The numbers of a row of a printed table."""
    text = text.partition("by the target's clicks")[0]  # the first table
    (line,) = [line for line in text.splitlines() if re.match(rf"{re.escape(row)}\s+[\d.]", line)]
    return line.removeprefix(row).split()


# srgnn-train


def test_the_files_of_a_run(run_dir):
    files = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()}
    files = {name for name in files if not name.startswith((".hydra", ".lock"))}
    expected = {"metrics.json", "config.yaml", "epochs.csv", "train.log", "vocabulary.json"}
    expected |= {"data.json"}
    expected |= {"ranks.parquet", "slices.csv"}
    expected |= {"checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    if importlib.util.find_spec("matplotlib"):
        expected |= {"epochs.png", "slices.png"}
        for name in ("epochs.png", "slices.png"):
            assert (run_dir / name).read_bytes().startswith(b"\x89PNG")
    assert files == expected


def test_the_keys_of_metrics_json(metrics):
    assert metrics.keys() == CONTRACT | BESIDES
    assert metrics["test"].keys() == metrics["valid"].keys() == {*NAMES, "tied"}
    assert list(metrics["baselines"]) == list(BASELINES)
    scorers = ["srgnn", *BASELINES]
    assert [name for name in metrics["targets"] if name != "optimum"] == scorers
    assert all(list(metrics["targets"][name]) == ["warm", "rare", "cold"] for name in scorers)
    for baseline in metrics["baselines"].values():
        assert baseline.keys() == {"test"} and baseline["test"].keys() == {*NAMES, "tied"}
    assert set(NAMES) - metrics["optimum"]["test"].keys() == {n for n in NAMES if "cov" in n}
    assert {"python", "torch", "torch-geometric", "lightning", "pyg-srgnn"} <= set(
        metrics["versions"]
    )


def test_the_values_of_metrics_json(metrics, root):
    expected = {"dataset": "synthetic", "protocol": "honest", "model": "srgnn", "seed": 0}
    assert {key: metrics[key] for key in expected} == expected
    assert metrics["epochs"] == 2 and metrics["best_epoch"] in (1, 2)
    assert metrics["refit"] is False and metrics["checkpoint"] == "checkpoints/best.ckpt"
    assert metrics["samples_per_second"] > 0 and metrics["train_seconds"] > 0
    dataset = tiny_config(root).dataset
    assert metrics["samples"] == {s: len(open_dataset(dataset, s)) for s in ("train", "test")}
    parts = [metrics["valid"], metrics["test"], metrics["optimum"]["test"]]
    parts += [baseline["test"] for baseline in metrics["baselines"].values()]
    for part in parts:
        assert all(type(value) is float and 0 <= value <= 1 for value in part.values())
        assert part["hr@5"] <= part["hr@10"] <= part["hr@20"]
        assert part["mrr@20"] <= part["ndcg@20"] <= part["hr@20"]
    assert metrics["test"]["hr@20"] > 0


def test_the_configuration_is_kept_resolved(run_dir, root):
    text = (run_dir / "config.yaml").read_text()
    assert "${" not in text and "???" not in text
    resolved = OmegaConf.create(OmegaConf.to_container(tiny_config(root), resolve=True))
    del resolved["resume"]  # which is no part of the run
    assert OmegaConf.create(text) == resolved


def test_a_row_for_every_epoch(run_dir, metrics):
    with (run_dir / "epochs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    assert {f"valid/{name}" for name in NAMES} < rows[0].keys()
    assert {"loss", "lr", "samples_per_second", "train_seconds"} < rows[0].keys()
    best = rows[metrics["best_epoch"] - 1]
    assert float(best["valid/hr@20"]) == max(float(row["valid/hr@20"]) for row in rows)
    for name in NAMES:
        assert metrics["valid"][name] == pytest.approx(float(best[f"valid/{name}"]), abs=1e-9)


def test_the_checkpoints_hold_tensors_and_plain_values(run_dir):
    for name in ("best", "last"):
        stored = torch.load(run_dir / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert {"state_dict", "model", "vocabulary", "clicks", "dataset"} < stored.keys()
        assert stored["vocabulary"] == list(range(1, 41))
        assert stored["clicks"].shape == (40,)


def test_the_printed_table_is_in_percent_with_two_decimals(run_dir, metrics):
    printed = (run_dir / "train.log").read_text()
    columns = ["hr@5", "hr@10", "hr@20", "mrr@5", "mrr@10", "mrr@20", "ndcg@20", "coverage@20"]
    heads = [line.split() for line in printed.splitlines() if line.startswith(" " * 9)]
    assert heads == [columns, ["all", "warm", "rare", "cold"]]
    rows = {"srgnn": metrics["test"], "optimum (exact)": metrics["optimum"]["test"]}
    rows |= {name: baseline["test"] for name, baseline in metrics["baselines"].items()}
    for name, row in rows.items():
        assert cells(printed, name) == [f"{100 * row[key]:.2f}" for key in columns if key in row]
    for name in ("srgnn", *BASELINES):
        rare = metrics["targets"][name]["rare"]
        figures = [f"{100 * rare[key]:.2f}" for key in ("hr@20", "mrr@20")]
        assert re.search(rf"^{name} .*  {' / '.join(figures)}", printed, re.MULTILINE)


def test_the_log_of_a_run(run_dir):
    """It is what was printed, which test_screen.py compares."""
    log = (run_dir / "train.log").read_text()
    assert str(run_dir) in log
    assert len(re.findall(r"^epoch \d  loss", log, re.MULTILINE)) == 2
    assert "Traceback" not in log and "Warning" not in log


def test_a_finished_run_is_shown_again(run_dir, root, metrics, tmp_path):
    run_dir = shutil.copytree(run_dir, tmp_path / "run")
    arguments = [*TINY, f"dataset.root={root}", f"hydra.run.dir={run_dir}"]
    before = (run_dir / "metrics.json").read_bytes()
    again = run(train.main, "srgnn-train", *arguments)
    assert again.status == 0 and "finished" in again.out
    assert cells(again.out, "srgnn")[2] == f"{100 * metrics['test']['hr@20']:.2f}"
    assert (run_dir / "metrics.json").read_bytes() == before


def test_another_configuration_in_the_same_directory(run_dir, root, tmp_path):
    run_dir = shutil.copytree(run_dir, tmp_path / "run")
    arguments = [*TINY, f"dataset.root={root}", f"hydra.run.dir={run_dir}", "seed=3"]
    other = run(train.main, "srgnn-train", *arguments)
    assert other.status == 1
    assert re.search(r"seed\b.*\b0\b.*\b3\b", other.out + other.err)


def test_a_sweep_of_two_jobs_in_one_process(root, tmp_path):
    Returned.values.clear()
    result = run(
        train.main,
        "srgnn-train",
        "-m",
        *TINY,
        f"dataset.root={root}",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
        "+hydra.callbacks.returned._target_=tests.commands.Returned",
        "trainer.max_epochs=1",
        "monitor=mrr@10",
        "seed=0,1",
    )
    assert result.status == 0, result.out + result.err
    found = [
        json.loads((tmp_path / "sweep" / job / "metrics.json").read_text())
        for job in ("seed-0", "seed-1")
    ]
    assert [job["seed"] for job in found] == [0, 1]
    assert found[0]["test"] != found[1]["test"]
    assert Returned.values == [job["valid"]["mrr@10"] for job in found], "what a sweep optimises"


def test_an_interval_of_validation_within_an_epoch(root, tmp_path):
    """What is reported of validation is what the reported checkpoint reached there."""
    run_dir = tmp_path / "run"
    result = run(
        train.main,
        "srgnn-train",
        *TINY,
        f"dataset.root={root}",
        f"hydra.run.dir={run_dir}",
        "trainer.val_check_interval=0.5",
        "trainer.max_epochs=3",
    )
    if result.status:
        assert "trainer.val_check_interval" in result.out
        return
    report = json.loads((run_dir / "metrics.json").read_text())
    arguments = [f"checkpoint={run_dir}", "split=valid", "baselines=[]", f"dataset.root={root}"]
    evaluated = run(evaluate.main, "srgnn-evaluate", *arguments, f"hydra.run.dir={tmp_path}")
    assert evaluated.status == 0, evaluated.out + evaluated.err
    found = json.loads((tmp_path / "evaluation.json").read_text())["metrics"]["model"]
    assert found["hr@20"] == pytest.approx(report["valid"]["hr@20"], abs=1e-6)


def test_no_progress_bar(root, tmp_path):
    arguments = [*TINY, f"dataset.root={root}", f"hydra.run.dir={tmp_path}"]
    arguments += ["trainer.max_epochs=1", "trainer.enable_progress_bar=false"]
    result = run(train.main, "srgnn-train", *arguments)
    assert result.status == 0, result.out + result.err


def test_a_limit_of_steps_within_an_epoch(root, tmp_path):
    """14 batches are an epoch: 5 steps end before the first validation, 20 after it."""
    arguments = [*TINY, f"dataset.root={root}"]
    early = [f"hydra.run.dir={tmp_path / 'early'}", "trainer.max_steps=5"]
    result = run(train.main, "srgnn-train", *arguments, *early)
    assert result.status == 1 and "Traceback" not in result.err
    assert "no epoch ended with a validation" in result.out

    late = [f"hydra.run.dir={tmp_path / 'late'}", "trainer.max_steps=20"]
    result = run(train.main, "srgnn-train", *arguments, *late)
    assert result.status == 0, result.out + result.err
    metrics = json.loads((tmp_path / "late" / "metrics.json").read_text())
    assert (metrics["epochs"], metrics["best_epoch"]) == (2, 1)


# srgnn-train checkpoint=


def going_on(root, run_dir, checkpoint, *arguments):
    result = run(
        train.main,
        "srgnn-train",
        *TINY,
        f"dataset.root={root}",
        f"hydra.run.dir={run_dir}",
        f"checkpoint={checkpoint}",
        *arguments,
    )
    return result.status, result.out + result.err


def test_going_on_where_nothing_is_left_to_do(root, run_dir, tmp_path, metrics):
    """The other run has both epochs: this one is that one."""
    status, printed = going_on(root, tmp_path / "run", run_dir)
    assert status == 0, printed
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["test"] == metrics["test"] and found["epochs"] == 2
    log = (tmp_path / "run" / "epochs.csv").read_text()
    assert log == (run_dir / "epochs.csv").read_text()


@pytest.mark.parametrize(
    "other", ["model.channels=9", "model.readout=local", "dataset.num_items=41"]
)
def test_going_on_from_a_run_of_another_model(root, run_dir, tmp_path, other):
    status, printed = going_on(root, tmp_path / "run", run_dir, other, "trainer.max_epochs=3")
    assert status == 1
    assert "Traceback" not in printed and other.split("=")[0].split(".")[1] in printed


@pytest.mark.parametrize("part", [0, 0.02, 0.4, 0.99])
def test_going_on_from_a_damaged_file(root, run_dir, tmp_path, part):
    """It is told, and does not stay in the way of the right one."""
    damaged = tmp_path / "damaged"
    (damaged / "checkpoints").mkdir(parents=True)
    shutil.copy(run_dir / "config.yaml", damaged)
    whole = (run_dir / "checkpoints" / "last.ckpt").read_bytes()
    (damaged / "checkpoints" / "last.ckpt").write_bytes(whole[: int(part * len(whole))])
    status, printed = going_on(root, tmp_path / "run", damaged, "trainer.max_epochs=3")
    assert status == 1
    assert "not a checkpoint" in printed and "Traceback" not in printed
    if part == 0.02:
        status, printed = going_on(root, tmp_path / "run", run_dir, "trainer.max_epochs=3")
        assert status == 0, printed


# srgnn-evaluate


def evaluation(tmp_path, run_dir, *arguments):
    out = tmp_path / "evaluation"
    result = run(
        evaluate.main,
        "srgnn-evaluate",
        f"checkpoint={run_dir}",
        f"hydra.run.dir={out}",
        *arguments,
    )
    assert result.status == 0, result.out + result.err
    return json.loads((out / "evaluation.json").read_text()), result.out


def same(found, expected, tolerance=1e-9):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=tolerance), name


def test_evaluate_reproduces_the_test_metrics(tmp_path, run_dir, metrics):
    result, printed = evaluation(tmp_path, run_dir)
    same(result["metrics"]["model"], metrics["test"])
    for name, metrics_of in metrics["targets"]["srgnn"].items():
        same(result["targets"]["model"][name], metrics_of)
    assert result["dataset"] == "synthetic" and result["split"] == "test"
    assert result["samples"] == metrics["samples"]["test"]
    assert result["checkpoint"] == str(run_dir / "checkpoints" / "best.ckpt")
    assert cells(printed, "model")[2] == f"{100 * metrics['test']['hr@20']:.2f}"


def test_evaluate_reproduces_the_baselines(tmp_path, run_dir, root, metrics):
    """The same baselines on the same run are the same numbers in both tables."""
    result, _ = evaluation(tmp_path, run_dir, f"dataset.root={root}")
    for name, baseline in metrics["baselines"].items():
        same(result["metrics"][name], baseline["test"])


def test_evaluate_gives_the_ranks_and_slices_of_the_run(tmp_path, run_dir, root):
    """The same files, but for the name of the model; on another split, those of its samples."""
    out = tmp_path / "evaluation"
    _, printed = evaluation(tmp_path, run_dir, f"dataset.root={root}")
    ours, theirs = (read_ranks(folder / "ranks.parquet") for folder in (out, run_dir))
    assert ours.equals(theirs)
    whole = (run_dir / "slices.csv").read_text(encoding="utf-8")
    assert (out / "slices.csv").read_text(encoding="utf-8") == whole.replace("srgnn", "model")
    assert re.search(r"^target repeated +[\d.]+ +[\d.]+ / [\d.]+ ", printed, re.MULTILINE)
    evaluation(tmp_path, run_dir, f"dataset.root={root}", "split=valid", "baselines=[stan]")
    valid = open_dataset(tiny_config(root).dataset, "valid")
    rows = read_ranks(out / "ranks.parquet")
    assert len(rows) == len(valid) and baselines_of(rows) == ["stan"]


def test_evaluate_on_validation(tmp_path, run_dir, root, metrics):
    arguments = ["split=valid", "baselines=[popularity]", f"dataset.root={root}"]
    result, printed = evaluation(tmp_path, run_dir, *arguments)
    same(result["metrics"]["model"], metrics["valid"], 1e-6)
    assert result["metrics"].keys() == {"model", "popularity"}
    assert "markov" not in printed and "valid" in printed


def test_evaluate_another_file_and_other_ties(tmp_path, run_dir, root):
    file = run_dir / "checkpoints" / "last.ckpt"
    arguments = ["baselines=[]", "ties=median", "batch_size=7", f"dataset.root={root}"]
    result, _ = evaluation(tmp_path, file, *arguments)
    assert result["ties"] == "median" and result["checkpoint"] == str(file)


def test_evaluate_on_data_that_the_model_does_not_know(tmp_path, run_dir, root):
    stored = torch.load(run_dir / "checkpoints" / "best.ckpt", weights_only=True)
    stored["vocabulary"] = stored["vocabulary"][::-1]
    torch.save(stored, tmp_path / "other.ckpt")
    arguments = [f"checkpoint={tmp_path / 'other.ckpt'}", f"dataset.root={root}"]
    result = run(evaluate.main, "srgnn-evaluate", *arguments, f"hydra.run.dir={tmp_path}")
    assert result.status == 1 and "trained on other data" in result.out + result.err


# srgnn-recommend


def recommended(run_dir, *arguments):
    result = run(recommend.main, "srgnn-recommend", f"checkpoint={run_dir}", *arguments)
    assert result.status == 0, result.out + result.err
    lines = re.findall(r"^ +(\d+)  +(.+?)  +(-?[\d.]+)(?: +cold)?$", result.out, re.MULTILINE)
    return [(int(rank), raw, float(score)) for rank, raw, score in lines], result.out + result.err


def test_recommend_prints_k_raw_ids_with_scores(run_dir):
    lines, printed = recommended(run_dir, "items=[17,4,17]", "k=5")
    (expected,) = Recommender.load(run_dir).recommend([[17, 4, 17]], 5)
    assert [rank for rank, _, _ in lines] == [1, 2, 3, 4, 5]
    assert [int(raw) for _, raw, _ in lines] == [raw for raw, _ in expected]
    assert [score for _, _, score in lines] == pytest.approx([s for _, s in expected], abs=1e-4)
    assert "arning" not in printed


def test_recommend_20_unless_told_otherwise_and_never_more_than_there_are(run_dir):
    assert len(recommended(run_dir, "items=[1]")[0]) == 20
    lines, _ = recommended(run_dir, "items=[1]", "k=1000")
    assert sorted(int(raw) for _, raw, _ in lines) == list(range(1, 41))


def test_recommend_names_unknown_ids(run_dir):
    lines, printed = recommended(run_dir, "items=[17,99,4,shoe]", "k=3")
    assert re.search(r"warning: .*99, 'shoe'", printed) and "popular" not in printed
    assert lines == recommended(run_dir, "items=[17,4]", "k=3")[0]


@pytest.mark.parametrize("items", ["[99,98]", "[]"])
def test_recommend_falls_back_to_popularity_and_says_so(run_dir, items):
    lines, printed = recommended(run_dir, f"items={items}", "k=3")
    assert re.search("warning: .*the most popular items", printed)
    clicks = torch.load(run_dir / "checkpoints" / "best.ckpt", weights_only=True)["clicks"]
    best = clicks.argsort(descending=True, stable=True)[:3]
    assert [int(raw) for _, raw, _ in lines] == (best + 1).tolist()
    shares = (clicks[best] / clicks.sum()).tolist()
    assert [score for _, _, score in lines] == pytest.approx(shares, abs=1e-4)


def test_recommend_from_a_catalogue_of_texts(run_dir, tmp_path):
    stored = torch.load(run_dir / "checkpoints" / "best.ckpt", weights_only=True)
    stored["vocabulary"] = [str(raw) if raw < 40 else "red shoe" for raw in stored["vocabulary"]]
    torch.save(stored, tmp_path / "texts.ckpt")
    lines, printed = recommended(tmp_path / "texts.ckpt", 'items=[17,"4"]', "k=3")
    assert "arning" not in printed
    assert [(r, raw) for r, raw, _ in lines] == [
        (r, raw) for r, raw, _ in recommended(run_dir, "items=[17,4]", "k=3")[0]
    ]
    _, printed = recommended(tmp_path / "texts.ckpt", 'items=["red shoe"]', "k=3")
    assert "arning" not in printed


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", "there is no such run directory or file"),
        (".", "there is no finished run with a model"),
    ],
)
def test_recommend_from_nothing(tmp_path, path, said):
    arguments = [f"checkpoint={tmp_path / path}", "items=[1]"]
    result = run(recommend.main, "srgnn-recommend", *arguments)
    assert result.status == 1
    assert said in result.out + result.err and "Traceback" not in result.err


def test_recommend_from_a_damaged_file(run_dir, tmp_path):
    whole = (run_dir / "checkpoints" / "best.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    arguments = [f"checkpoint={tmp_path / 'cut.ckpt'}", "items=[1]"]
    result = run(recommend.main, "srgnn-recommend", *arguments)
    assert result.status == 1
    assert "not a checkpoint" in result.out + result.err and "Traceback" not in result.err


@pytest.mark.parametrize("way", ["absolute", "within", "dots", "link", "best"])
def test_a_run_opens_no_file_outside_of_its_directory(run_dir, tmp_path, way):
    run_copy = tmp_path / "run"
    shutil.copytree(run_dir, run_copy)
    outside = shutil.copy(run_dir / "checkpoints" / "best.ckpt", tmp_path / "outside.ckpt")
    named = {
        "absolute": str(outside),
        "within": str(run_copy / "checkpoints" / "best.ckpt"),
        "dots": "checkpoints/../../outside.ckpt",
        "link": "checkpoints/link.ckpt",
        "best": None,
    }[way]
    if named is None:  # a run that is not finished
        (run_copy / "metrics.json").unlink()
        (run_copy / "checkpoints" / "best.ckpt").unlink()
        (run_copy / "checkpoints" / "best.ckpt").symlink_to(outside)
    else:
        (run_copy / "checkpoints" / "link.ckpt").symlink_to(outside)
        metrics = json.loads((run_copy / "metrics.json").read_text())
        (run_copy / "metrics.json").write_text(json.dumps(metrics | {"checkpoint": named}))
    result = run(recommend.main, "srgnn-recommend", f"checkpoint={run_copy}", "items=[1]")
    assert result.status == 1 and "must be a path within the run's directory" in result.out
    assert str(named or "checkpoints/best.ckpt") in result.out
    (tmp_path / "moved").symlink_to(run_dir)  # the directory itself may be a link
    assert (
        run(
            recommend.main, "srgnn-recommend", f"checkpoint={tmp_path / 'moved'}", "items=[1]"
        ).status
        == 0
    )


@pytest.mark.parametrize(
    ("main", "name", "arguments", "missing"),
    [
        (recommend.main, "srgnn-recommend", [], "checkpoint"),
        (recommend.main, "srgnn-recommend", ["checkpoint={run_dir}"], "items"),
        (evaluate.main, "srgnn-evaluate", ["hydra.run.dir=."], "checkpoint"),
    ],
)
def test_a_key_that_must_be_given(run_dir, main, name, arguments, missing):
    result = run(main, name, *(argument.format(run_dir=run_dir) for argument in arguments))
    assert result.status == 1
    assert missing in result.out + result.err and "Traceback" not in result.err


def test_recommend_leaves_no_file(run_dir, tmp_path):
    recommended(run_dir, "items=[1]")
    assert list(tmp_path.iterdir()) == []


def test_the_installed_script(run_dir):
    """A process of its own, without a traceback and with the right exit status."""
    script = Path(sys.executable).with_name("srgnn-recommend")
    command = [script, f"checkpoint={run_dir}", "items=[17,99]", "k=2"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    lines, _ = recommended(run_dir, "items=[17]", "k=2")
    printed = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("   ")]
    assert printed == [raw for _, raw, _ in lines]
    assert "99" in result.stdout + result.stderr and "Traceback" not in result.stderr


def test_every_script_is_installed():
    scripts = entry_points(group="console_scripts")
    for name, module in {
        "srgnn-train": train,
        "srgnn-evaluate": evaluate,
        "srgnn-recommend": recommend,
        "srgnn-prepare": prepare,
        "srgnn-compare": compare,
    }.items():
        (script,) = scripts.select(name=name)
        assert script.load() is module.main
