"""Train the tiny run into a directory; killed and started again by test_kill_training.py."""

from __future__ import annotations

import sys
from pathlib import Path

from pyg_srgnn.training import train
from tests.tiny import tiny_config

OVERRIDES = (
    "trainer.max_epochs=5",
    "refit=true",
    "dataset.num_sessions=1200",
    "model.channels=16",
)


def main(root: str, run_dir: str) -> None:
    config = tiny_config(Path(root), *OVERRIDES)
    print("ready", flush=True)
    train(config, run_dir)


if __name__ == "__main__":
    main(*sys.argv[1:])
