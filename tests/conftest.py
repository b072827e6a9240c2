"""What all tests share."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

# The tests' tensors are small, their processes many, and results do not depend on the machine.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
# A process in the background ignores Ctrl-C, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def room() -> Iterator[None]:
    """Tables are as wide as in a file, whatever terminal the tests run on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyg_srgnn.utils.terminal.width", lambda: 200)
        patch.delenv("COLUMNS", raising=False)  # which pytest-xdist sets
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A test draws the same numbers in every run, and in whatever order the tests run."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def drawing() -> Iterator[Any]:
    """PNG files have their first bytes only: to draw takes longer than to train a tiny run."""
    if importlib.util.find_spec("matplotlib") is None:
        yield None
        return
    from matplotlib.figure import Figure

    draw = Figure.savefig

    def save(figure: Figure, path: Any, format: str | None = None, **settings: Any) -> None:
        if format == "png":
            Path(path).write_bytes(b"\x89PNG\r\n\x1a\n")
        else:
            draw(figure, path, format=format, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save)
        yield draw


@pytest.fixture
def pictures(drawing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws pictures after all, for a test that looks at one."""
    if drawing is not None:
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", drawing)


class Shared:
    """Folders that are made once for all tests, in whichever process of pytest-xdist they run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def made(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder of a name; the first who asks for it has it made by ``make(folder)``."""
        folder, done = self.root / name, self.root / f"{name}.done"
        self.root.mkdir(exist_ok=True)
        with FileLock(self.root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                done.touch()
        return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Makes folders that all tests read and none changes."""
    base = tmp_path_factory.getbasetemp()
    return Shared((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared")


@pytest.fixture(scope="session")
def tiny_root(shared: Shared) -> Path:
    """``dataset.root`` of the finished runs; another dataset may be made there as well."""
    return shared.made("datasets", Path.mkdir)


@pytest.fixture(scope="session")
def finished(shared: Shared, tiny_root: Path) -> Callable[[str], Path]:
    """Finished runs to read; a test that changes something copies the directory.

    ``finished("gru4rec")`` is the directory of a run of srgnn-train with ``model=gru4rec`` and
    :data:`tests.tiny.TINY`, its dataset in ``tiny_root``; what was printed is its train.log.
    """
    from pyg_srgnn.commands import train
    from tests.commands import run
    from tests.tiny import tiny_keys

    def trained(model: str) -> Path:
        def make(folder: Path) -> None:
            keys = [*tiny_keys(f"model={model}"), f"dataset.root={tiny_root}"]
            result = run(train.main, "srgnn-train", *keys, f"hydra.run.dir={folder}")
            assert result.status == 0, result.out + result.err

        return shared.made(f"run-{model}", make)

    return trained


@pytest.fixture(scope="session")
def tiny_run(finished: Callable[[str], Path]) -> Path:
    """The finished run of the default model."""
    return finished("srgnn")


@pytest.fixture(scope="session")
def exported(shared: Shared) -> Callable[[str, str], Path]:
    """Exports to read; a test that changes something copies the folder.

    ``exported("default", "onnx")`` is the export of a model of
    :data:`tests.export.exports.MODELS` in a format.
    """
    from pyg_srgnn.export.write import export
    from tests.export.exports import checkpoint

    def folder(name: str, kind: str) -> Path:
        return shared.made(f"{name}-{kind}", lambda path: export(checkpoint(name), path, kind))

    return folder


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


@pytest.hookimpl(tryfirst=True)  # before -m "not slow" chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    can, why = spark_here()
    for item in items:
        if item.get_closest_marker("spark"):
            item.add_marker(pytest.mark.slow)
            if not can:
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
