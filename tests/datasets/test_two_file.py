from __future__ import annotations

import hashlib
import pickle
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.datasets import Diginetica, Yoochoose, download
from pyg_srgnn.datasets.download import DownloadError, Source
from pyg_srgnn.datasets.two_file import Counts, TwoFileBenchmark
from pyg_srgnn.datasets.unpickling import UnsafePickleError, load_lists

from .file_server import FileServer

TRAINING = [[1, 2], [3, 4, 5], [5, 5, 9]]
TEST = [[2, 3, 2, 2], [9, 1], [4, 4, 6]]


def rows(sessions: list[list[int]]) -> tuple[list[list[int]], list[int]]:
    """Prefixes and targets as the authors' script writes them, a session's longest first."""
    pairs = [(s[:cut], s[cut]) for s in sessions for cut in range(len(s) - 1, 0, -1)]
    return [prefix for prefix, _ in pairs], [target for _, target in pairs]


class Tiny(TwoFileBenchmark):
    name = "tiny"
    sources = (Source("all_train_seq.txt"), Source("test.txt"))
    catalogue = 9
    counts = Counts(sessions=3, clicks=8, test_sessions=3, test_samples=6)


@pytest.fixture
def raw(tmp_path) -> Path:
    folder = tmp_path / "tiny" / "raw"
    folder.mkdir(parents=True)
    write(folder, TRAINING, rows(TEST))
    return folder


def write(folder: Path, training: object = None, test: object = None) -> None:
    if training is not None:
        (folder / "all_train_seq.txt").write_bytes(pickle.dumps(training))
    if test is not None:
        (folder / "test.txt").write_bytes(pickle.dumps(test))


def test_sessions_and_vocabulary(raw, tmp_path):
    training = Tiny(tmp_path, "trainval")
    assert training.sessions.to_lists() == [[0, 1], [2, 3, 4], [4, 4, 8]]
    assert training.vocabulary == Vocabulary(range(1, 10)) and training.num_items == 9
    assert [training.vocabulary.decode(s) for s in training.sessions.to_lists()] == TRAINING
    test = Tiny(tmp_path, "test")
    assert [test.vocabulary.decode(s) for s in test.sessions.to_lists()] == TEST
    assert len(test) == 6 and test.sessions.items.dtype == torch.int64


def test_a_test_sample_is_a_test_row(raw, tmp_path):
    dataset = Tiny(tmp_path, "test")
    found = []
    for data in dataset:
        found.append(((data.x[data.alias_index] + 1).tolist(), int(data.y) + 1))
    assert sorted(found) == sorted(zip(*rows(TEST), strict=True))


@given(sessions=st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=9), min_size=1))
@settings(max_examples=50, deadline=None)
def test_any_sessions_survive_the_form(tmp_path_factory, sessions):
    folder = tmp_path_factory.mktemp("form")
    write(folder, sessions, rows(sessions))

    class Anything(Tiny):
        counts = None
        raw_paths = (folder / "all_train_seq.txt", folder / "test.txt")

    dataset = Anything.__new__(Anything)
    training, test, _ = dataset.read()
    assert training == test == Sessions.from_lists([[i - 1 for i in s] for s in sessions])


PREFIXES, TARGETS = rows(TEST)
WRONG_TEST = {
    "no pair": (PREFIXES, r"found a list of 6, expected a pair"),
    "a triple": ((PREFIXES, TARGETS, []), r"found a tuple of 3, expected a pair"),
    "not lists": ((1, 2), r"found a pair of 1 and 2, expected two lists"),
    "lengths": ((PREFIXES, TARGETS[:-1]), r"found 6 prefixes and 5 targets"),
    "flat": (([1, 2], [3, 4]), r"row 1 is 1 with target 3, expected a list of item ids"),
    "empty prefix": (([[1], []], [2, 3]), r"row 2 is \[\] with target 3, expected a list"),
    "list target": (([[1]], [[2]]), r"row 1 is \[1\] with target \[2\], expected a list"),
    "prefix": (
        ([[2, 3, 2], [2, 2], [2]], [2, 2, 3]),
        r"row 2 is \[2, 2\] with target 2, expected \[2, 3\] with target 2",
    ),
    "target": (
        ([[2, 3, 2], [2, 3], [2]], [2, 3, 3]),
        r"row 2 is \[2, 3\] with target 3, expected \[2, 3\] with target 2",
    ),
    "shortest first": (
        ([[1], [1, 2]], [2, 3]),
        r"the last row is \[1, 2\], expected the first click alone",
    ),
    "missing row": (
        ([[1, 2, 3], [1]], [4, 2]),
        r"row 2 is \[1\] with target 2, expected \[1, 2\] with target 3",
    ),
    "cut off": ((PREFIXES[:-1], TARGETS[:-1]), r"the last row is \[4, 4\], expected"),
    "shuffled": ((PREFIXES[::-1], TARGETS[::-1]), r"row \d is "),
    "no rows": (([], []), r"found \[\], expected a list of sessions"),
    "id 0": (([[0]], [1]), r"session 1 holds item 0, expected ids 1 to 9"),
    "a long row": (
        ([[*range(1, 10), 1], [1]], [2, 3]),
        r"row 2 is \[1\] with target 3, expected a list of 9 with target 1",
    ),
}


@pytest.mark.parametrize("case", WRONG_TEST)
def test_errors_of_the_test_file_name_file_and_row(raw, tmp_path, case):
    value, message = WRONG_TEST[case]
    write(raw, test=value)
    with pytest.raises(ValueError, match=r"raw/test\.txt: " + message):
        Tiny(tmp_path)
    assert not list(tmp_path.glob("tiny/processed/*/*"))


WRONG_TRAINING = {
    "no list": (5, r"found 5, expected a list of sessions"),
    "empty": ([], r"found \[\], expected a list of sessions"),
    "flat": ([1, 2], r"session 1 is 1, expected a list of at least 2 item ids"),
    "short": ([[1, 2], [3]], r"session 2 is \[3\], expected a list of at least 2 item ids"),
    "no click": ([[1, 2], []], r"session 2 is \[\], expected a list of at least 2"),
    "deep": ([[1, 2], [3, [4]]], r"session 2 is a list of 2, expected a list of at least 2"),
    "id 0": ([[1, 2], [3, 0]], r"session 2 holds item 0, expected ids 1 to 9"),
    "negative": ([[1, -2]], r"session 1 holds item -2, expected ids 1 to 9"),
    "beyond": ([[1, 2], [10, 3]], r"session 2 holds item 10, expected ids 1 to 9"),
    "far beyond": ([[1, 2**62]], r"session 1 holds item \d+, expected ids 1 to 9"),
}


@pytest.mark.parametrize("case", WRONG_TRAINING)
def test_errors_of_the_training_file_name_file_and_session(raw, tmp_path, case):
    value, message = WRONG_TRAINING[case]
    write(raw, training=value)
    with pytest.raises(ValueError, match=r"raw/all_train_seq\.txt: " + message):
        Tiny(tmp_path)


def test_counts_are_held_against_the_known_ones(raw, tmp_path):
    write(raw, training=[*TRAINING, [1, 2]])
    with pytest.raises(ValueError, match=r"Tiny: .*'sessions': 4, 'clicks': 10.*expected .*: 3,"):
        Tiny(tmp_path)


def test_a_payload_is_refused(raw, tmp_path):
    write(raw, test=print)
    with pytest.raises(UnsafePickleError, match=r"test\.txt"):
        Tiny(tmp_path)


def test_from_a_server(raw, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    shutil.copytree(raw, tmp_path / "served" / "tiny")
    with FileServer(tmp_path / "served") as server:
        there = Tiny(tmp_path / "there", "test", mirror=server.url)
    assert there.sessions == Tiny(tmp_path, "test").sessions


# The published benchmarks


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("root")


def clicked(sessions: Sessions) -> int:
    return len(sessions.items.unique())


def test_diginetica_has_the_published_counts(benchmark_data, root):
    whole = Diginetica(root, "trainval", mirror=benchmark_data)
    assert (len(whole.sessions), whole.sessions.num_clicks, len(whole)) == (
        186_670,
        906_140,
        719_470,
    )
    assert whole.num_items == clicked(whole.sessions) == 43_097
    test = Diginetica(root, "test")
    assert (len(test.sessions), len(test)) == (15_963, 60_858)
    train, valid = Diginetica(root, "train"), Diginetica(root, "valid")
    assert len(valid.sessions) == 18_667 and len(train) + len(valid) == 719_470
    assert train.sessions.to_lists() + valid.sessions.to_lists() == whole.sessions.to_lists()


def test_yoochoose_has_the_published_counts(benchmark_data, root):
    whole = Yoochoose(root, "trainval", mirror=benchmark_data)
    assert (len(whole.sessions), whole.sessions.num_clicks, len(whole)) == (
        116_167,
        486_026,
        369_859,
    )
    assert whole.num_items == 37_483 and clicked(whole.sessions) == 17_376
    test = Yoochoose(root, "test")
    assert (len(test.sessions), len(test)) == (15_324, 55_898)
    new = set(test.sessions.items.tolist()) - set(whole.sessions.items.tolist())
    assert len(new) == 369


@pytest.mark.parametrize("kind", [Diginetica, Yoochoose])
def test_the_test_sessions_give_the_published_rows(benchmark_data, root, kind):
    dataset = kind(root, "test", mirror=benchmark_data)
    sessions = [dataset.vocabulary.decode(s) for s in dataset.sessions.to_lists()]
    assert rows(sessions) == load_lists(dataset.raw_paths[1])


# Yoochoose's fractions


@pytest.mark.parametrize("fraction", [1, 0, 16, "64", None])
def test_other_fractions_are_refused(tmp_path, fraction):
    with pytest.raises(ValueError, match=r"'fraction' must be 64 or 4 \(got "):
        Yoochoose(tmp_path, fraction=fraction)
    assert not list(tmp_path.iterdir())


def test_the_quarter_says_how_to_get_it(tmp_path):
    with pytest.raises(DownloadError) as error:
        Yoochoose(tmp_path, fraction=4)
    text = str(error.value)
    assert "1/4 has no public source" in text and "fraction=64" in text
    assert str(tmp_path / "yoochoose1_4" / "raw" / "all_train_seq.txt") in text


@pytest.mark.filterwarnings("ignore:.* is used unchecked")  # the other file's
def test_the_quarter_by_hand(tmp_path):
    folder = tmp_path / "yoochoose1_4" / "raw"
    folder.mkdir(parents=True)
    write(folder, [[1, 37_483], [2, 3, 4]], rows(TEST))
    checksum = hashlib.sha256((folder / "all_train_seq.txt").read_bytes()).hexdigest()
    with pytest.warns(UserWarning, match=f"unchecked.*its sha256 is {checksum}"):
        dataset = Yoochoose(tmp_path, "trainval", fraction=4)
    assert dataset.sessions.to_lists() == [[0, 37_482], [1, 2, 3]]
    assert dataset.num_items == 37_483
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Yoochoose(tmp_path, "test", fraction=4)) == 6
    write(folder, [[7, 8]])  # other files: the cache must not answer for them
    with pytest.warns(UserWarning, match="unchecked"):
        assert Yoochoose(tmp_path, "trainval", fraction=4).sessions.to_lists() == [[6, 7]]


def test_a_failure_of_the_64th_is_reported_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_download", lambda url, part: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Yoochoose(tmp_path)

    def dead(url, part):
        raise download._SourceError("HTTP 404 Not Found")

    monkeypatch.setattr(download, "_download", dead)
    with pytest.raises(DownloadError) as error:
        Yoochoose(tmp_path)
    assert "1/4" not in str(error.value) and "33af7c6292c6" in str(error.value)
