"""What all tests share."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

# The tests' tensors are small, their processes many, and results do not depend on the machine.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
# A process in the background ignores Ctrl-C, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as in a file, whatever terminal the tests run on."""
    monkeypatch.setattr("pyg_srgnn.utils.terminal.width", lambda: 200)


@pytest.fixture(scope="session")
def benchmark_data() -> Path:
    """Where the real benchmark files are: PYG_SRGNN_DATA, or shared/data beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PYG_SRGNN_DATA", beside))
    if not (folder / "diginetica" / "all_train_seq.txt").is_file():
        pytest.skip(f"no benchmark files in {folder}; PYG_SRGNN_DATA names another folder")
    return folder


@cache
def spark_here() -> tuple[bool, str]:
    """Whether the Spark tests can run, and with what, or why not."""
    if importlib.util.find_spec("pyspark") is None:
        return False, "PySpark is not installed"
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home, "bin")) if home else None)
    if java is None:
        return False, f"there is no java in {Path(home, 'bin') if home else 'PATH'}"
    said = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)([\d._]*)', said)
    if found is None or int(found[1]) < 17:
        return False, f"Java 17 or later is needed, {java} is {found[0] if found else said!r}"
    return True, f"PySpark {version('pyspark')}, Java {found[1]}{found[2]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    can, why = spark_here()
    for item in items:
        if not can and item.get_closest_marker("spark"):
            item.add_marker(pytest.mark.skip(reason=f"Spark: {why}"))


def pytest_report_header() -> str:
    can, what = spark_here()
    return f"spark tests: {'with ' if can else 'skipped, '}{what}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    ran = sum("spark" in report.keywords for report in reports)
    can, what = spark_here()
    if ran or not can:
        said = f"{ran} ran with {what}" if ran else f"skipped, {what}"
        terminalreporter.write_line(f"spark tests: {said}")
