"""kill -9 in download and in processing, ten times each; the next start completes."""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path

import pytest

from tests.datasets.file_server import FileServer

from .harness import finish_command, kill_command, moments

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
TIMES = 10
CONTENT = random.Random(1).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
LOCAL = {"NO_PROXY": "127.0.0.1"}


def fetching(server: FileServer, folder: Path) -> list[str | Path]:
    return [sys.executable, HERE / "fetch_file.py", "file", SHA256, f"{server.url}/file", folder]


def test_download_in_the_middle(tmp_path):
    """Each start goes on where the killed one was; nothing has the file's name until the end."""
    served, folder = tmp_path / "served", tmp_path / "raw"
    served.mkdir()
    (served / "file").write_bytes(CONTENT)
    part, sizes = folder / "file.part", [0]

    def check() -> None:
        assert not (folder / "file").exists()
        sizes.append(part.stat().st_size if part.exists() else 0)
        assert part.exists() is False or CONTENT.startswith(part.read_bytes())

    with FileServer(served, rate=200_000) as server:  # 5 s in all, the kills take 1.3 of them
        killed = kill_command(
            fetching(server, folder), moments(TIMES, 0.3, seed=2), check, "starting", LOCAL
        )
        assert killed == TIMES
        assert sizes == sorted(sizes) and sizes[-1] > 0
        server.rate = None
        finish_command(fetching(server, folder), LOCAL)
        assert server.requests[-1][1] == f"bytes={sizes[-1]}-"
    assert (folder / "file").read_bytes() == CONTENT and not part.exists()


def test_download_at_its_end(tmp_path):
    """A fast server, so that checking and renaming are killed as well."""
    served, folder = tmp_path / "served", tmp_path / "raw"
    served.mkdir()
    (served / "file").write_bytes(CONTENT)
    whole = 0

    def check() -> None:
        nonlocal whole
        if (folder / "file").exists():
            assert (folder / "file").read_bytes() == CONTENT
            (folder / "file").unlink()
            whole += 1

    killed = starts = 0
    with FileServer(served) as server:
        while killed < TIMES and starts < 20 * TIMES:  # some are through before the kill
            delays = moments(TIMES - killed, 0.03, seed=3 + starts)
            killed += kill_command(fetching(server, folder), delays, check, "starting", LOCAL)
            starts += len(delays)
        assert killed == TIMES
        finish_command(fetching(server, folder), LOCAL)
    assert (folder / "file").read_bytes() == CONTENT
    print(f"killed {killed} of {starts} starts, {whole} of them with the file whole")


def test_processing(tmp_path):
    output = finish_command(
        [sys.executable, "-m", "tests.kill.process_files", tmp_path, str(TIMES), "4"],
        {"OMP_NUM_THREADS": "1"},
        HERE.parents[1],
    )
    print(output)
    assert output.count(f": killed {TIMES} of") == 2
