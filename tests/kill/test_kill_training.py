from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from pyg_srgnn.checkpoint import Checkpoint
from tests.kill.harness import finish_command, kill_command, moments
from tests.kill.train_tiny import main

REPOSITORY = Path(__file__).parents[2]


def untimed(run_dir: Path) -> dict[str, Any]:
    metrics = json.loads((run_dir / "metrics.json").read_text())
    return {k: v for k, v in metrics.items() if k not in ("samples_per_second", "train_seconds")}


def test_training_killed_ten_times_ends_as_if_never_killed(tmp_path: Path) -> None:
    root, run_dir = tmp_path / "datasets", tmp_path / "killed"
    started = time.perf_counter()
    main(str(root), str(tmp_path / "whole"))
    seconds = time.perf_counter() - started

    def whole_files() -> None:
        for path in run_dir.glob("checkpoints/*.ckpt"):
            assert torch.load(path, weights_only=True)["state_dict"]
        if (run_dir / "checkpoints" / "best.ckpt").is_file():
            Checkpoint.load(run_dir)
        assert not (run_dir / "metrics.json").is_file() or untimed(run_dir)["test"]

    command = [sys.executable, "-m", "tests.kill.train_tiny", root, run_dir]
    # Each start goes on from the last whole epoch, so the moments are a fraction of the run.
    # Half of what would do, for a machine may be faster now than while the whole run was timed.
    delays = moments(10, 0.2 * seconds, seed=0)
    killed = kill_command(command, delays, whole_files, "ready", cwd=REPOSITORY)
    assert killed >= 5, "the kills must hit a running process"
    finish_command(command, cwd=REPOSITORY)
    assert untimed(run_dir) == untimed(tmp_path / "whole")
    left = [path.name for path in run_dir.rglob("*.part")]
    # A killed writer may leave its file aside; it is never the file itself.
    assert all(name.startswith(".") for name in left)
