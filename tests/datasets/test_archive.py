from __future__ import annotations

import builtins
import contextlib
import os
import random
import subprocess
import sys

import pytest

from pyg_srgnn.datasets import archive as module
from pyg_srgnn.datasets.archive import unpack
from pyg_srgnn.datasets.download import DownloadError
from pyg_srgnn.utils import progress

py7zr = pytest.importorskip("py7zr", reason="py7zr, the extra 7z, is not installed")

NAME = "clicks.dat"
CONTENT = b"".join(b"%d,2014-04-07T10:51:09.277Z,%d,0\n" % (i, i * i) for i in range(20_000))


def make(path, members=None):
    with py7zr.SevenZipFile(path, "w") as archive:
        for name, content in (members or {NAME: CONTENT}).items():
            archive.writestr(content, name)
    return path


@pytest.fixture
def place(tmp_path):
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw" / NAME


def listing(folder):
    return {name for name in os.listdir(folder) if not name.startswith(".")}


def test_the_member_comes_out_alone(tmp_path, place):
    members = {"buys.dat": b"1" * 5_000, NAME: CONTENT, "README.txt": b"read me"}
    assert unpack(make(tmp_path / "a.7z", members), place) == place
    assert place.read_bytes() == CONTENT
    assert listing(place.parent) == {NAME}


def test_its_folder_in_the_archive_does_not_matter(tmp_path, place):
    unpack(make(tmp_path / "a.7z", {f"some/folder/{NAME}": CONTENT}), place)
    assert place.read_bytes() == CONTENT and listing(place.parent) == {NAME}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../{NAME}", "../../evil.dat", "{tmp}/evil.dat", "{tmp}/{NAME}"])
def test_no_name_in_the_archive_leads_out_of_the_folder(tmp_path, place, monkeypatch, name):
    monkeypatch.setattr("py7zr.py7zr.check_archive_path", lambda name: True)  # it writes any name
    monkeypatch.chdir(place.parent)
    name = name.format(NAME=NAME, tmp=tmp_path)
    make(tmp_path / "a.7z", {name: b"evil", "some": b"thing"})
    with contextlib.suppress(DownloadError):
        unpack(tmp_path / "a.7z", place)
    assert listing(place.parent) <= {NAME}
    if not name.endswith(NAME):
        make(tmp_path / "a.7z", {name: b"evil", NAME: CONTENT})
        assert unpack(tmp_path / "a.7z", place).read_bytes() == CONTENT
    assert listing(tmp_path) == {"a.7z", "raw"} and not (tmp_path.parent / "evil.dat").exists()


def test_a_file_that_is_there_is_left_alone(tmp_path, place):
    place.write_bytes(b"by hand")
    assert unpack(tmp_path / "missing.7z", place).read_bytes() == b"by hand"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a": b"1", "b": b"2"}, r"a\.7z holds a, b, expected one file clicks\.dat"),
        ({f"x/{NAME}": b"1", f"y/{NAME}": b"2"}, r"holds x/clicks\.dat, y/clicks\.dat, expected"),
    ],
)
def test_a_member_that_is_missing_or_there_twice(tmp_path, place, members, message):
    with pytest.raises(DownloadError, match=message):
        unpack(make(tmp_path / "a.7z", members), place)
    assert listing(place.parent) == set()


def test_a_damaged_archive_is_told_and_leaves_nothing(tmp_path, place):
    good = make(tmp_path / "good.7z").read_bytes()
    bad = tmp_path / "a.7z"
    generator = random.Random(0)
    damaged = [b"", b"not an archive", good[:100], good[:-1], good[: len(good) // 2]]
    for _ in range(20):
        wrong = bytearray(good)
        wrong[generator.randrange(32, len(good) - 200)] ^= 0xFF  # somewhere in the packed bytes
        damaged.append(bytes(wrong))
    for content in damaged:
        bad.write_bytes(content)
        with pytest.raises(DownloadError, match=r"a\.7z is damaged \(.*\)\. Delete it, and"):
            unpack(bad, place)
        assert listing(place.parent) == set()


def test_without_py7zr_it_says_what_to_do(tmp_path, place, monkeypatch):
    find = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("py7zr"):
            raise ModuleNotFoundError("No module named 'py7zr'")
        return find(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(DownloadError) as error:
        unpack(tmp_path / "a.7z", place)
    text = str(error.value)
    assert "[7z]'" in text and f"put {NAME} into {place.parent}" in text


def test_a_full_disk_is_not_blamed_on_the_archive(tmp_path, place, monkeypatch):
    def full(self, chunk):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module._PartFile, "write", full)
    with pytest.raises(OSError, match="No space left") as error:
        unpack(make(tmp_path / "a.7z"), place)
    assert not isinstance(error.value, DownloadError) and listing(place.parent) == set()


@pytest.mark.slow
def test_a_killed_process_leaves_a_part_file_that_the_next_one_writes_anew(tmp_path, place):
    make(tmp_path / "a.7z")
    program = (
        "import os, sys; from pathlib import Path; from pyg_srgnn.datasets import archive\n"
        "write = archive._PartFile.write\n"
        "def once(self, chunk):\n"
        "    write(self, chunk[:1000]); self.flush(); os._exit(9)\n"
        "archive._PartFile.write = once\n"
        "archive.unpack(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    run = [sys.executable, "-c", program, str(tmp_path / "a.7z"), str(place)]
    assert subprocess.run(run).returncode == 9
    assert listing(place.parent) == {f"{NAME}.part"}
    assert unpack(tmp_path / "a.7z", place).read_bytes() == CONTENT
    assert listing(place.parent) == {NAME}


def test_what_takes_long_is_shown(tmp_path, place, monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_EVERY", 0)
    with caplog.at_level("INFO"):
        unpack(make(tmp_path / "a.7z", {NAME: bytes(2_000_000)}), place)
    assert f"unpacking {NAME}: 2/2 MB" in caplog.text
