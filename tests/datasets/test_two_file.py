from __future__ import annotations

import pickle
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.two_file import Counts, TwoFileBenchmark
from pyg_srgnn.datasets.unpickling import UnsafePickleError, load_lists

from .file_server import FileServer

TRAINING = [[1, 2], [3, 4, 5], [5, 5, 9]]
TEST = [[2, 3, 2, 2], [9, 1], [4, 4, 6]]


def rows(sessions: list[list[int]]) -> tuple[list[list[int]], list[int]]:
    """Prefixes and targets as the authors' script writes them, a session's longest first."""
    pairs = [(s[:cut], s[cut]) for s in sessions for cut in range(len(s) - 1, 0, -1)]
    return [prefix for prefix, _ in pairs], [target for _, target in pairs]


pytestmark = pytest.mark.filterwarnings("ignore:.* is used unchecked")


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


def mirror(raw: Path) -> Path:
    """The folder to be taken for a mirror."""
    aside = raw.parents[1] / "mirror"
    if not aside.exists():
        shutil.copytree(raw, aside / "tiny")
    return aside


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


@pytest.mark.parametrize(("name", "count"), asdict(Counts(3, 8, 5, 9, 3, 6)).items())
def test_each_count_is_held_against_the_known_one_by_itself(
    raw, tmp_path, monkeypatch, name, count
):
    monkeypatch.setattr(Tiny, "counts", Counts(**{name: count}))
    assert len(Tiny(tmp_path / "right", "test", mirror=mirror(raw))) == 6
    monkeypatch.setattr(Tiny, "counts", Counts(**{name: count + 1}))
    message = rf"hold {{'{name}': {count}}}, expected {{'{name}': {count + 1}}}"
    with pytest.raises(ValueError, match=message):
        Tiny(tmp_path / "wrong", mirror=mirror(raw))


def test_what_is_not_known_is_not_held_against_anything(raw, tmp_path, monkeypatch):
    assert Counts().known() == {}
    monkeypatch.setattr(Tiny, "counts", Counts())
    write(raw, training=[*TRAINING, [1, 2]])
    assert len(Tiny(tmp_path, "trainval").sessions) == 4


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


# What the published benchmarks' own tests share


def clicked(sessions: Sessions) -> int:
    """How many items have a click."""
    return len(sessions.items.unique())


def check_test_rows(dataset: TwoFileBenchmark) -> None:
    """Hold the rows that the test sessions give against those of the file."""
    sessions = [dataset.vocabulary.decode(s) for s in dataset.sessions.to_lists()]
    assert rows(sessions) == load_lists(dataset.raw_paths[1])
