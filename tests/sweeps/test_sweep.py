"""Sweeps by the command: resumed, reported, and their files."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from pyg_srgnn.commands import evaluate, train
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.reports.leaderboard import write_leaderboard
from pyg_srgnn.sweeps import sweep as sweep_module
from pyg_srgnn.sweeps.overrides import parse_overrides
from pyg_srgnn.sweeps.sweep import _size_of_grid
from tests.commands import Result, run
from tests.full_disk import limit
from tests.tiny import TINY
from tests.training.test_lock import held

pytestmark = pytest.mark.slow

# A model that only counts: a job takes no time.
COUNTS = [word for word in TINY if not word.startswith("model.")]
COUNTS += ["model=item_knn", "test=false", "baselines=[]"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps go to ``runs/sweeps`` below the current directory."""
    monkeypatch.chdir(tmp_path)


def sweep(*arguments: str) -> Result:
    return run(train.main, "srgnn-train", "-m", *arguments)


def metrics(directory: Path) -> dict[str, Any]:
    """Those of every job, without what takes another time each time."""
    timed = ("samples_per_second", "train_seconds")
    return {
        path.parent.name: {
            key: value for key, value in json.loads(path.read_text()).items() if key not in timed
        }
        for path in directory.rglob("metrics.json")
    }


def test_a_failed_job_is_reported_at_the_end_and_the_others_run(root: Path) -> None:
    """One job a batch, after each of which Hydra would stop."""
    command = [*COUNTS, f"dataset.root={root}", "model.neighbours=-1,5", "seed=0,1"]
    result = sweep(*command, "hydra.sweeper.max_batch_size=1")
    assert result.status == 1
    (directory,) = Path("runs/sweeps").iterdir()
    assert f"Sweep: {directory}" in result.out
    assert set(metrics(directory)) == {f"model.neighbours-5_seed-{seed}" for seed in (0, 1)}
    _, _, summary = result.out.partition("2 jobs have failed")
    for seed in (0, 1):
        job = f"model.neighbours--1_seed-{seed}"
        error = json.loads((directory / job / "error.json").read_text())
        assert error["type"] == "ValueError" and "model.neighbours=-1" in error["message"]
        assert re.search(rf"^  {job}  .*expected a whole number >= ", summary, re.MULTILINE)
    with (directory / "leaderboard.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) > 1
    # The same command, in any order, finds it again; what is finished is not run again.
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("metrics.json")}
    again = sweep(*reversed(command), "threads=1")
    assert again.status == 1 and list(Path("runs/sweeps").iterdir()) == [directory]
    assert "2 jobs have failed" in again.out
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("metrics.json")} == before


def test_a_sweep_with_the_names_of_an_older_version_is_not_run_again(root: Path) -> None:
    command = [*COUNTS, f"dataset.root={root}", "model.neighbours=4,5"]
    assert sweep(*command).status == 0
    (new,) = Path("runs/sweeps").iterdir()
    old = new.rename(new.with_name(f"model.neighbours=4,5_{new.name[-8:]}"))
    for number in (4, 5):
        job = old / f"model.neighbours-{number}"
        job.rename(old / f"model.neighbours={number}")
    before = {path: path.stat().st_mtime_ns for path in old.rglob("metrics.json")}
    again = sweep(*command)
    assert again.status == 0 and f"Sweep: {old}" in again.out
    assert list(Path("runs/sweeps").iterdir()) == [old] and len(before) == 2
    assert {path: path.stat().st_mtime_ns for path in old.rglob("metrics.json")} == before


def test_the_best_run_of_a_sweep_is_passed_on_as_it_is_printed(root: Path) -> None:
    """And so is one with a name that Hydra's grammar would not take."""
    grid = ["optimizer.weight_decay=0,1e-5", "seed=0,1"]
    assert sweep(*TINY, f"dataset.root={root}", "test=false", *grid).status == 0
    (directory,) = Path("runs/sweeps").iterdir()
    (best,) = re.findall("^Best run: (.+)$", write_leaderboard(directory), re.MULTILINE)
    assert re.fullmatch(r"runs/sweeps/[-\w.]+/optimizer\.weight_decay-(0|1e-0?5)_seed-[01]", best)
    old = directory / "optimizer.weight_decay=0,seed=2"
    shutil.copytree(best, old)
    for path in (best, str(old)):
        words = [f"checkpoint={path}", "baselines=[]", "split=valid", "hydra.run.dir=evaluated"]
        result = run(evaluate.main, "srgnn-evaluate", *words)
        assert result.status == 0, result.out + result.err
        written = json.loads(Path("evaluated/evaluation.json").read_text())
        assert written["checkpoint"] == f"{path}/checkpoints/best.ckpt"


def test_the_second_sweep_in_a_directory_is_refused(root: Path, tmp_path: Path) -> None:
    first = held(tmp_path / "sweep", 600)
    try:
        result = sweep(*COUNTS, f"dataset.root={root}", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    finally:
        first.kill()
        first.wait()
    assert result.status == 1
    assert f"process {first.pid} is at work there already" in result.err
    assert not list((tmp_path / "sweep").rglob("config.yaml"))


def test_jobs_at_once_have_the_numbers_of_jobs_one_after_another(
    root: Path, tmp_path: Path
) -> None:
    """On a fresh root, so that two processes want to prepare the data at once."""
    pytest.importorskip("joblib")
    settings = [word for word in TINY if not word.startswith("optimizer.")]
    settings += ["test=false", "experiment=glob(*,exclude=[paper,simplified])", "threads=1"]
    settings += ["trainer.max_epochs=2"]
    together = sweep(
        *settings,
        f"dataset.root={tmp_path / 'fresh'}",
        "hydra.sweep.dir=together",
        "hydra/launcher=joblib",
    )
    assert together.status == 0, together.out + together.err
    alone = sweep(*settings, f"dataset.root={tmp_path / 'fresh'}", "hydra.sweep.dir=alone")
    assert alone.status == 0, alone.out + alone.err
    assert set(metrics(Path("alone"))) == {"experiment-authors", "experiment-fast"}
    assert metrics(Path("together")) == metrics(Path("alone"))


def test_a_full_disk_stops_the_job_and_leaves_its_checkpoint(root: Path) -> None:
    command = [*TINY, f"dataset.root={root}", "test=false", "hydra.sweep.dir=full"]
    assert sweep(*command, "trainer.max_epochs=1").status == 0
    job, checkpoint = Path("full/job"), Path("full/job/checkpoints/last.ckpt")
    (job / "metrics.json").unlink()  # as if it had been stopped here
    before = checkpoint.read_bytes()
    with limit(len(before) // 2):  # more than what is written besides, too small for a checkpoint
        stopped = sweep(*command, "trainer.max_epochs=2")
    assert stopped.status == 1 and "1 jobs have failed" in stopped.out
    assert checkpoint.read_bytes() == before
    assert (job / "error.json").is_file() and not (job / "metrics.json").exists()
    assert sweep(*command, "trainer.max_epochs=2").status == 0
    assert metrics(Path("full"))["job"]["epochs"] == 2 and not (job / "error.json").exists()


def test_all_jobs_start_from_the_run_that_is_the_latest_when_the_sweep_starts(root: Path) -> None:
    command = [*TINY, f"dataset.root={root}", "test=false", "trainer.max_epochs=1"]
    trained = run(train.main, "srgnn-train", *command, "hydra.run.dir=runs/toy/a=1")
    assert trained.status == 0, trained.out + trained.err
    result = sweep(*command, "warm_start=latest", "distil=latest", "seed=0,1")
    assert result.status == 0, result.out + result.err
    assert result.err.count("warm_start=runs/toy/a=1") == 1
    assert result.err.count("distil=runs/toy/a=1") == 1
    (directory,) = Path("runs/sweeps").iterdir()
    starts = [OmegaConf.load(path).warm_start for path in directory.glob("*/config.yaml")]
    assert starts == ["runs/toy/a=1"] * 2
    assert {path.name for path in directory.iterdir()} >= {"seed-0", "seed-1"}
    missing = sweep(*command, "warm_start=runs/none/latest", "seed=0,1")
    assert missing.status == 1 and "warm_start=runs/none/latest: there is no" in missing.err


def test_the_jobs_of_a_grid_are_counted() -> None:
    def size(*overrides: str) -> int | None:
        return _size_of_grid(parse_overrides(overrides, CONF))

    experiments = len(list((CONF / "experiment").glob("*.yaml")))
    assert size("experiment=glob(*)", "seed=0,1", "test=false") == 2 * experiments
    assert size("seed=range(5)") == 5 and size("test=false") == 1
    assert size("search=srgnn") is size("optimizer.lr=interval(0,1)") is None


@pytest.mark.parametrize(
    ("override", "plugin", "message"),
    [
        (
            "hydra/launcher=joblib",
            "hydra_joblib_launcher",
            r"pip install .*\[sweep\]",
        ),
        ("search=item_knn", "hydra_optuna_sweeper", "pip uninstall hydra-optuna-sweeper"),
    ],
)
def test_plugins_that_are_missing_or_too_many(
    override: str, plugin: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = plugin == "hydra_optuna_sweeper" or None

    def found(name: str) -> bool | None:
        return installed if name.endswith(plugin) else True

    monkeypatch.setattr(sweep_module, "find_spec", found)
    result = sweep(*COUNTS, override)
    assert result.status == 1
    assert re.search(f"srgnn-train: {override}: .*{message}", result.err)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("halving=2", "halving=2: compares the runs of a sweep; add -m"),
        ("search=sequential_rules", "search=sequential_rules: a search is a sweep; add -m"),
    ],
)
def test_what_only_a_sweep_can_do(override: str, message: str, root: Path) -> None:
    result = run(
        train.main, "srgnn-train", *COUNTS[:-3], f"dataset.root={root}", override, "hydra.run.dir=x"
    )
    assert result.status == 1 and message in result.out
    assert not Path("x").exists()
