"""srgnn-prepare: what it prints, the files it leaves, and the published counts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pyg_srgnn.commands import prepare
from pyg_srgnn.datasets import Diginetica, Synthetic, open_dataset
from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.two_file import Counts
from tests.commands import run
from tests.tiny import TINY, tiny_config

ARGUMENTS = [key for key in TINY if key.startswith("dataset.")]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def parts(root):
    """The splits of the tiny dataset."""
    settings = tiny_config(root).dataset
    return {name: open_dataset(settings, name) for name in ("trainval", "valid", "test")}


@pytest.fixture(scope="module")
def prepared(root, parts):
    """What it prints, and the folder of the prepared files."""
    result = run(prepare.main, "srgnn-prepare", *ARGUMENTS, f"dataset.root={root}")
    assert result.status == 0, result.out + result.err
    return result.out, Path(parts["trainval"].processed_dir)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing may be left in the current directory but what is asked for."""
    monkeypatch.chdir(tmp_path)


def cells(text: str, row: str) -> list[str]:
    """The cells of the row of a printed table that begins so and goes on with a number."""
    found = [line.split() for line in text.splitlines() if line.split()[:1] == [row]]
    (numbers,) = [words[1:] for words in found if words[1:] and words[1][0].isdigit()]
    return numbers


@pytest.mark.slow
def test_it_prints_the_counts(prepared, parts):
    out, folder = prepared
    assert out.startswith("synthetic\n")
    for name, split in (("training", "trainval"), ("test", "test")):
        sessions = parts[split].sessions
        seen = len(set(sessions.items.tolist()))
        counts = [len(sessions), sessions.num_clicks, sessions.num_samples, seen]
        assert cells(out, name)[:4] == [f"{count:,}" for count in counts]
    valid = parts["valid"]
    assert f"the last {len(valid.sessions)} of the training sessions, {len(valid)} samples" in out
    assert f"Report: {folder / 'report.html'}\nPrepared files: {folder}\n" in out
    assert "ublished" not in out, "it was not asked for"


def test_the_report_lies_beside_the_prepared_files(prepared, parts, tmp_path):
    _, folder = prepared
    report = json.loads((folder / "report.json").read_text())
    assert report["dataset"] == "synthetic" and report["items"] == 40
    assert report["parts"]["test"]["samples"] == len(parts["test"])
    assert "synthetic: preparation report" in (folder / "report.html").read_text()
    assert not list(tmp_path.iterdir())


def test_it_can_be_run_again(prepared, root):
    """The report that lies there is read as part of the prepared files, and replaced."""
    out, folder = prepared
    before = (folder / "report.json").read_text()
    result = run(prepare.main, "srgnn-prepare", *ARGUMENTS, f"dataset.root={root}")
    assert result.status == 0 and result.out == out
    assert (folder / "report.json").read_text() == before


def test_a_folder_for_the_report(root, tmp_path):
    arguments = [*ARGUMENTS, f"dataset.root={root}", "report=some/where"]
    result = run(prepare.main, "srgnn-prepare", *arguments)
    assert result.status == 0 and "Report: some/where/report.html" in result.out
    assert {file.name for file in (tmp_path / "some" / "where").iterdir()} == {
        "report.json",
        "report.html",
    }


def test_a_folder_that_cannot_be(root, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = [*ARGUMENTS, f"dataset.root={root}", "report=file/folder"]
    result = run(prepare.main, "srgnn-prepare", *arguments)
    printed = result.out + result.err
    assert result.status == 1 and "Traceback" not in printed
    assert "report=file/folder: the report cannot be written there" in printed


def test_a_part_of_the_training_sessions_that_cannot_be_split_off(root):
    """The data are prepared and reported all the same."""
    arguments = [*ARGUMENTS, f"dataset.root={root}", "dataset.valid=1000d"]
    result = run(prepare.main, "srgnn-prepare", *arguments)
    assert result.status == 1 and "valid='1000d'" in result.out + result.err
    assert "Report: " in result.out


def test_a_dataset_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setattr(Diginetica, "sources", (Source("all_train_seq.txt"), Source("test.txt")))
    result = run(prepare.main, "srgnn-prepare", "dataset=diginetica", f"dataset.root={tmp_path}")
    assert result.status == 1 and "Traceback" not in result.err
    printed = result.out + result.err
    assert "all_train_seq.txt" in printed and str(tmp_path / "diginetica" / "raw") in printed


@pytest.mark.slow
def test_a_click_log(tmp_path):
    """What was read and dropped is printed too, also when the prepared files are there already."""
    rows = [
        f"{session},{item},{1_400_000_000 + 100 * session + item}"
        for session in range(40)
        for item in range(3)
    ]
    (tmp_path / "<b>.csv").write_text(
        "session_id,item_id,timestamp\n" + "\n".join([*rows, rows[0]])
    )
    arguments = ["dataset=click_log", "dataset.path='<b>.csv'", f"dataset.root={tmp_path}"]
    for _ in range(2):
        result = run(prepare.main, "srgnn-prepare", *arguments)
        assert result.status == 0, result.out + result.err
        lines = {" ".join(line.split()) for line in result.out.splitlines()}
        assert {"rows read 121", "bad rows 0", "duplicates 1", "items in the catalogue 3"} <= lines
        assert any(line.startswith("seconds read ") for line in lines)
        (path,) = re.findall(r"Report: (.*)", result.out)
        assert "<b>" not in Path(path).read_text() and "&lt;b&gt;.csv" in Path(path).read_text()


# verify=true


def verified(root, monkeypatch, counts):
    monkeypatch.setattr(Synthetic, "counts", counts, raising=False)
    arguments = [*ARGUMENTS, f"dataset.root={root}", "verify=true", "report=here"]
    result = run(prepare.main, "srgnn-prepare", *arguments)
    return result, json.loads(Path("here", "report.json").read_text())


def test_counts_as_published(root, parts, monkeypatch):
    sessions, samples = len(parts["trainval"].sessions), len(parts["test"])
    counts = Counts(sessions=sessions, items=40, test_samples=samples)
    result, report = verified(root, monkeypatch, counts)
    assert result.status == 0, result.out + result.err
    rows = {" ".join(line.split()) for line in result.out.splitlines()}
    assert f"training sessions {sessions} {sessions} ok" in rows
    assert "items 40 40 ok" in rows and f"test samples {samples} {samples} ok" in rows
    assert report["published"]["items"] == [40, 40]


def test_a_count_that_differs(root, parts, monkeypatch):
    clicks = parts["trainval"].sessions.num_clicks
    counts = Counts(clicks=clicks + 1, test_sessions=60)
    result, report = verified(root, monkeypatch, counts)
    assert result.status == 1 and "Traceback" not in result.err
    rows = {" ".join(line.split()) for line in result.out.splitlines()}
    assert f"training clicks {clicks + 1:,} {clicks:,} differs" in rows
    assert "test sessions 60 60 ok" in rows
    assert result.out.endswith("not as published: training clicks\n")
    assert report["published"]["training clicks"] == [clicks + 1, clicks]


def test_no_count_is_known(root, monkeypatch):
    result, report = verified(root, monkeypatch, None)
    assert result.status == 0
    assert "No published counts are known for dataset=synthetic." in result.out
    assert "published" not in report


@pytest.mark.slow
def test_a_benchmark(benchmark_data, tmp_path):
    places = [f"dataset.root={tmp_path}", f"dataset.mirror={benchmark_data}"]
    result = run(prepare.main, "srgnn-prepare", "dataset=yoochoose1_64", *places, "verify=true")
    assert result.status == 0, result.out + result.err
    rows = {" ".join(line.split()) for line in result.out.splitlines()}
    assert "training sessions 116,167 116,167 ok" in rows
    assert "test samples 55,898 55,898 ok" in rows
