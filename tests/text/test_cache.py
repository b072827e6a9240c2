"""Vectors are made once, and a cache survives what happens to it."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from pyg_srgnn.text import cache as cache_module
from pyg_srgnn.text.cache import cached_vectors
from tests.text.fake import Fake, fake_vectors

TEXTS = ["red shoe", "blue hat", "grün", "\ud83d"]


def test_a_second_run_encodes_only_what_is_new(tmp_path):
    first, second = Fake(), Fake()
    made = cached_vectors(first, TEXTS[:2], tmp_path / "new" / "folder")
    assert made.dtype == np.float32 and first.asked == TEXTS[:2]
    again = cached_vectors(second, TEXTS[::-1], tmp_path / "new" / "folder")
    assert second.asked == TEXTS[:1:-1]
    np.testing.assert_array_equal(again, fake_vectors(TEXTS[::-1]))


@pytest.mark.parametrize("other", [Fake("2"), Fake(width=3)])
def test_another_version_or_setting_is_another_encoder(tmp_path, other):
    cached_vectors(Fake(), TEXTS, tmp_path)
    cached_vectors(other, TEXTS, tmp_path)
    assert other.asked == TEXTS
    assert len(list(tmp_path.glob("fake-*.sqlite"))) == 2


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(cached_vectors(Fake(), TEXTS, None), fake_vectors(TEXTS))
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_AT_ONCE", 2)
    texts = [f"text {number}" for number in range(7)]

    class Stopped(Fake):
        def encode(self, texts):
            if len(self.asked) == 4:
                raise KeyboardInterrupt
            return super().encode(texts)

    with pytest.raises(KeyboardInterrupt):
        cached_vectors(Stopped(), texts, tmp_path)
    second = Fake()
    np.testing.assert_array_equal(cached_vectors(second, texts, tmp_path), fake_vectors(texts))
    assert second.asked == texts[4:]


def test_many_keys_are_looked_up_in_several_queries(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_KEYS", 3)
    texts = [f"text {number}" for number in range(7)]
    cached_vectors(Fake(), texts, tmp_path)
    second = Fake()
    np.testing.assert_array_equal(cached_vectors(second, texts, tmp_path), fake_vectors(texts))
    assert not second.asked


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def other_file(file: Path) -> None:
    file.write_bytes(b"no database at all" * 1000)


def other_lengths(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("UPDATE vectors SET vector = x'00' WHERE rowid = 1")
    database.close()


def odd_vectors(value: str):
    def change(file: Path) -> None:
        with sqlite3.connect(file) as database:
            database.execute(f"UPDATE vectors SET vector = {value}")
        database.close()

    return change


@pytest.mark.parametrize(
    "damage",
    [
        *(cut, other_file, other_lengths),
        *map(odd_vectors, ["x''", "x'0102030405'", "x'0000c07f'", "'text'", "7"]),
    ],
)
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    cached_vectors(Fake(), TEXTS, tmp_path)
    (file,) = tmp_path.glob("*.sqlite")
    damage(file)
    second = Fake()
    with pytest.warns(UserWarning, match=r"fake-\w+\.sqlite is damaged \(.+\); it is made again"):
        made = cached_vectors(second, TEXTS, tmp_path)
    assert second.asked == TEXTS
    np.testing.assert_array_equal(made, fake_vectors(TEXTS))
    cached_vectors(third := Fake(), TEXTS, tmp_path)
    assert not third.asked


def test_a_cache_that_cannot_be_opened(tmp_path):
    cached_vectors(Fake(), TEXTS, tmp_path)
    (file,) = tmp_path.glob("*.sqlite")
    file.unlink()
    file.mkdir()
    with pytest.raises(OSError, match=r"fake-\w+\.sqlite: unable to open"):
        cached_vectors(Fake(), TEXTS, tmp_path)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (np.ones((3, 2)), r"encoder fake: expected vectors \[4, F\] of 4 texts \(got \[3, 2\]\)"),
        (np.ones(4), r"got \[4\]"),
        (np.ones((4, 0)), r"got \[4, 0\]"),
        (np.array([[0.0], [1.0], [np.nan], [np.inf]]), "the vector of 'grün' is not finite"),
    ],
)
def test_what_an_encoder_gives_is_checked(tmp_path, monkeypatch, wrong, told):
    monkeypatch.setattr(Fake, "encode", lambda self, texts: wrong)
    with pytest.raises(ValueError, match=told):
        cached_vectors(Fake(), TEXTS, tmp_path)
    monkeypatch.undo()
    np.testing.assert_array_equal(cached_vectors(Fake(), TEXTS, tmp_path), fake_vectors(TEXTS))


def test_vectors_of_one_encoder_have_one_length(tmp_path, monkeypatch):
    cached_vectors(Fake(), TEXTS[:1], tmp_path)
    monkeypatch.setattr(Fake, "encode", lambda self, texts: np.ones((len(texts), 2)))
    with pytest.raises(ValueError, match="encoder fake: vectors of 2 and 3 dimensions"):
        cached_vectors(Fake(), TEXTS, tmp_path)


def encode(folder: Path, texts: list[str], queue: multiprocessing.Queue) -> None:
    encoder = Fake()
    made = cached_vectors(encoder, texts, folder)
    queue.put((len(encoder.asked), bool((made == fake_vectors(texts)).all())))


@pytest.mark.slow
def test_several_processes_encode_each_text_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    texts, queue = [f"text {number}" for number in range(3000)], context.Queue()
    processes = [context.Process(target=encode, args=(tmp_path, texts, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    counts, right = zip(*(queue.get(timeout=60) for _ in processes), strict=True)
    for process in processes:
        process.join()
    assert sum(counts) == len(texts) and all(right)
