"""The first lines of a run: where it writes, how to resume it, what is trained on which data."""

from __future__ import annotations

from pathlib import Path

import torch

from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.utils.terminal import Styled, facts


def place(run_dir: Path, command: str | None) -> Styled:
    """Where a run writes, and how to resume it.

    Args:
        run_dir: Its directory.
        command: What resumes it, where that is known.
    """
    return facts({"directory": str(run_dir)} | ({"to resume": command} if command else {}))


def ingredients(
    training: SessionDataset,
    watched: SessionDataset | None,
    model: str,
    device: torch.device,
    replicas: int = 1,
) -> Styled:
    """What is trained, on which data, and where.

    Args:
        training: The sessions that it is trained on.
        watched: Those that validate, if any do.
        model: Its name, and what else is to be said of it.
        device: Where.
        replicas: On how many of them. (default: 1)
    """
    found = {"data set": f"{training.name}, {training.num_items:,} items"}
    for part in filter(None, (training, watched)):
        found[part.split] = f"{len(part.sessions):,} sessions, {len(part):,} samples"
    where = f"{replicas} x {device_name(device)}" if replicas > 1 else device_name(device)
    if device.type == "cpu":
        where += f", threads: {torch.get_num_threads()}"
    return facts(found | {"model": model, "device": where})


def device_name(device: torch.device) -> str:
    """A GPU's model, or the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
