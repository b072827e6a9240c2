"""Runs are found by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn.runs.find import find_run, link_latest
from tests.results import run_result


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(run: str, when: int, finished: bool = True, **changes: Any) -> Path:
    """A run's files, made a number of seconds after the epoch."""
    folder = Path(run)
    for name in ("best", "last"):
        checkpoint = folder / "checkpoints" / f"{name}.ckpt"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.touch()
        os.utime(checkpoint, (when, when))
    if finished:
        run_result(**changes).write(folder)
        os.utime(folder / "metrics.json", (when, when))
    return folder


@pytest.fixture
def newest() -> Path:
    """The newest finished run with a model, among others that do not count."""
    write("runs/toy/2", 20)
    write("runs/other/9", 10)
    found = write("runs/toy/1", 30)
    write("runs/toy/3", 40, finished=False)
    write("runs/toy/4", 50, checkpoint=None)
    write("runs/toy/5", 60, checkpoint="checkpoints/gone.ckpt")
    write("runs/toy/.8.part", 65)
    (write("runs/toy/6", 70) / "metrics.json").write_text("{")
    Path("runs/sweeps/grid").mkdir(parents=True)
    Path("runs/sweeps/grid/multirun.yaml").touch()
    write("runs/sweeps/grid/seed-0", 80)
    return found


@pytest.mark.parametrize("name", ["latest", "./latest", "runs/latest", "runs/toy/latest"])
def test_latest_is_the_newest_finished_run(newest: Path, name: str) -> None:
    assert find_run(name) == newest


def test_a_folder_is_its_newest_finished_run(newest: Path) -> None:
    assert find_run("runs") == find_run("runs/toy/") == newest
    assert find_run("runs/other") == Path("runs/other/9")
    assert find_run(Path("runs/toy").resolve()) == newest.resolve()


def test_an_unfinished_run_is_found_to_be_resumed(newest: Path) -> None:
    link_latest(newest, "toy")
    os.utime("runs/toy/3/checkpoints/last.ckpt", (99, 99))
    for name in ("latest", "runs/toy", "runs/toy/latest"):
        assert find_run(name, unfinished=True) == Path("runs/toy/3")


@pytest.mark.parametrize(
    "path",
    ["runs/toy/3", "runs/toy/6", "runs/sweeps/grid/seed-0", "runs/toy/2/checkpoints/last.ckpt"],
)
def test_a_path_stands_for_itself(newest: Path, path: str) -> None:
    assert find_run(path) == Path(path)


def test_an_export_stands_for_itself_and_so_does_a_folder_of_that_name(newest: Path) -> None:
    for export in ("exports/toy", "latest"):
        write(f"{export}/inside", 90)
        Path(export, "manifest.json").touch()
        assert find_run(export) == Path(export)
    Path("exports/current").symlink_to("toy")
    assert find_run("exports/current") == Path("exports/current"), "its target may change"


def test_the_link_is_taken_where_it_points(newest: Path) -> None:
    link_latest(Path("runs/toy/2"), "toy")
    link = Path("runs/toy/latest")
    assert os.readlink(link) == "2" and find_run(link) == Path("runs/toy/2")
    link_latest(newest, "toy")
    assert os.readlink(link) == "1" and find_run(link) == newest
    assert find_run("runs/toy") == newest, "the link is no run of its own"
    link_latest(link, "toy")
    assert os.readlink(link) == "1"
    link.unlink()
    link.symlink_to("gone")
    assert find_run(link) == newest
    assert not [name for name in os.listdir("runs/toy") if name.startswith(".latest")]


def test_nothing_is_linked_elsewhere_or_over_what_is_there(
    newest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link_latest(newest, "other")
    assert not Path("runs/toy/latest").exists()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "symlink_to", lambda *_, **__: (_ for _ in ()).throw(OSError(1)))
        link_latest(newest, "toy")
    assert not os.path.lexists("runs/toy/latest") and find_run("runs/toy/latest") == newest
    Path("runs/toy/latest").mkdir()
    link_latest(newest, "toy")
    assert not Path("runs/toy/latest").is_symlink()


def test_a_sweep_is_no_run() -> None:
    sweep = Path("runs/sweeps/grid")
    write(f"{sweep}/seed-0", 10)
    (sweep / "study.db").touch()
    with pytest.raises(ValueError, match=f"^warm_start={sweep}: it is a sweep; .*srgnn-leaderb"):
        find_run(sweep, "warm_start")
    (sweep / "leaderboard.csv").write_text(
        "rank,status,run\n1,finished,seed-1\n1,failed,seed-2\n2,finished,seed-0\n"
    )
    with pytest.raises(ValueError) as error:
        find_run(sweep)
    assert str(error.value).splitlines()[1:] == [f"  {sweep}/seed-1", f"  {sweep}/seed-0"]
    with pytest.raises(FileNotFoundError, match=r"^checkpoint=latest: .*\n  \S+grid \(a sweep\)$"):
        find_run("latest")


def test_what_is_not_there_is_told_with_what_is(newest: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        find_run("runs/tyo")
    assert str(error.value).splitlines() == [
        "checkpoint=runs/tyo: there is no such run directory or file; there are",
        *(f"  {run}" for run in ("runs/toy/1", "runs/toy/2", "runs/other/9")),
    ]
    for run in (newest, Path("runs/toy/2")):
        (run / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError) as error:
        find_run("runs/toy/latest")
    first, *listed = str(error.value).splitlines()
    assert first.startswith("checkpoint=runs/toy/latest: there is no finished run with a model bel")
    assert listed[:3] == [f"  runs/toy/{n} (not finished)" for n in (1, 2, 3)]
    assert listed[3] == "  runs/toy/4 (no model)" and listed[-1] == "  … and 1 more"
    with pytest.raises(FileNotFoundError, match=r"there is no run to resume below none$"):
        find_run("none/latest", unfinished=True)
