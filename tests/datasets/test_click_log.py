from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.commands import prepare as command
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.datasets import ClickLog, base, click_log, open_dataset
from tests.commands import run
from tests.full_disk import limit, tmpfs

START = 1_396_867_800


def log(path: Path, sessions: int = 30, item: str = "{}", offset: int = 0) -> Path:
    lines = ["session,item,time"]
    for session in range(sessions):
        for click in range(3):
            raw = item.format((session + click) % 5 + offset)
            lines.append(f"{session},{raw},{START + session * 60 + click}")
    path.write_text("\n".join(lines))
    return path


def opened(root: Path, path: Any, **options: Any) -> ClickLog:
    return ClickLog(root, path=path, **{"min_support": 1} | options)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each preparation."""
    calls: list[int] = []
    prepare = click_log.prepare

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return prepare(*arguments, **options)

    monkeypatch.setattr(click_log, "prepare", counted)
    return calls


def caches(root: Path) -> set[str]:
    """What lies in the folder of caches, without the locks."""
    return {path.name for path in (root / "click_log" / "processed").iterdir()} - {
        path.name for path in (root / "click_log" / "processed").glob("*.lock")
    }


def test_splits_and_report(tmp_path: Path) -> None:
    path = log(tmp_path / "a.csv")
    parts = {
        split: opened(tmp_path, path, split=split)
        for split in ("train", "valid", "trainval", "test")
    }
    sizes = {split: len(part.sessions) for split, part in parts.items()}
    assert sizes == {"train": 24, "valid": 3, "trainval": 27, "test": 3}
    assert parts["train"].report["rows"] == 90
    assert parts["train"].vocabulary.ids == [0, 1, 2, 3, 4]
    assert parts["train"][0].num_nodes


def test_errors_name_the_dataset(tmp_path: Path) -> None:
    settings = {"name": "click_log", "root": str(tmp_path), "path": str(log(tmp_path / "a.csv"))}
    with pytest.raises(ValueError) as told:
        open_dataset(settings | {"item": "x"}, "train")
    assert str(told.value) == (
        f"dataset=click_log: {tmp_path / 'a.csv'}: there is no column 'x' (dataset.item); "
        "its columns are 'session', 'item', 'time'"
    )
    for bad in ({"gap": "soon"}, {"test": 2.0}, {"engine": "excel"}, {"min_length": 1}):
        with pytest.raises(ValueError, match=rf"^dataset=click_log: 'dataset.{next(iter(bad))}' "):
            open_dataset(settings | bad, "train")


# The cache


def test_the_same_is_prepared_once(tmp_path: Path, made: list[int]) -> None:
    path = log(tmp_path / "a.csv")
    first = opened(tmp_path, path)
    for again in (path, str(path), [path], tmp_path / "*.csv", shutil.copy(path, tmp_path / "b")):
        assert opened(tmp_path, again).sessions.to_lists() == first.sessions.to_lists()
    assert len(made) == 1
    path.touch()
    os.utime(path, (1, 1))
    opened(tmp_path, path, split="test", valid=0.3)
    assert len(made) == 1 and caches(tmp_path) == {Path(first.processed_dir).name}


def test_the_engine_is_no_part_of_the_key(tmp_path: Path) -> None:
    path = log(tmp_path / "a.csv")
    polars = opened(tmp_path, path)
    # Spark is not even started: what Polars has made is there.
    assert opened(tmp_path, path, engine="spark").processed_dir == polars.processed_dir


RULES: dict[str, Any] = {
    "min_support": 2,
    "min_length": 3,
    "max_length": 100,
    "test": 0.2,
    "recent": 2,
    "order": "file",
    "time_format": "s",
    "where": {"session": [str(n) for n in range(20)]},
    "dedupe": True,
    "collapse": True,
    "until_stable": True,
    "strict": True,
    "on_bad_rows": "skip",
}


@pytest.mark.slow
def test_another_rule_makes_another_cache(tmp_path: Path, made: list[int]) -> None:
    path = log(tmp_path / "a.csv")
    folders = {opened(tmp_path, path).processed_dir}
    for rule, value in RULES.items():
        folders.add(opened(tmp_path, path, **{rule: value}).processed_dir)
        assert len(folders) == len(made)
    assert len(made) == 1 + len(RULES)


def test_other_content_makes_another_cache(tmp_path: Path, made: list[int]) -> None:
    path, more = log(tmp_path / "a.csv"), log(tmp_path / "b.csv", offset=7)
    Vocabulary(range(3)).save(tmp_path / "vocabulary.json")
    opened(tmp_path, path)
    opened(tmp_path, [path, more])
    opened(tmp_path, [more, path])
    opened(tmp_path, path, vocabulary=tmp_path)
    assert len(made) == 4
    Vocabulary(range(4)).save(tmp_path / "vocabulary.json")
    opened(tmp_path, path, vocabulary=tmp_path / "vocabulary.json")
    text = path.read_text()
    path.write_text(text.replace("29,1,", "29,9,"))  # of the same size
    assert opened(tmp_path, path, test=0.1, split="trainval").num_items == 5
    assert len(made) == 6


def test_a_log_that_grows_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[int]
) -> None:
    path = log(tmp_path / "a.csv")
    prepare, text = click_log.prepare, path.read_text()

    def appended(*arguments: Any) -> Any:
        prepared = prepare(*arguments)
        log(path, sessions=60)
        return prepared

    with monkeypatch.context() as patch:
        patch.setattr(click_log, "prepare", appended)
        with pytest.raises(ValueError) as told:
            opened(tmp_path, path)
    sizes = f"({len(text):,} bytes then, {path.stat().st_size:,} now)"
    assert str(told.value) == (
        f"{path} {sizes}: changed while it was being read, so nothing was kept; try again "
        "once nothing is writing to it, or use a copy"
    )
    assert caches(tmp_path) == set()
    assert len(opened(tmp_path, path, split="trainval").sessions) == 54
    assert len(made) == 2


def test_leftovers_of_a_killed_preparation_go(tmp_path: Path) -> None:
    path = log(tmp_path / "a.csv")
    folder = Path(opened(tmp_path, path).processed_dir)
    expected = opened(tmp_path, path).sessions.to_lists()
    shutil.rmtree(folder)
    for name in (f"{folder.name}.clicks/clicks-abc/1", f"{folder.name}.part"):
        (folder.parent / name).mkdir(parents=True)
        (folder.parent / name / "000000.parquet").write_text("half")
    assert opened(tmp_path, path).sessions.to_lists() == expected
    assert caches(tmp_path) == {folder.name}


@pytest.mark.slow
def test_of_two_processes_one_prepares(tmp_path: Path) -> None:
    path = log(tmp_path / "a.csv")
    code = (
        "import sys, time\n"
        "from pyg_srgnn.datasets import click_log\n"
        "prepare = click_log.prepare\n"
        "def slow(*arguments):\n"
        "    print('prepared')\n"
        "    time.sleep(1)\n"
        "    return prepare(*arguments)\n"
        "click_log.prepare = slow\n"
        "data = click_log.ClickLog(sys.argv[1], path=sys.argv[2], min_support=1)\n"
        "print(len(data))\n"
    )
    run = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path), str(path)]
    both = [subprocess.Popen(run, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].split() for process in both)
    assert said == [["48"], ["prepared", "48"]]


# Known items


def test_known_items_keep_their_index(tmp_path: Path) -> None:
    path = log(tmp_path / "a.csv", offset=10)  # items 10 … 14
    Vocabulary([12, 99, 10]).save(tmp_path / "run" / "vocabulary.json")
    data = opened(tmp_path, path, vocabulary=tmp_path / "run", split="trainval")
    assert data.vocabulary.ids == [12, 99, 10, 11, 13, 14]
    assert data.sessions[0].tolist() == [2, 3, 0]


def test_known_items_without_clicks_are_not_cold(tmp_path: Path) -> None:
    """A warm start knows them: a model whose softmax left them out would forget what it learned."""
    path = log(tmp_path / "a.csv")
    Vocabulary([*range(5), 99]).save(tmp_path / "vocabulary.json")
    data = opened(tmp_path, path, vocabulary=tmp_path)
    assert data.num_items == 6 and int(data.sessions.items.max()) == 4
    assert not data.has_cold_items
    assert opened(tmp_path, path, vocabulary=tmp_path, cold="keep").has_cold_items


def test_known_items_are_never_too_rare(tmp_path: Path) -> None:
    path = log(tmp_path / "a.csv")
    rare = f"\n7,500,{START + 7 * 60 + 1}\n7,501,{START + 7 * 60 + 1}"
    path.write_text(path.read_text() + rare)
    Vocabulary([500]).save(tmp_path / "vocabulary.json")
    options = {"min_support": 3, "split": "trainval"}
    data = opened(tmp_path, path, vocabulary=tmp_path, **options)
    assert data.vocabulary.ids[0] == 500 and 501 not in data.vocabulary
    assert (data.sessions.items == 0).sum() == 1
    assert 500 not in opened(tmp_path, path, **options).vocabulary


def test_numbers_are_text_where_the_known_items_are(tmp_path: Path) -> None:
    path = log(tmp_path / "a.csv")
    Vocabulary(["red", "3"]).save(tmp_path / "vocabulary.json")
    data = opened(tmp_path, path, vocabulary=tmp_path)
    assert data.vocabulary.ids == ["red", "3", "0", "1", "2", "4"]


@pytest.mark.parametrize("far", [False, True])
def test_text_where_the_known_items_are_numbers(tmp_path: Path, far: bool) -> None:
    path = log(tmp_path / "a.csv", sessions=400 if far else 30)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, f"7,red,{START}"] if far else [lines[0], f"7,red,{START}"]))
    Vocabulary([3]).save(tmp_path / "vocabulary.json")
    with pytest.raises(ValueError) as told:
        opened(tmp_path, path, vocabulary=tmp_path)
    assert str(told.value) == (
        f"dataset.vocabulary holds whole numbers; column 'item' of {path} holds text"
    )


def test_a_vocabulary_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as told:
        opened(tmp_path, log(tmp_path / "a.csv"), vocabulary=tmp_path / "run")
    said = f"dataset.vocabulary={tmp_path / 'run'}: there is no file {tmp_path / 'run'}"
    assert str(told.value) == said


# Where it cannot be written


@pytest.mark.parametrize("full", [tmpfs, lambda _, size: limit(size)], ids=["tmpfs", "limit"])
@pytest.mark.parametrize("kind", ["good rows", "bad rows"])
def test_a_full_disk(tmp_path: Path, full: Any, kind: str) -> None:
    path, root = log(tmp_path / "a.csv", sessions=6_000), tmp_path / "root"
    if kind == "bad rows":  # which are copied before
        path.write_text(path.read_text() + "\n1,2,3,4")
    root.mkdir()
    with full(root, 100_000):
        with pytest.raises(OSError, match=r"\[Errno (28|27)\] ") as told:
            opened(root, path, on_bad_rows="skip")
        assert told.value.errno in (errno.ENOSPC, errno.EFBIG)
        assert str(root / "click_log" / "processed") in str(told.value)
        assert caches(root) == set()


def test_a_full_disk_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = log(tmp_path / "a.csv")

    def full(tensors: Any, file: Path) -> None:
        file.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(base, "save_file", full)
        with pytest.raises(OSError, match="No space left on device") as told:
            opened(tmp_path, path)
    assert told.value.errno == errno.ENOSPC and str(tmp_path) in str(told.value)
    assert caches(tmp_path) == set()
    assert len(opened(tmp_path, path)) == 48


def test_a_full_disk_is_told_in_one_message(tmp_path: Path) -> None:
    path, root = log(tmp_path / "a.csv", sessions=6_000), tmp_path / "root"
    arguments = ["dataset=click_log", f"dataset.path={path}", f"dataset.root={root}"]
    with limit(100_000):
        result = run(command.main, "srgnn-prepare", *arguments, f"hydra.run.dir={tmp_path / 'run'}")
    assert result.status == 1
    said = result.out + result.err
    assert "srgnn-prepare: [Errno 27] File too large: " in said and "Traceback" not in said


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A folder that everybody may read and nobody but its owner, who is away, may write."""
    folder = Path(tempfile.mkdtemp())
    log(folder / "a.csv")
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written(forbidden: Path) -> None:
    with pytest.raises(PermissionError) as told:
        opened(forbidden / "root", forbidden / "a.csv")
    assert str(told.value) == f"[Errno 13] Permission denied: '{forbidden / 'root'}'"
    assert [file.name for file in forbidden.iterdir()] == ["a.csv"]


def test_a_log_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = log(tmp_path / "a.csv")

    def refuse(file: Path, *_: Any) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.setattr(click_log, "remembered_sha256", refuse)
    arguments = ["dataset=click_log", f"dataset.path={path}", f"dataset.root={tmp_path}"]
    result = run(command.main, "srgnn-prepare", *arguments, f"hydra.run.dir={tmp_path / 'run'}")
    said = result.out + result.err
    assert result.status == 1 and "Traceback" not in said
    assert f"srgnn-prepare: [Errno 13] Permission denied: '{path}'" in said


def test_the_report_is_json(tmp_path: Path) -> None:
    where = {"session": ["1", "2", "3", "4"]}
    data = opened(tmp_path, log(tmp_path / "a.csv"), where=where, test=0.3, split="test")
    stored = json.loads((Path(data.processed_dir) / "report.json").read_text())
    assert stored == data.report and stored["preparation"]["where"] == where


def test_the_rules_of_what_was_prepared_before(tmp_path: Path) -> None:
    rules = Preparation(min_support=1, collapse=True, dedupe=True, where={"item": [1, 2, 3]})
    report = tmp_path / "sessions" / "report.json"
    prepare(log(tmp_path / "log.csv"), rules).save(report.parent)
    for _ in range(2):  # prepared, and from the cache
        assert opened_again(tmp_path).preparation == rules
    older = json.loads(report.read_text())
    older["preparation"].pop("time_zone")  # a rule that there was not yet
    report.write_text(json.dumps(older))
    assert opened_again(tmp_path).preparation == rules
    older["preparation"]["smooth"] = 3
    report.write_text(json.dumps(older))
    with pytest.raises(ValueError, match=r"report\.json: its sessions were made with smooth, whic"):
        opened_again(tmp_path)
    report.write_text("[]")
    with pytest.raises(ValueError, match=r"report\.json is no report of a preparation"):
        opened_again(tmp_path)


def opened_again(folder: Path) -> ClickLog:
    return ClickLog(folder, path=folder / "sessions")


def test_a_log_that_is_not_named() -> None:
    with pytest.raises(ValueError, match=r"dataset=click_log: 'dataset.path' must be set"):
        open_dataset({"name": "click_log", "min_support": 1}, "test")
