"""A sweep killed at random moments ends as if it had never been.

A few kills here; ``python -m tests.kill.kill_sweep grid FOLDER 20 0`` does more.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .harness import finish_command

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["grid", "optuna"])
def test_a_sweep_killed_again_and_again(kind: str, tmp_path: Path) -> None:
    if kind == "optuna":
        pytest.importorskip("optuna")
    output = finish_command(
        [sys.executable, "-m", "tests.kill.kill_sweep", kind, tmp_path, "3", "0"],
        {"OMP_NUM_THREADS": "1"},
        Path(__file__).parents[2],
    )
    print(output)
    assert f"{kind}: killed 3 of" in output
