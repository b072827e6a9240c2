"""A run that takes a second: a small catalogue, a small model, two epochs."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.nn.model_mixture import MIXTURE

TINY = [
    "dataset.num_items=40",
    "dataset.num_interests=3",
    "dataset.interest_size=20",
    "dataset.num_successors=3",
    "dataset.num_sessions=300",
    "dataset.num_test_sessions=60",
    "dataset.new_items=0",  # the same items are on sale in every part
    "dataset.late_items=0",
    "model.channels=8",
    "trainer.max_epochs=2",
    "optimizer.schedule=step",  # with which a run may go on for more epochs
    "optimizer.lr=0.003",
    "optimizer.lr_step=3",
    "batch_size=100",
    "trainer.accelerator=cpu",
]


def tiny_keys(*overrides: str) -> list[str]:
    """TINY and these, without the keys that a model which is not trained does not have."""
    untrained = any(key.removeprefix("model=") in {*BASELINES, MIXTURE} for key in overrides)
    return [*(key for key in TINY if not (untrained and key.startswith("model."))), *overrides]


def tiny_config(root: Path, *overrides: str) -> DictConfig:
    """What srgnn-train would get for these overrides."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", tiny_keys(f"dataset.root={root}", *overrides))
