"""No command imports what it can do without: neither serving what trains, nor --help torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyg_srgnn
from pyg_srgnn import data, inference, reports, training
from pyg_srgnn.evaluation.significance import UNITS
from pyg_srgnn.export.write import export
from tests.export.exports import checkpoint

TRAINING = ("torch_geometric", "lightning", "hydra", "omegaconf", "polars", "narwhals", "rich")
BLOCKED = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {TRAINING!r}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocker())
"""


def run_without_training(code: str) -> str:
    """Run Python code where nothing that only training needs can be imported."""
    done = subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_of_inference() -> None:
    run_without_training(
        "import importlib, pkgutil\n"
        "import pyg_srgnn.functional, pyg_srgnn.inference\n"
        "for package in (pyg_srgnn.functional, pyg_srgnn.inference):\n"
        "    for module in pkgutil.walk_packages(package.__path__, f'{package.__name__}.'):\n"
        "        importlib.import_module(module.name)\n"
        "from pyg_srgnn import Recommender\n"
        "from pyg_srgnn.data import Vocabulary\n"
        "assert pyg_srgnn.inference.Recommender is Recommender\n"
        "assert pyg_srgnn.inference.Artifact\n"
    )


def test_the_block_blocks():
    assert run_without_training(
        "try:\n    import pyg_srgnn.nn\nexcept ImportError as error:\n    print(error)\n"
    ).endswith("is blocked\n")


# Prints the packages that a console script has loaded when it ends.
COMMAND = """
import atexit, runpy, sys
atexit.register(lambda: print("loaded:", *{name.partition(".")[0] for name in sys.modules}))
module, *sys.argv[1:] = sys.argv[1:]
sys.argv[0] = f"srgnn-{module}"
runpy.run_module(f"pyg_srgnn.commands.{module}", run_name="__main__")
"""
LARGE = {"torch", "lightning", "torch_geometric", "polars", "matplotlib", "pandas"}
SCRIPTS = (
    *("train", "evaluate", "recommend", "serve", "prepare", "export"),
    *("leaderboard", "compare"),
)


def loaded(folder: Path, *command: str) -> tuple[int, set[str]]:
    """The exit status of a console script that is called in a folder, and what it has imported."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *command], cwd=folder, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, set(done.stdout.rpartition("loaded: ")[2].split())


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_needs_nothing_large(script: str, tmp_path: Path) -> None:
    status, modules = loaded(tmp_path, script, "--help")
    assert (status, modules & LARGE) == (0, set())


@pytest.mark.parametrize(
    "typo",
    [
        ("train", "model.chanels=3"),
        ("train", "+model.chanels=3"),
        ("train", "-m", "model.chanels=3,4"),
        ("train", "model=srgn"),
        ("recommend", "checkpoint=x", "itmes=[1]"),
        ("serve", "checkpont=x"),
    ],
)
def test_a_typo_needs_nothing_large(typo: tuple[str, ...], tmp_path: Path) -> None:
    status, modules = loaded(tmp_path, *typo)
    assert (status, modules & LARGE) == (1, set())
    assert not list(tmp_path.iterdir())


def test_reports_need_no_torch(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(Path(__file__).parents[1] / "study/runs/diginetica/srgnn", runs)
    status, modules = loaded(tmp_path, "leaderboard", "runs")
    assert (status, modules & LARGE - {"matplotlib"}) == (0, set())
    status, modules = loaded(tmp_path, "compare", "runs/0", "runs/1", "--draws=10")
    assert (status, modules & LARGE) == (0, {"polars"})


def test_recommending_with_an_export_needs_torch_alone(tmp_path: Path) -> None:
    export(checkpoint("transitions"), tmp_path / "export")
    status, modules = loaded(tmp_path, "recommend", "checkpoint=export", 'items=["item 3"]')
    assert (status, modules & LARGE) == (0, {"torch"})


@pytest.mark.parametrize("package", [pyg_srgnn, data, inference, reports, training])
def test_names_that_wait(package) -> None:
    assert set(package.__all__) <= set(dir(package))
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'no'"):
        getattr(package, "no")  # noqa: B009


def test_compare_names_the_units(tmp_path: Path) -> None:
    """Without importing what has them."""
    help_text = subprocess.run(
        [sys.executable, "-c", COMMAND, "compare", "--help"], capture_output=True, text=True
    ).stdout
    assert f"{{{','.join(UNITS)}}}" in help_text
