"""The first lines of a run: where it writes, how to resume it, what is trained on which data."""

from __future__ import annotations

from pathlib import Path

import torch

from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.training.job import Place
from pyg_srgnn.utils.terminal import Styled, facts


def directory(run_dir: Path, command: str | None) -> Styled:
    """Where a run writes, and the command that resumes it, where that is known."""
    return facts({"directory": str(run_dir)} | ({"to resume": command} if command else {}))


def ingredients(
    training: SessionDataset,
    watched: SessionDataset | None,
    model: str,
    place: Place,
) -> Styled:
    """What is trained, on which data, and where.

    Args:
        training: The sessions to train on.
        watched: The sessions that validate, if any do.
        model: The name of the model, and what else to show of it.
        place: Where it is trained.
    """
    found = {"data set": f"{training.name}, {training.num_items:,} items"}
    for part in filter(None, (training, watched)):
        found[part.split] = f"{len(part.sessions):,} sessions, {len(part):,} samples"
    where = device_name(place.device)
    if place.processes > 1:
        where = f"{place.processes} x {where}"
    if place.device.type == "cpu":
        where += f", threads: {torch.get_num_threads()}"
    return facts(found | {"model": model, "device": where})


def device_name(device: torch.device) -> str:
    """A GPU's model, or the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
