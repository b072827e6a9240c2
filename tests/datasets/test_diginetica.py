from __future__ import annotations

import hashlib
import shutil
import warnings
from dataclasses import replace

import pytest

from pyg_srgnn.datasets import Diginetica, DigineticaRaw, open_dataset
from pyg_srgnn.datasets.download import DownloadError
from tests.reference.preparation import authors

from .file_server import FileServer
from .test_two_file import check_test_rows, clicked

FILE = "train-item-views.csv"
SAMPLE = "sample/sample_train-item-views.csv"
unchecked = pytest.mark.filterwarnings("ignore:.* is used unchecked")


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "diginetica_raw" / "raw"
    folder.mkdir(parents=True)
    return folder


def ids(dataset):
    """The sessions as the authors number their items, from 1."""
    return [[item + 1 for item in session] for session in dataset.sessions.to_lists()]


# The two-file form


@pytest.mark.slow
def test_the_published_counts(benchmark_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    whole = Diginetica(root, "trainval", mirror=benchmark_data)
    counts = len(whole.sessions), whole.sessions.num_clicks, len(whole)
    assert counts == (186_670, 906_140, 719_470)
    assert whole.num_items == clicked(whole.sessions) == 43_097
    test = Diginetica(root, "test")
    assert (len(test.sessions), len(test)) == (15_963, 60_858)
    train, valid = Diginetica(root, "train"), Diginetica(root, "valid")
    assert len(valid.sessions) == 18_667 and len(train) + len(valid) == 719_470
    assert train.sessions.to_lists() + valid.sessions.to_lists() == whole.sessions.to_lists()
    check_test_rows(test)


# Raw


@unchecked
def test_the_sample_gives_the_authors_sessions(benchmark_data, raw, tmp_path):
    shutil.copy(benchmark_data / SAMPLE, raw / FILE)
    whole, test = DigineticaRaw(tmp_path, "trainval"), DigineticaRaw(tmp_path, "test")
    counts = len(whole.sessions), whole.sessions.num_clicks, len(whole), whole.num_items
    assert counts == (469, 1_674, 1_205, 309)
    assert len(test) == 99
    assert ids(whole)[:5] == [[1, 2, 3], [4, 5], [6, 7], [8, 9, 9], [10, 11, 11, 11]]

    expected = authors(raw / FILE, "diginetica")
    assert expected.split == (469, 47)  # as their script prints them, unknown items among them
    assert ids(whole) == expected.training and ids(test) == expected.test
    assert whole.sessions.times.tolist() == expected.training_times
    assert test.sessions.times.tolist() == expected.test_times
    assert whole.vocabulary.ids == [int(item) for item in expected.items]


@unchecked
def test_both_headers_are_understood(benchmark_data, raw, tmp_path):
    text = (benchmark_data / SAMPLE).read_text()
    header, rows = text.split("\n", 1)
    assert header == "session_id;user_id;item_id;timeframe;eventdate"
    found = []
    for name in (header, "sessionId;userId;itemId;timeframe;eventdate"):
        (raw / FILE).write_text(f"{name}\n{rows}")
        found.append(DigineticaRaw(tmp_path, "trainval").sessions)
    assert found[0] == found[1] and len(found[0]) == 469


def test_the_files_content_is_part_of_the_cache(benchmark_data, raw, tmp_path):
    text = (benchmark_data / SAMPLE).read_bytes()
    (raw / FILE).write_bytes(text)
    checksum = hashlib.sha256(text).hexdigest()
    with pytest.warns(UserWarning, match=f"{FILE} is used unchecked.*its sha256 is {checksum}"):
        first = DigineticaRaw(tmp_path, "trainval")
    folder = first.processed_dir
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = DigineticaRaw(tmp_path, "test")
    assert again.processed_dir == folder

    rows = text.splitlines(keepends=True)
    (raw / FILE).write_bytes(b"".join(rows[:6_000]))
    with pytest.warns(UserWarning, match="is used unchecked"):
        other = DigineticaRaw(tmp_path, "trainval")
    assert other.processed_dir != folder
    assert len(other.sessions) < len(first.sessions)


@unchecked
def test_from_a_mirror_by_its_registered_name(benchmark_data, tmp_path):
    mirror = tmp_path / "mirror" / "diginetica_raw"
    mirror.mkdir(parents=True)
    shutil.copy(benchmark_data / SAMPLE, mirror / FILE)
    settings = {"name": "diginetica_raw", "root": tmp_path / "root", "mirror": mirror.parent}
    assert len(open_dataset(settings, "test")) == 99


def test_a_web_page_is_not_taken_for_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "page").write_text("<html>Sign in</html>")
    (source,) = DigineticaRaw.sources
    with FileServer(tmp_path, content_type="text/html; charset=utf-8") as server:
        there = replace(source, urls=(f"{server.url}/page",))
        monkeypatch.setattr(DigineticaRaw, "sources", (there,))
        with pytest.raises(DownloadError) as error:
            DigineticaRaw(tmp_path)
    text = str(error.value)
    assert "a web page came in the file's place" in text
    assert str(tmp_path / "diginetica_raw" / "raw" / FILE) in text
    assert "no checksum is known" in text and "It comes from the CIKM Cup 2016" in text


def test_the_known_places():
    (source,) = DigineticaRaw.sources
    assert source.urls[0].startswith("https://sr-gnn.bj.bcebos.com/")
    assert "0B7XZSACQf0KdenRmMk8yVUU5LWc" in source.urls[1]
    assert DigineticaRaw.counts.test_sessions == Diginetica.counts.test_sessions == 15_963
