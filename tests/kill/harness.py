"""Kill a program at chosen moments, as often as asked, and look at what it left.

Two ways: :func:`kill_command` starts a command afresh each time, :func:`kill_function` forks a
process that has everything imported, which takes milliseconds where a start takes seconds.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path


def moments(count: int, longest: float, seed: int) -> list[float]:
    """Draw ``count`` times in seconds, uniformly between 0 and ``longest``."""
    draw = random.Random(seed)
    return [draw.uniform(0, longest) for _ in range(count)]


def kill_command(
    command: Sequence[str | Path],
    delays: Sequence[float],
    check: Callable[[], None] = lambda: None,
    ready: str | None = None,
    env: dict[str, str] | None = None,
    cwd: str | Path | None = None,
) -> int:
    """Start a command once for each delay and kill -9 it, with all its children, after the delay.

    Args:
        command: Program and arguments; its output is dropped.
        delays: Seconds from the start, or from the line ``ready``, to the kill.
        check: Called after each kill; raises if something is not as it should be.
        ready: What the command's standard output must contain before the clock starts, so that
            its imports are not all that is ever killed. (default: None)
        env: Environment variables to add. (default: None)
        cwd: Where to start it. (default: None)

    Returns:
        How often it died by the kill; otherwise it had ended before.
    """
    killed = 0
    for delay in delays:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
            text=True,
        )
        assert process.stdout is not None
        while ready is not None:
            line = process.stdout.readline()
            if not line:
                raise AssertionError(f"{command} ended without printing {ready!r}")
            if ready in line:
                break
        time.sleep(delay)
        # Until wait() the process id stays its own, ended or not.
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        killed += process.wait() == -signal.SIGKILL
        check()
    return killed


def finish_command(
    command: Sequence[str | Path],
    env: dict[str, str] | None = None,
    cwd: str | Path | None = None,
) -> str:
    """Let a command run to its end; return its standard output."""
    result = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f"{command} failed:\n{result.stdout}\n{result.stderr}"
    return result.stdout


def kill_function(
    function: Callable[[], object],
    delays: Sequence[float],
    check: Callable[[], None] = lambda: None,
) -> int:
    """Fork a process for each delay, let it call the function, and kill -9 it after the delay.

    Args:
        function: What the process does. This process must not run threads that it needs.
        delays: Seconds from the fork to the kill.
        check: Called after each kill; raises if something is not as it should be.

    Returns:
        How often the process died by the kill; otherwise it had ended before.
    """
    killed = 0
    for delay in delays:
        child = _fork(function)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)  # until waitpid() the id stays its own, ended or not
        killed += _killed(child)
        check()
    return killed


def finish_function(function: Callable[[], object]) -> None:
    """Fork a process that calls the function, and wait for its end."""
    assert not _killed(_fork(function)), "the function was killed"


def _fork(function: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def _killed(child: int) -> bool:
    """Wait for a process; whether it was killed."""
    _, status = os.waitpid(child, 0)
    died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert died or os.waitstatus_to_exitcode(status) == 0, "the function failed"
    return died
