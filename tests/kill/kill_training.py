"""Kill a training again and again: ``python -m tests.kill.kill_training FOLDER TIMES SEED``.

A process of its own, because it forks: it runs no threads. The run is trained once undisturbed,
then killed TIMES times at random moments, each start resuming from the last whole epoch, and then
trained to its end. Its metrics must be those of the undisturbed one.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.training.run import train
from tests.kill.harness import finish_function, kill_function, moments
from tests.tiny import tiny_config

OVERRIDES = (
    "trainer.max_epochs=5",
    "refit=true",
    "dataset.num_sessions=1200",
    "model.channels=16",
)


def untimed(run_dir: Path) -> dict[str, Any]:
    """The metrics of a run without what takes another time each time."""
    metrics = json.loads((run_dir / "metrics.json").read_text())
    return {k: v for k, v in metrics.items() if k not in ("samples_per_second", "train_seconds")}


def main(folder: Path, times: int, seed: int) -> None:
    """Undisturbed, killed, to the end, compared."""
    torch.set_num_threads(1)
    config = tiny_config(folder / "datasets", *OVERRIDES)
    whole, run_dir = folder / "whole", folder / "killed"
    started = time.perf_counter()
    finish_function(lambda: train(config, whole))
    seconds = time.perf_counter() - started

    def check() -> None:
        for path in run_dir.glob("checkpoints/*.ckpt"):
            assert torch.load(path, weights_only=True)["state_dict"]
        if (run_dir / "checkpoints" / "best.ckpt").is_file():
            Checkpoint.load(run_dir)
        assert not (run_dir / "metrics.json").is_file() or untimed(run_dir)["test"]

    # Half of what would do, for a machine may be faster now than while the whole run was timed.
    delays = moments(times, 0.2 * seconds, seed)
    killed = kill_function(lambda: train(config, run_dir), delays, check)
    assert 2 * killed >= times, "the kills must hit a running process"
    finish_function(lambda: train(config, run_dir))
    assert untimed(run_dir) == untimed(whole)
    left = [path.name for path in run_dir.rglob("*.part")]
    # A killed writer may leave its file aside; it is never the file itself.
    assert all(name.startswith(".") for name in left)
    print(f"killed {killed} of {times} starts; undisturbed it takes {seconds:.0f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
