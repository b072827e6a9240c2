"""The versions that are admitted are the same wherever they are written down."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = SpecifierSet(PROJECT["requires-python"])
MINORS = [minor for minor in range(30) if PYTHONS.contains(f"3.{minor}.5")]
CONDA = {"torch": "pytorch", "torch-geometric": "pytorch_geometric"}  # by other names there


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_pythons() -> None:
    first, last = MINORS[0], MINORS[-1]
    named = [int(minor) for minor in re.findall(r"Python :: 3\.(\d+)", text("pyproject.toml"))]
    assert named == MINORS
    assert f"(3, {first}) <= sys.version_info < (3, {last + 1})" in text("Makefile")
    assert f"- python >=3.{first},<3.{last + 1}\n" in text("environment.yml")
    for page in ("README.md", "CONTRIBUTING.md"):
        said = re.findall(r"Python 3\.(\d+) to 3\.(\d+)", text(page))
        assert said and set(said) == {(str(first), str(last))}, page


def test_conda_admits_the_same_dependencies() -> None:
    listed = yaml.safe_load(text("environment.yml"))["dependencies"]
    conda = dict(line.split(" ", 1) for line in listed if isinstance(line, str) and " " in line)
    for dependency in map(Requirement, PROJECT["dependencies"]):
        wanted = SpecifierSet(conda[CONDA.get(dependency.name, dependency.name)])
        assert dependency.specifier == wanted, dependency


def test_the_lock_lies_within_and_every_dependency_has_a_lower_bound() -> None:
    pinned = dict(
        line.lower().replace("_", "-").split("==")
        for line in text("requirements.lock").splitlines()
        if "==" in line
    )
    extras = PROJECT["optional-dependencies"]
    every = [*PROJECT["dependencies"], *(line for group in extras.values() for line in group)]
    for dependency in map(Requirement, every):
        if dependency.name == "pyg-srgnn":
            continue
        assert {one.operator for one in dependency.specifier} & {">=", "=="}, dependency
        version = pinned.get(dependency.name.lower().replace("_", "-"))
        assert version is None or dependency.specifier.contains(version), dependency


@pytest.mark.parametrize("end", ["lowest", "newest"])
def test_both_ends_are_tested(end: str) -> None:
    assert f"\nmake test-{end}\n" in text(".ci/run")
