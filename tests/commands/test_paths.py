"""Paths that Hydra's grammar would not take as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from pyg_srgnn.commands import evaluate, export, prepare, recommend, serve, train
from pyg_srgnn.commands.paths import PATHS, quoted
from tests.commands import run

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
    for text in ("items=[1,2", "seed=a=b", "model.scale=1,2", "--cfg", "checkpoint="):
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


@pytest.mark.parametrize(
    ("command", "words"),
    [
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
        if key in PATHS:
            assert OmegaConf.select(found, key) == value
