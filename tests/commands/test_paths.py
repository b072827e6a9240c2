"""Paths that Hydra's grammar would not take as they are, and runs by their names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from pyg_srgnn.commands import evaluate, export, prepare, recommend, serve, train
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.commands.command_line import PATHS, quoted
from pyg_srgnn.inference.recommender import Recommender
from tests.commands import run
from tests.tiny import TINY

pytestmark = pytest.mark.slow

# How the comment of a key begins that names a file or a folder; after | stands another choice.
NAMES_A_PATH = re.compile(
    r"(?:^|\| )an? [^,;:.]*\b(?:file|folder|run|directory)\b|^folder\b|^\[RUN\b"
)
RUN = "runs/sweeps/a=1,b=2_0123abcd/model.num_steps=1,seed=0"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(override: str, multirun: bool = False) -> list[Any]:
    """The values that Hydra reads, more than one of a sweep."""
    parsed = OverridesParser.create().parse_override(quoted(override, multirun))
    return list(parsed.sweep_iterator()) if parsed.is_sweep_override() else [parsed.value()]


@pytest.mark.parametrize("path", [RUN, "a b/c (1)", "a,b", "it's", "a=1", r"C:\a=b\c,d", "{a}"])
@pytest.mark.parametrize("key", ["checkpoint", "+checkpoint", "dataset.path", "hydra.run.dir"])
def test_a_path_is_a_path(key: str, path: str) -> None:
    assert read(f"{key}={path}") == [path]


def test_what_needs_no_quotes_has_none() -> None:
    for text in ("checkpoint=runs/a", "output=null", "dataset.path=[a,b]", "checkpoint='a=b'"):
        assert quoted(text, multirun=False) == text
    for text in ("seed=a=b", "model.scale=1,2", "--cfg", "checkpoint="):
        assert quoted(text, multirun=False) == text, "no path"


def test_a_list_with_m_is_a_sweep_unless_there_is_such_a_path() -> None:
    assert read("checkpoint=a,b", multirun=True) == ["a", "b"]
    assert read("checkpoint=12", multirun=True) == [12]
    Path("a,b").mkdir()
    Path("12").mkdir()
    assert read("checkpoint=a,b", multirun=True) == ["a,b"]
    assert read("checkpoint=12", multirun=True) == ["12"]


def test_two_files_with_a_comma_between_them_are_left_to_hydra() -> None:
    """Who says how a list is written."""
    Path("a").touch()
    assert read("dataset.path=a,b") == ["a,b"]
    Path("b").touch()
    assert quoted("dataset.path=a,b", multirun=False) == "dataset.path=a,b"


def comments(file: Path) -> dict[str, tuple[str, str]]:
    """The keys of a file of conf/, but Hydra's, each with its value and its comment."""
    group = "".join(f"{part}." for part in file.relative_to(CONF).parent.parts)
    found, above = {}, ""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("hydra:"):
            break
        if key := re.match(r"( *)(\w+): *([^#]*?) *(?:#\s*(.*))?$", line):
            indent, name, value, comment = key.groups()
            above = above if indent else name
            full = f"{group}{above}.{name}" if indent else f"{group}{name}"
            found[full] = value, comment or ""
    return found


def test_every_key_that_names_a_path_is_among_them() -> None:
    """Which they are, their comments say; what a command takes has one, where none is its value."""
    declared = set()
    for file in CONF.rglob("*.yaml"):
        for key, (value, comment) in comments(file).items():
            if NAMES_A_PATH.search(comment):
                declared.add(key)
            if file.parent == CONF and value in ("null", "???") and "." not in key:
                assert comment, f"{file.name}: {key} has no comment"
    assert declared == {key for key in PATHS if not key.startswith("hydra.")}


def test_a_list_of_paths() -> None:
    assert read("model.members=[runs/a=1,runs/größe (1)]") == [["runs/a=1", "runs/größe (1)"]]
    assert read("dataset.path=[klicks größe(1).csv]") == [["klicks größe(1).csv"]]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (train, ["text=items=1.csv", "attributes=attr(1).csv"]),
        (evaluate, ["attributes=größe.csv"]),
        (export, ["add_items=artikel größe.csv", "output=größe"]),
        (recommend, ["input=größe.csv", "attributes=a,b.csv"]),
        (serve, ["answers=größe.jsonl", "rules=regeln größe.json", "challenger=a=b"]),
        (prepare, ["report=größe (1)"]),
        (train, [f"checkpoint={RUN}"]),
        (train, [f"warm_start={RUN}"]),
        (evaluate, [f"checkpoint={RUN}"]),
        (export, [f"checkpoint={RUN}", "output=a=b"]),
        (recommend, [f"checkpoint={RUN}", "items=[1]"]),
        (serve, [f"checkpoint={RUN}", "names=a,b"]),
        (prepare, ["dataset=click_log", "dataset.path=a (1).csv", f"dataset.vocabulary={RUN}"]),
    ],
)
def test_every_command_takes_it(command: Any, words: list[str]) -> None:
    name = f"srgnn-{command.__name__.rpartition('.')[2]}"
    result = run(command.main, name, *words, "--cfg", "job")
    assert result.status == 0, result.err
    found = OmegaConf.create(result.out)
    for word in words:
        key, _, value = word.partition("=")
        if key != "items" and key != "dataset":
            assert OmegaConf.select(found, key) == value


# With which the third epoch is better than the second one.
KEYS = ["test=false", "model.text_expert=false", "model.similar=0"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory where two runs have been trained, the second one for one epoch more."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        for name, more in (("a", []), ("b", ["checkpoint=latest", "trainer.max_epochs=3"])):
            told = [*KEYS, f"hydra.run.dir=runs/synthetic/{name}", *more]
            result = run(train.main, "srgnn-train", *TINY, *told)
            assert result.status == 0, result.out + result.err
    assert "srgnn-train: checkpoint=runs/synthetic/a\n" in result.err
    return folder


def test_a_finished_run_is_linked(trained: Path) -> None:
    link = trained / "runs" / "synthetic" / "latest"
    assert link.is_symlink() and link.readlink() == Path("b")


@pytest.mark.parametrize("name", ["latest", "runs/synthetic", "runs/synthetic/latest"])
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (evaluate, ["split=valid", "baselines=[]", "hydra.run.dir=evaluated"]),
        (export, ["output=exported", "format=torch_export"]),
        (recommend, ["items=[1,2]", "k=3"]),
    ],
)
def test_a_run_is_found_by_its_name(
    command: Any, words: list[str], name: str, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    script = f"srgnn-{command.__name__.rpartition('.')[2]}"
    result = run(command.main, script, f"checkpoint={name}", *words)
    assert result.status == 0, result.out + result.err
    assert f"{script}: checkpoint=runs/synthetic/b\n" in result.err and "/b\n" not in result.out


def test_a_run_is_found_by_its_name_in_python(
    trained: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(trained)
    wanted = Recommender.load("runs/synthetic/b").recommend([[1, 2]])
    assert wanted != Recommender.load("runs/synthetic/a").recommend([[1, 2]])
    with caplog.at_level("INFO"):
        for name in ("latest", "runs/synthetic", Path("runs/synthetic/latest")):
            assert Recommender.load(name).recommend([[1, 2]]) == wanted
            assert f"{name}: runs/synthetic/b" in caplog.messages


def test_a_run_keeps_the_directory_that_it_began_with(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its configuration names it, as ``latest`` is soon another run."""
    monkeypatch.chdir(trained)
    told = [*KEYS, "warm_start=latest", "hydra.run.dir=warm"]
    result = run(train.main, "srgnn-train", *TINY, *told)
    assert result.status == 0, result.out + result.err
    assert OmegaConf.load("warm/config.yaml").warm_start == "runs/synthetic/b"
    assert "warm_start=runs/synthetic/b hydra.run.dir=warm\n" in result.out, "to resume"


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    result = run(recommend.main, "srgnn-recommend", "checkpoint=latest", "items=[1]")
    said = "checkpoint=latest: there is no finished run with a model below runs"
    assert result.status == 1 and said in result.out + result.err


def test_the_vocabulary_of_a_run_by_its_name(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    rows = [f"{n // 4},{1 + n % 7},{1704067200 + n}" for n in range(400)]
    log = tmp_path / "clicks.csv"
    log.write_text("\n".join(["session_id,item,timestamp", *rows]), encoding="utf-8")
    told = ["dataset=click_log", f"dataset.path={log}", f"dataset.root={tmp_path / 'datasets'}"]
    result = run(prepare.main, "srgnn-prepare", *told, "dataset.vocabulary=latest")
    assert result.status == 0, result.out + result.err
    assert "srgnn-prepare: dataset.vocabulary=runs/synthetic/b\n" in result.err
