"""A directory has one process at a time, and a killed one holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyg_srgnn.training.lock import DirectoryTaken, sole_process

HOLD = """
import sys, time
from pathlib import Path
from pyg_srgnn.training.lock import sole_process
with sole_process(Path(sys.argv[1]), waits=False):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def held(folder: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(folder), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_second_one_is_told_the_firsts_process_id(tmp_path: Path) -> None:
    first = held(tmp_path, 600)
    try:
        with (
            pytest.raises(DirectoryTaken, match=rf"{tmp_path}: process {first.pid} is at work"),
            sole_process(tmp_path, waits=False),
        ):
            pass
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    with sole_process(tmp_path, waits=False):  # a killed one holds nothing
        assert (tmp_path / ".pid").read_text() == f"{os.getpid()}\n"
    assert not (tmp_path / ".pid").exists()


def test_it_can_be_waited_for(tmp_path: Path) -> None:
    first = held(tmp_path, 1.0)
    started = time.monotonic()
    with sole_process(tmp_path, waits=True):
        assert first.wait() == 0 and time.monotonic() > started


def test_a_process_does_not_wait_for_itself(tmp_path: Path) -> None:
    with (
        sole_process(tmp_path, waits=False),
        pytest.raises(DirectoryTaken),
        sole_process(tmp_path, waits=True),
    ):
        pass
