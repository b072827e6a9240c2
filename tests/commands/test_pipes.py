"""``srgnn-… | head``: the end of the pipe is the end of the command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from pyg_srgnn.commands.ending import ending_with_pipe
from tests.test_imports import SCRIPTS

pytestmark = pytest.mark.slow


def into_nothing(*command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the writing end of a pipe that nobody reads for its output."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, *command], stdout=writing, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writing)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_that_nobody_reads(script: str) -> None:
    done = into_nothing("-m", f"pyg_srgnn.commands.{script}", "--help")
    assert done.stderr == "" and done.returncode in (0, 1)  # argparse itself ignores the error


@pytest.mark.parametrize("lines", [1, 100_000])  # written in the end, or before
def test_lines_that_nobody_reads(lines: int) -> None:
    code = "from pyg_srgnn.commands.ending import ending_with_pipe\n"
    code += f"with ending_with_pipe():\n  for _ in range({lines}): print('item')\n"
    done = into_nothing("-c", code)
    assert (done.returncode, done.stderr) == (1, "")


def test_another_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    """A connection that breaks is an error of its own."""
    here, there = socket.socketpair()
    there.close()
    with here, capfd.disabled(), pytest.raises(BrokenPipeError), ending_with_pipe():
        here.send(b"x")
