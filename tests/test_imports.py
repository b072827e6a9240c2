"""Import walls: the table of CONTRIBUTING.md is true, and no command imports what it can spare."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import pyg_srgnn
from pyg_srgnn import data, inference, reports, training
from pyg_srgnn.evaluation.significance import UNITS
from pyg_srgnn.export.write import export
from tests.export.exports import checkpoint
from tests.export.texts import checkpoint as with_texts

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


class Wall(NamedTuple):
    """A row of the table: dotted names below ``pyg_srgnn``, and other packages."""

    ours: set[str]
    old: set[str]
    """In brackets: for a name that moved, outside of the order."""
    others: set[str]
    lazily: set[str]
    """Only inside functions, or for types."""


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([\w.]+)`", cell))


def module_of(place: str) -> str:
    return place.removesuffix(".py")


def walls() -> dict[str, Wall]:
    """The table of CONTRIBUTING.md."""
    rows = re.findall(
        r"^\| `pyg_srgnn/([\w.]+)/?` \|[^|]+\|([^|]+)\|([^|]+)\|$",
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    found: dict[str, Wall] = {}
    for place, ours, others in rows:
        now, _, lazily = others.partition("inside functions")
        old = names(" ".join(re.findall(r"\(.*?\)", ours)))
        allowed = set(map(module_of, found)) if "all of these" in ours else names(ours) - old
        found[place] = Wall(allowed, old, names(now), names(lazily))
    return found


WALLS = walls()
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted((ROOT / "pyg_srgnn").rglob("*.py"))
}


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Every dotted name that a module imports, and whether only inside a function or for types."""

    def below(node: ast.AST, late: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, late) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{file}: relative import"
                yield from ((f"{child.module}.{alias.name}", late) for alias in child.names)
            for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from below(child, late or for_types or function)

    return below(ast.parse(file.read_text(encoding="utf-8")), False)


def folder(name: str) -> str:
    """The row of the table that a module of ours is in."""
    first = name.split(".")[1:2]
    return first[0] if first and first[0] in WALLS else f"{(first or ['__init__'])[0]}.py"


def within(name: str, allowed: set[str]) -> bool:
    """Whether a dotted name, or what it is in, is allowed."""
    short = name.removeprefix("pyg_srgnn.")
    return any(short == one or short.startswith(f"{one}.") for one in allowed)


@pytest.mark.parametrize("place", WALLS)
def test_a_folder_imports_what_the_table_says(place: str) -> None:
    wall = WALLS[place]
    wrong, needed = [], set()
    for module, file in MODULES.items():
        if folder(module) != place:
            continue
        for name, late in imports(file):
            top = name.split(".")[0]
            if top == "pyg_srgnn":
                ours = wall.ours | wall.old
                if folder(name) != place and not within(name, ours):
                    wrong.append(f"{module}: {name}")
                needed |= {one for one in ours if within(name, {one})}
            elif top not in sys.stdlib_module_names:
                if top not in wall.others and not (late and top in wall.lazily):
                    wrong.append(f"{module}: {name}")
                needed.add(top)
    assert not wrong
    assert needed == wall.ours | wall.old | wall.others | wall.lazily or place == "commands"


def test_every_folder_stands_in_the_table_below_what_it_imports() -> None:
    assert {folder(module) for module in MODULES} == set(WALLS)
    above: set[str] = set()
    for place, wall in WALLS.items():
        assert {name.split(".")[0] for name in wall.ours} <= above, place
        above.add(module_of(place))


def test_no_module_imports_itself_by_way_of_others() -> None:
    """In functions and for types neither; a package that names what is in it is none of them."""
    graph: dict[str, set[str]] = {}
    for module, file in MODULES.items():
        found = (name for name, _ in imports(file) if name.startswith("pyg_srgnn"))
        known = {name if name in MODULES else name.rpartition(".")[0] for name in found}
        old = WALLS[folder(module)].old
        graph[module] = {name for name in known if not within(name, old)}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


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


def test_new_items_with_texts(tmp_path: Path) -> None:
    folder = export(with_texts(), tmp_path / "export")
    run_without_training(
        "from pyg_srgnn import Recommender\n"
        f"recommender = Recommender.load({str(folder)!r})\n"
        "recommender.add_items(['new'], {'title': ['red  oak thing']})\n"
        "assert recommender.recommend([['new']])[0]\n"
    )


def test_the_block_blocks():
    assert run_without_training(
        "try:\n    import torch_geometric\nexcept ImportError as error:\n    print(error)\n"
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
    shutil.copytree(Path(__file__).parents[1] / "study/runs/diginetica/srgnn_fewer_counts", runs)
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
