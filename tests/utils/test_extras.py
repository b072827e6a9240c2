"""The command that installs an extra works for the installation that there is."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

import pyg_srgnn
from pyg_srgnn.utils import extras
from pyg_srgnn.utils.extras import pip_install

PACKAGE = Path(pyg_srgnn.__file__).parent
GIT = {"vcs": "git", "commit_id": "0a1b"}


class Installed(Distribution):
    """The package as it was installed from somewhere."""

    def __init__(self, record: Any) -> None:
        self.record = record

    def read_text(self, filename: str) -> str | None:
        assert filename == "direct_url.json"
        return None if self.record is None else json.dumps(self.record)

    def locate_file(self, path: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("record", "command"),
    [
        (None, "pip install 'pyg-srgnn[plots]'"),
        ({"url": "file:///a/b", "dir_info": {}}, "pip install '/a/b[plots]'"),
        ({"url": "file:///a%20b", "dir_info": {"editable": True}}, "pip install -e '/a b[plots]'"),
        ({"url": "file:///a/b.whl", "archive_info": {}}, "pip install '/a/b.whl[plots]'"),
        (
            {"url": "https://example.org/a.git", "vcs_info": GIT},
            "pip install 'pyg-srgnn[plots] @ git+https://example.org/a.git@0a1b'",
        ),
        (
            {"url": "https://example.org/a.whl", "archive_info": {}},
            "pip install 'pyg-srgnn[plots]'",
        ),
    ],
)
def test_where_it_came_from(record: Any, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "distribution", lambda _: Installed(record))
    assert pip_install("plots") == command


def test_in_the_checkout_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"url": tmp_path.as_uri(), "dir_info": {}}
    monkeypatch.setattr(extras, "distribution", lambda _: Installed(record))
    monkeypatch.chdir(tmp_path)
    assert pip_install("wandb") == "pip install '.[wandb]'"


def test_never_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Distribution:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", missing)
    assert pip_install("plots") == "pip install 'pyg-srgnn[plots]'"


def test_every_hint_is_made_here_and_names_an_extra_that_there_is() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    known = set(project["project"]["optional-dependencies"])
    named = set()
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        named |= set(re.findall(r"pip_install\([\"'](\w+)[\"']\)", text))
        if file.name != "extras.py":
            said = re.findall(r"pyg[-_]srgnn\[|install the extra|pip install (?!onnxruntime)", text)
            assert not said, f"{file}: {said}"
    assert {"7z", "export", "index", "plots", "redis", "serve", "spark", "sweep"} <= named <= known


def test_an_error_ends_in_a_command_that_pip_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyg_srgnn.inference.index import _faiss

    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError) as told:
        _faiss()
    *_, extra = shlex.split(str(told.value))
    assert extra == shlex.split(pip_install("index"))[-1]
