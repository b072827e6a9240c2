"""Every command of README and docs can be composed; what they show is written by a script."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.suggestions import check_command
from pyg_srgnn.sweeps.overrides import get_args_parser
from study import results
from tests import acme

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ |srun |[A-Z_]+=\S+ )*srgnn-(\w+) (.*)")


def commands() -> list[tuple[str, str]]:
    """Application and arguments of every command in a fenced block, but for those of argparse."""
    found = {}
    for page in PAGES:
        for block in FENCED.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                match = COMMAND.match(line.strip())
                if match and (CONF / f"{match[1]}.yaml").is_file():
                    found[match[1], match[2]] = None
    return list(found)


COMMANDS = commands()


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 60
    assert {name for name, _ in COMMANDS} == {file.stem for file in CONF.glob("*.yaml")}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package of docs/packages.md is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(acme.install(tmp_path_factory.mktemp("site"))))
        yield


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments"), COMMANDS, ids=" ".join)
@pytest.mark.usefixtures("package")
def test_a_command_is_composed(name: str, arguments: str) -> None:
    args = get_args_parser().parse_args(shlex.split(arguments, comments=True))
    check_command(args, CONF, name, CONF, name)


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("shown", "printed", "holds"),
    [
        ("srgnn  46.78  65.80", "srgnn    46.90  65.10", True),  # another machine
        ("srgnn  46.78  65.80", "srgnn  46.78  67.00", False),
        ("srgnn  46.78  65.80", "srgnn  46.78", False),
        ("hr@20 46.78", "recall@20 46.78", False),
        ("54,000 sessions", "53,000 sessions", False),
        ("5,647 samples/s, 236 s", "900 samples/s, 1,200 s", True),
        ("1  4  -2.2887", "1  227  -2.30", True),
        ("srgnn  76.03 / 30.10  27.44 / 12.24", "srgnn  76.09 / 30.02  24.98 / 11.20", True),
        ("srgnn  76.03 / 30.10  27.44 / 12.24", "srgnn  76.03 / 30.10  22.44 / 12.24", False),
        ("one line", "one line\nand another", False),
    ],
)
def test_what_no_longer_holds_is_found(shown: str, printed: str, holds: bool) -> None:
    assert (script("outputs").differing(shown, printed) == []) is holds


def test_commands_are_run_and_their_outputs_written(tmp_path: Path) -> None:
    block = "$ echo 17 4\nold\n$ echo one; echo 2/3 batches, loss 3.7; pwd\n"
    wanted = f"$ echo 17 4\n17 4\n$ echo one; echo 2/3 batches, loss 3.7; pwd\none\n{tmp_path}\n"
    assert script("outputs").remade(block, tmp_path) == wanted
    with pytest.raises(SystemExit, match="no such thing"):
        script("outputs").remade("$ echo no such thing >&2; false\n", tmp_path)


@pytest.mark.slow
def test_the_tables_are_those_of_the_kept_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert results.main(["--check"]) == 0, capsys.readouterr().out


def test_every_shown_command_line_stands_in_a_marked_block() -> None:
    """A line after ``$`` has an output below it, which somebody has to remake."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert "\n$ " not in script("outputs").BLOCK.sub("", text), page
