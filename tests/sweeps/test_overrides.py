"""Hydra's internals are imported in one place."""

from __future__ import annotations

from pathlib import Path

import pyg_srgnn
from pyg_srgnn.sweeps import overrides


def test_one_module_imports_the_internals_of_hydra() -> None:
    package = Path(pyg_srgnn.__file__).parent
    found = [path for path in package.rglob("*.py") if "hydra._internal" in path.read_text()]
    assert found == [Path(overrides.__file__)]
