from __future__ import annotations

import hashlib
import json
import os

import pytest

from pyg_srgnn.datasets import checksums
from pyg_srgnn.datasets.checksums import remembered_sha256


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "clicks.csv", b"one")


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "memory" / "checksums.json"


@pytest.fixture
def hashed(monkeypatch):
    names = []

    def sha256_of(path):
        names.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(checksums, "sha256_of", sha256_of)
    return names


def write(path, content, age=60):
    path.write_bytes(content)
    before = path.stat().st_mtime - age
    os.utime(path, (before, before))
    return path


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_hashed_once(file, memory, hashed):
    assert remembered_sha256(file, memory) == remembered_sha256(file, memory) == sha256(b"one")
    assert hashed == ["clicks.csv"]


def test_files_do_not_forget_one_another(file, memory, hashed):
    other = write(file.with_name("other.csv"), b"two")
    for _ in range(2):
        assert remembered_sha256(file, memory) == sha256(b"one")
        assert remembered_sha256(other, memory) == sha256(b"two")
    assert hashed == ["clicks.csv", "other.csv"]


@pytest.mark.parametrize(("content", "age"), [(b"longer", 60), (b"two", 30)])
def test_another_size_or_time_of_change_is_another_file(file, memory, hashed, content, age):
    remembered_sha256(file, memory)
    write(file, content, age)
    assert remembered_sha256(file, memory) == sha256(content)


def test_a_file_that_has_just_changed_is_not_remembered(file, memory, hashed):
    for content in (b"abc", b"def", b"ghi"):  # maybe within one tick of the file system's clock
        write(file, content, age=0)
        assert remembered_sha256(file, memory) == sha256(content)
    assert not memory.exists()


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"a": 1}', b"\xff", b"null"])
def test_a_damaged_memory_is_made_again(file, memory, hashed, damage):
    memory.parent.mkdir()
    memory.write_bytes(damage)
    assert remembered_sha256(file, memory) == sha256(b"one")
    assert json.loads(memory.read_text())[str(file)][2] == sha256(b"one")


def test_where_nothing_can_be_written_nothing_is_remembered(file, tmp_path, hashed):
    (tmp_path / "a file").write_bytes(b"")
    memory = tmp_path / "a file" / "checksums.json"
    assert remembered_sha256(file, memory) == remembered_sha256(file, memory) == sha256(b"one")
    assert len(hashed) == 2
