"""A training killed at random moments ends as if it had never been."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .harness import finish_command

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


def test_training_killed_ten_times_ends_as_if_never_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.kill.kill_training", tmp_path, "10", "0"]
    assert "of 10 starts" in finish_command(command, cwd=REPOSITORY)
