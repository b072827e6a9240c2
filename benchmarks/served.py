"""A service as a child process, and its use of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import perf_counter, sleep

_PATIENCE = 120.0  # seconds until it must be ready


class Served:
    """A service that is ready.

    Args:
        process: Its process.
        address: Host and port.
        ready_seconds: From the start of the process until it was ready.
    """

    def __init__(
        self, process: subprocess.Popen[str], address: tuple[str, int], ready_seconds: float
    ) -> None:
        self.process = process
        self.address = address
        self.ready_seconds = ready_seconds

    def rss_mb(self) -> float | None:
        """Memory that its first process holds, in MB; None where there is no /proc."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.is_file():
            return None
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024e-6

    def pss_mb(self) -> float | None:
        """Memory of all its processes, in MB, what several share once; None without /proc."""
        total = 0
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("Pss:") else 0
        return total * 1024e-6 if total else None

    def cpu_seconds(self) -> float | None:
        """Seconds of all cores that its processes have taken; None where there is no /proc."""
        ticks = 0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK") if ticks else None

    def _pids(self) -> list[int]:
        """Its process, and those that it has started, directly or not."""
        found, new = [], [self.process.pid]
        while new:
            pid = new.pop()
            threads = list(Path(f"/proc/{pid}/task").glob("*/children"))
            found += [pid] if threads else []
            new += [int(child) for thread in threads for child in thread.read_text().split()]
        return found


@contextmanager
def serving(export: str, threads: int, *arguments: str) -> Iterator[Served]:
    """Serve an export until the block is left.

    Args:
        export: The folder.
        threads: Of the model.
        arguments: Others of ``python -m pyg_srgnn.serving``.

    Raises:
        RuntimeError: If the service does not become ready.
    """
    started = perf_counter()
    command = [sys.executable, "-m", "pyg_srgnn.serving", export, "--port=0"]
    process = subprocess.Popen(
        [*command, f"--threads={threads}", "--drain-seconds=0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "SRGNN_TOKEN"},
    )
    output: list[str] = []
    reader = Thread(target=_read, args=(process, output), daemon=True)
    reader.start()
    try:
        address = _address(process, output, started)
        while not (any('"event": "ready"' in line for line in output) and _is_ready(address)):
            _check(process, output, started)
            sleep(0.01)
        yield Served(process, address, perf_counter() - started)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()


def _read(process: subprocess.Popen[str], output: list[str]) -> None:
    assert process.stderr is not None
    output.extend(process.stderr)


def _address(process: subprocess.Popen[str], output: list[str], started: float) -> tuple[str, int]:
    """Where it listens, as its log says."""
    while True:
        for line in list(output):
            if '"url"' in line:
                host, _, port = json.loads(line)["url"].removeprefix("http://").rpartition(":")
                return host, int(port)
        _check(process, output, started)
        sleep(0.01)


def _is_ready(address: tuple[str, int]) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address[0]}:{address[1]}/ready", timeout=10):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def _check(process: subprocess.Popen[str], output: list[str], started: float) -> None:
    if process.poll() is not None:
        raise RuntimeError(f"the service has ended: {''.join(output)[-2000:]}")
    if perf_counter() - started > _PATIENCE:
        raise RuntimeError(f"the service is not ready after {_PATIENCE:.0f} s: {''.join(output)}")
