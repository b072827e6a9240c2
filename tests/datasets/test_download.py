from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyg_srgnn.datasets import download
from pyg_srgnn.datasets.download import DownloadError, Source, fetch
from pyg_srgnn.utils import progress
from pyg_srgnn.utils.files import sha256_of

from .file_server import FileServer

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "clicks file.txt"  # the space must be quoted in a URL


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(download, "BACKOFF", 0.001)
    monkeypatch.setattr(download, "TIMEOUT", 2.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def served(tmp_path) -> Path:
    """A mirror that holds the right file."""
    path = tmp_path / "mirror" / "set" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return tmp_path / "mirror"


@pytest.fixture
def wrong(tmp_path) -> Path:
    """A mirror that holds another file under the same name."""
    path = tmp_path / "wrong" / "set" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[::-1])
    return tmp_path / "wrong"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where the file shall be."""
    path = tmp_path / "raw"
    path.mkdir()
    return path


def source(*servers: FileServer) -> Source:
    return Source(
        NAME, SHA256, tuple(f"{server.url}/set/{NAME.replace(' ', '%20')}" for server in servers)
    )


def holds_only_the_file(folder: Path) -> bool:
    files = {path.name for path in folder.iterdir()} - {".download.lock"}
    return files == {NAME} and (folder / NAME).read_bytes() == CONTENT


def test_from_a_folder(served, folder):
    path = fetch(source(), folder, served, "set")
    assert path == folder / NAME
    assert holds_only_the_file(folder)
    assert (served / "set" / NAME).read_bytes() == CONTENT  # copied, not moved


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("silent", [True, False])
def test_from_a_server(served, folder, ranges, silent):
    with FileServer(served, ranges=ranges, silent=silent) as server:
        fetch(source(server), folder)
        assert holds_only_the_file(folder)
        assert server.requests == [("/set/clicks%20file.txt", None)]


def test_a_mirror_by_url_comes_first(served, folder):
    with FileServer(served) as mirror, FileServer(served) as origin:
        fetch(source(origin), folder, mirror.url + "/", "set")
        assert len(mirror.requests) == 1 and not origin.requests
    assert holds_only_the_file(folder)


def test_sources_are_tried_in_order(served, wrong, tmp_path, folder):
    with (
        FileServer(tmp_path / "nothing") as dead,
        FileServer(wrong) as other,
        FileServer(served) as right,
        FileServer(served) as spare,
    ):
        fetch(source(dead, other, right, spare), folder, tmp_path / "no", "set")
        assert [len(s.requests) for s in (dead, other, right, spare)] == [1, 1, 1, 0]
    assert holds_only_the_file(folder)


def test_a_right_file_is_left_alone(served, folder):
    with FileServer(served) as server:
        fetch(source(server), served / "set")
        assert not server.requests
    assert not (served / "set" / ".download.lock").exists()  # so a read-only folder will do


def test_a_wrong_file_is_moved_aside_and_reported(served, folder):
    (folder / NAME).write_bytes(b"not this")
    with pytest.warns(UserWarning, match=rf"expected {SHA256}; it was moved to .*\.wrong"):
        fetch(source(), folder, served, "set")
    assert (folder / NAME).read_bytes() == CONTENT
    assert (folder / f"{NAME}.wrong").read_bytes() == b"not this"


@pytest.mark.parametrize("ranges", [True, False])
def test_resume(served, folder, ranges):
    (folder / f"{NAME}.part").write_bytes(CONTENT[:200_000])
    with FileServer(served, ranges=ranges) as server:
        fetch(source(server), folder)
        assert server.requests[0][1] == "bytes=200000-"
        assert server.sent == (100_000 if ranges else 300_000)
    assert holds_only_the_file(folder)


def test_a_whole_part_needs_no_source(tmp_path, folder):
    (folder / f"{NAME}.part").write_bytes(CONTENT)
    with FileServer(tmp_path / "nothing") as server:
        fetch(source(server), folder)
        assert not server.requests
    assert holds_only_the_file(folder)


@pytest.mark.parametrize("size", [200_000, 300_000, 400_000])
def test_a_foreign_part_is_discarded(served, folder, size):
    (folder / f"{NAME}.part").write_bytes(b"x" * size)
    with FileServer(served) as server:
        fetch(source(server), folder)
        assert [asked for _, asked in server.requests] == [f"bytes={size}-", None]
    assert (folder / NAME).read_bytes() == CONTENT


def test_a_wrong_source_is_not_asked_forever(wrong, folder):
    (folder / f"{NAME}.part").write_bytes(CONTENT[:1000])
    with FileServer(wrong) as server:
        with pytest.raises(DownloadError, match="wrong content: sha256"):
            fetch(source(server), folder)
        assert len(server.requests) == 2  # going on, and once from zero
    assert not (folder / NAME).exists() and not (folder / f"{NAME}.part").exists()


def test_another_range_than_asked_for(served, folder, monkeypatch):
    """A server that answers 206 with the start of the file must not spoil what is there."""
    (folder / f"{NAME}.part").write_bytes(CONTENT[:1000])
    with FileServer(served) as server:
        answer, server._answer = server._answer, None

        def from_zero(handler):
            if "Range" in handler.headers:
                handler.headers.replace_header("Range", "bytes=0-")
            answer(handler)

        server._answer = from_zero
        fetch(source(server), folder)
        assert len(server.requests) == 2
    assert (folder / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("silent", [True, False])
def test_connections_that_break(served, folder, ranges, silent):
    """More breaks than attempts: each brought something new, so none counts against the next."""
    drops = (70_000,) * 4 if ranges else (70_000, 140_000, 210_000, 280_000)
    with FileServer(served, ranges=ranges, drops=drops, silent=silent) as server:
        if silent:  # without a length a break looks like the end, so only the checksum tells
            with pytest.raises(DownloadError, match="wrong content"):
                fetch(source(server), folder)
            return
        fetch(source(server), folder)
        assert len(server.requests) == 5
        assert server.sent == (300_000 if ranges else sum(drops) + 300_000)
    assert holds_only_the_file(folder)


def test_a_server_that_always_breaks_is_given_up(served, folder):
    with FileServer(served, ranges=False, drops=(10_000,) * 99) as server:
        with pytest.raises(DownloadError, match=r"10,000 of 300,000 bytes \(3 attempts\)"):
            fetch(source(server), folder)
        assert len(server.requests) == 3
    assert not (folder / NAME).exists()


def test_a_redirect_to_another_protocol_is_refused(served, folder, monkeypatch):
    with FileServer(served) as server:
        opened = download.urllib.request.urlopen

        def redirected(request, timeout):
            response = opened(request, timeout=timeout)
            response.url = "ftp://127.0.0.1/file"
            return response

        monkeypatch.setattr(download.urllib.request, "urlopen", redirected)
        with pytest.raises(DownloadError, match=r"not an http\(s\) address: ftp"):
            fetch(source(server), folder)


@pytest.mark.parametrize("code", [500, 503, 429, 408])
def test_errors_that_pass(served, folder, code):
    with FileServer(served, errors=(code, code)) as server:
        fetch(source(server), folder)
        assert len(server.requests) == 3
    assert holds_only_the_file(folder)


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_errors_that_stay(served, folder, code):
    with FileServer(served, errors=(code,)) as server:
        with pytest.raises(DownloadError, match=f"HTTP {code}"):
            fetch(source(server), folder)
        assert len(server.requests) == 1


def test_a_server_that_says_nothing(served, folder, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    # A byte, and then none for a second.
    with FileServer(served, rate=1) as server, pytest.raises(DownloadError, match="timed out"):
        fetch(source(server), folder)


def test_the_error_says_what_was_tried_and_what_to_do(wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with FileServer(tmp_path / "nothing") as dead, FileServer(wrong) as other:
        gone = FileServer(wrong)
        with gone:
            pass  # its port is closed
        with pytest.raises(DownloadError) as error:
            fetch(source(dead, other, gone), "data/raw", wrong, "set")
    text = str(error.value)
    assert isinstance(error.value, OSError)
    lines = text.splitlines()
    found = hashlib.sha256(CONTENT[::-1]).hexdigest()
    assert lines[1:5] == [
        f"  - {wrong / 'set' / NAME}: wrong content: sha256 {found}",
        f"  - {dead.url}/set/clicks%20file.txt: HTTP 404 Not Found",
        f"  - {other.url}/set/clicks%20file.txt: wrong content: sha256 {found}",
        lines[4],
    ]
    assert "refused (3 attempts)" in lines[4]
    assert str(tmp_path / "data" / "raw" / NAME) in lines[5] and SHA256 in lines[5]


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1:1/x", "nonsense"])
def test_other_addresses_than_http_are_refused(folder, url):
    with pytest.raises(DownloadError, match=r"not an http\(s\) address"):
        fetch(Source(NAME, SHA256, (url,)), folder)


def test_a_mirror_of_another_kind_is_refused(folder):
    with pytest.raises(ValueError, match="folder or an http"):
        fetch(source(), folder, "s3://bucket/data", "set")


def test_a_file_without_a_known_checksum(served, folder):
    unknown = Source(NAME)
    with pytest.raises(DownloadError, match=r"no source is known\n.*no checksum is known"):
        fetch(unknown, folder)
    (folder / f"{NAME}.part").write_bytes(b"of who knows what")
    assert fetch(unknown, folder, served, "set").read_bytes() == CONTENT
    (folder / NAME).write_bytes(b"by hand")
    assert fetch(unknown, folder, served, "set").read_bytes() == b"by hand"


def test_without_a_checksum_no_two_places_make_one_file(served, wrong, folder):
    address = f"/set/{NAME.replace(' ', '%20')}"
    with FileServer(wrong, drops=(100_000,) * 9) as breaks, FileServer(served) as right:
        unknown = Source(NAME, urls=(breaks.url + address, right.url + address))
        with pytest.warns(UserWarning, match="is used unchecked"):
            fetch(unknown, folder)
        assert {asked for _, asked in breaks.requests + right.requests} == {None}
    assert holds_only_the_file(folder)


def test_without_a_checksum_a_file_that_changes_is_fetched_whole(served, wrong, folder):
    with FileServer(wrong, drops=(100_000,)) as server:
        answer, server._answer = server._answer, None

        def then_changed(handler):
            answer(handler)
            server.folder = served

        server._answer = then_changed
        address = f"{server.url}/set/{NAME.replace(' ', '%20')}"
        with pytest.warns(UserWarning, match="is used unchecked"):
            fetch(Source(NAME, urls=(address,)), folder)
        assert len(server.requests) == 2
    assert holds_only_the_file(folder)


def test_a_full_disk_is_not_blamed_on_the_sources(served, folder, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_put_in_place", full)
    with pytest.raises(OSError, match="No space left") as error:
        fetch(source(), folder, served, "set")
    assert not isinstance(error.value, DownloadError)


def test_what_takes_long_is_shown(served, folder, monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_EVERY", 0.2)
    with FileServer(served, rate=600_000) as server, caplog.at_level("INFO"):
        fetch(source(server), folder)
    assert re.search(rf"{NAME}: \d/\d MB, 0:0\d left", caplog.text)


def test_what_is_quick_is_not(served, folder, capsys, caplog):
    with FileServer(served) as server, caplog.at_level("INFO"):
        fetch(source(server), folder)
    assert capsys.readouterr() == ("", "") and not caplog.records


def test_processes_at_once_download_once(served, folder):
    program = f"""if True:
        from download import Source, fetch
        import sys
        fetch(Source({NAME!r}, {SHA256!r}, (sys.argv[1],)), sys.argv[2])
    """
    with FileServer(served, rate=600_000) as server:
        running = [
            subprocess.Popen(
                [sys.executable, "-c", program, source(server).urls[0], folder],
                # download.py stands alone, and without torch starts in a moment
                env={**os.environ, "PYTHONPATH": str(Path(download.__file__).parent)},
            )
            for _ in range(4)
        ]
        assert [process.wait(30) for process in running] == [0] * 4
        assert len(server.requests) == 1
    assert holds_only_the_file(folder)


def test_waiting_for_another_process_is_said(served, folder, monkeypatch, caplog):
    lock = download.FileLock(folder / ".download.lock")
    acquire, waits = download.FileLock.acquire, []

    def impatient(self, timeout=None, **kwargs):
        waits.append(timeout)
        if timeout is None:
            lock.release()  # the other process is done
        return acquire(self, timeout=0.01 if timeout else None, **kwargs)

    lock.acquire()
    monkeypatch.setattr(download.FileLock, "acquire", impatient)
    fetch(source(), folder, served, "set")
    assert waits == [3, None] and "waiting for another process" in caplog.text


def test_sha256_of(served):
    assert sha256_of(served / "set" / NAME) == SHA256
