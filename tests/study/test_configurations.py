"""Configurations and their seeds; runs that are kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from omegaconf import OmegaConf

from pyg_srgnn.functional.metrics import columns
from pyg_srgnn.runs.finished import Run
from pyg_srgnn.training import train
from study.configurations import Configuration, read_study
from study.keep import keep
from tests.reports.tables import random_table, save
from tests.results import run_result
from tests.tiny import tiny_config

METRICS = [*columns(), "tied"]
HERE = {
    "dataset.root": "/home/me/data",
    "dataset.mirror": "/mnt/mirror",
    "trainer.enable_progress_bar": False,
}


def write_run(
    folder: Path,
    label: str = "srgnn",
    seed: int = 0,
    kept: bool = True,
    dataset: str = "diginetica",
    ranks: pl.DataFrame | None = None,
    command: tuple[str, ...] = (),
    keys: dict[str, Any] | None = None,
    **metrics: Any,
) -> Path:
    """A run as ``keep`` leaves it, or as ``srgnn-train`` does, whose metrics depend on its seed."""
    target = folder / dataset / label / str(seed) if kept else folder
    (target if kept else target / ".hydra").mkdir(parents=True)
    figures = {name: (40 + place + seed**2) / 100 for place, name in enumerate(METRICS)}
    known = {"model": label.split("_plain")[0], "valid": figures, "test": figures}
    known["train_seconds"] = 100.0 + seed
    result = run_result(dataset=dataset, seed=seed, **known | metrics)
    config = OmegaConf.create({"dataset": {"name": dataset}, "model": {"name": result.model}})
    for key, value in {"seed": seed, **HERE, **(keys or {})}.items():
        OmegaConf.update(config, key, value)
    result.write(target)
    OmegaConf.save(config, target / "config.yaml")
    here = [f"{key}={value}" for key, value in HERE.items()]
    overrides = [*here, f"dataset={dataset}", *command, f"seed={seed}"]
    OmegaConf.save(overrides, (target if kept else target / ".hydra") / "overrides.yaml")
    if ranks is not None:
        save(ranks, target / "ranks.parquet")
    return target


# --- Runs, seeds, commands


def test_the_seeds_of_a_label_are_summed_up(tmp_path: Path) -> None:
    for seed in (10, 2, 1):
        write_run(tmp_path, seed=seed, command=("model.scale=12", "+model.x='a b'", "baselines=[]"))
    write_run(tmp_path, "vsknn", dataset="yoochoose1_64", command=("model=vsknn",))
    (tmp_path / "diginetica" / "unfinished" / "0").mkdir(parents=True)
    write_run(tmp_path / "diginetica" / "ablation", "default")  # one folder deeper: no label
    several, one = read_study(tmp_path)
    assert (several.dataset, several.label, several.seeds) == ("diginetica", "srgnn", [1, 2, 10])
    for place, metric in enumerate(METRICS):
        values = [40.0 + place + seed**2 for seed in (1, 2, 10)]
        mean = sum(values) / 3
        sd = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
        assert several.percent(metric) == pytest.approx((mean, sd))
    assert several.seconds.mean == pytest.approx(313 / 3) and several.parameters == 1234
    (command,) = several.commands
    assert command == (
        "srgnn-train dataset=diginetica model.scale=12 '+model.x='\"'\"'a b'\"'\"'' "
        "'baselines=[]' seed=1,2,10 -m"
    )
    assert one.percent("mrr@20").sd is None
    assert one.commands == ["srgnn-train dataset=yoochoose1_64 model=vsknn seed=0"]
    assert read_study(tmp_path / "nowhere") == []


def test_runs_that_differ_in_more_than_the_seed(tmp_path: Path) -> None:
    first = write_run(tmp_path, keys={"dataset.root": "a", "model.scale": 12})
    other = write_run(tmp_path, seed=1, keys={"dataset.root": "b", "model.scale": 12})
    assert len(read_study(tmp_path)) == 1  # where the data lies is free
    config = OmegaConf.load(other / "config.yaml")
    OmegaConf.update(config, "model.scale", 16)
    OmegaConf.update(config, "model.more", True)
    OmegaConf.save(config, other / "config.yaml")
    with pytest.raises(ValueError, match="differ in more than the seed") as error:
        read_study(tmp_path)
    message = str(error.value)
    assert all(str(folder / "config.yaml") in message for folder in (first, other))
    assert "model.scale: 12 and 16" in message and "model.more: None and True" in message
    assert "dataset.root" not in message


def test_runs_that_are_made_of_runs_differ_in_their_seeds_too(tmp_path: Path) -> None:
    for seed in (0, 1):
        members = [f"runs/study/a/srgnn/{seed}", f"runs/study/a/gru4rec/{(seed + 1) % 2}"]
        named = f"model.members=[{','.join(members)}]"
        write_run(tmp_path, "both", seed, keys={"model.members": members}, command=(named,))
        write_run(tmp_path, "taught", seed, keys={"distil": f"runs/study/a/both/{seed}"})
    both, taught = read_study(tmp_path)
    assert both.seeds == taught.seeds == [0, 1] and len(taught.commands) == 2
    assert both.commands == [
        "srgnn-train dataset=diginetica "
        f"'model.members=[runs/study/a/srgnn/{seed},runs/study/a/gru4rec/{1 - seed}]' seed={seed}"
        for seed in (0, 1)
    ]
    write_run(tmp_path, "taught", 2, keys={"distil": "runs/study/a/other/2"})
    with pytest.raises(ValueError, match=r"distil: runs/study/a/both/0 and runs/study/a/other/2"):
        read_study(tmp_path)


def test_a_folder_is_named_by_its_seed(tmp_path: Path) -> None:
    folder = write_run(tmp_path, seed=3)
    folder.rename(folder.with_name("4"))
    with pytest.raises(ValueError, match=r"4 holds a run of seed 3"):
        read_study(tmp_path)


def test_ranks_are_those_of_all_seeds_or_none(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0, ranks=random_table(0))
    assert read_study(tmp_path)[0].samples() is not None
    write_run(tmp_path, seed=1)
    assert read_study(tmp_path)[0].samples() is None


# --- Runs that are kept


def test_a_run_is_kept_without_its_model_and_its_machine(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run",
        seed=7,
        kept=False,
        ranks=random_table(0),
        command=("++dataset.root=/other", "checkpoint=/home/me/old", "model.scale=12"),
        keys={"checkpoint": "/home/me/old", "dataset.valid": 0.1},
    )
    (run / "checkpoints").mkdir()
    for name in ("checkpoints/best.ckpt", "train.log", "epochs.csv", "vocabulary.json"):
        (run / name).write_text("/home/me")
    (run / "epochs.csv").write_text("epoch,loss\n1,5.0\n")
    target = keep(run, tmp_path / "study")
    assert target == tmp_path / "study" / "diginetica" / "srgnn" / "7"
    names = {"metrics.json", "config.yaml", "overrides.yaml", "ranks.parquet", "epochs.csv"}
    assert {path.name for path in target.iterdir()} == names
    for path in target.iterdir():
        assert b"/home" not in path.read_bytes() and b"/mnt" not in path.read_bytes()
        if path.name not in ("config.yaml", "overrides.yaml"):
            assert path.read_bytes() == (run / path.name).read_bytes()
    before, after = Run.read(run), Run.read(target)
    assert after.config == before.config | {
        "dataset.root": "datasets",
        "dataset.mirror": None,
        "checkpoint": None,
    }
    assert after.result == before.result
    (found,) = read_study(tmp_path / "study")
    assert found.commands == ["srgnn-train dataset=diginetica model.scale=12 seed=7"]
    assert found.commands == Configuration("srgnn", (before._replace(folder=target),)).commands
    # Again, of a run that is kept already, under another label; and what was there goes.
    (target / "refit.csv").write_text("old")
    assert keep(run, tmp_path / "study") == target and not (target / "refit.csv").exists()
    again = keep(target, tmp_path / "study", "ablation/default")
    assert again == tmp_path / "study" / "diginetica" / "ablation" / "default" / "7"
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in target.iterdir()
    }


@pytest.mark.parametrize("label", ["", "..", "a/../../b", "/tmp/x", "C:\\x"])
def test_a_label_stays_in_the_folder(tmp_path: Path, label: str) -> None:
    run = write_run(tmp_path / "run", kept=False)
    with pytest.raises(ValueError, match="'label' must be"):
        keep(run, tmp_path / "study", label)


def test_runs_that_cannot_be_kept(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", kept=False, keys={"warm_start": "/home/me/other"})
    with pytest.raises(ValueError, match=r"warm_start=/home/me/other: .* absolute path"):
        keep(run, tmp_path / "study")
    run = write_run(tmp_path / "b", kept=False, keys={"dataset.path": ["clicks", "/data/clicks"]})
    with pytest.raises(ValueError, match=r"dataset.path="):
        keep(run, tmp_path / "study")
    run = write_run(tmp_path / "c", kept=False)
    (run / "metrics.json").unlink()
    with pytest.raises(ValueError, match="no finished run"):
        keep(run, tmp_path / "study")
    run = write_run(tmp_path / "d", kept=False)
    (run / ".hydra" / "overrides.yaml").unlink()
    with pytest.raises(FileNotFoundError, match="overrides"):
        keep(run, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_run_of_the_command_is_read(tmp_path: Path) -> None:
    """What ``srgnn-train`` writes is what the study expects."""
    config = tiny_config(tmp_path / "data", "trainer.max_epochs=1", "baselines=[]")
    result = train(config, tmp_path / "run")
    (tmp_path / "run" / ".hydra").mkdir()
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text("- baselines=[]\n")
    keep(tmp_path / "run", tmp_path / "study")
    (found,) = read_study(tmp_path / "study")
    for metric in METRICS:
        assert found.percent(metric).mean == pytest.approx(100 * result.test[metric])
    assert found.commands == ["srgnn-train 'baselines=[]' seed=0"]
    samples = found.samples()
    assert samples is not None and len(samples.starts()) == 60
    assert 100 * samples.values["hr@20"].mean() == pytest.approx(found.percent("hr@20").mean)
    assert 100 * samples.values["mrr@20"].mean() == pytest.approx(found.percent("mrr@20").mean)
