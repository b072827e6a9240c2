"""The first lines of a run's log: its directory, the command that resumes it, model and data."""

from __future__ import annotations

from pathlib import Path

import torch

from pyg_srgnn.data.categories import Categories
from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.text.encode import TextVectors
from pyg_srgnn.training.job import Place
from pyg_srgnn.utils.terminal import Styled, facts


def directory(run_dir: Path, command: str | None) -> Styled:
    """Describe where a run writes and, if known, the command that resumes it."""
    return facts({"directory": str(run_dir)} | ({"to resume": command} if command else {}))


def ingredients(
    training: SessionDataset,
    watched: SessionDataset | None,
    model: str,
    place: Place,
    text: TextVectors | None = None,
    categories: Categories | None = None,
) -> Styled:
    """Describe the model, its data and the device.

    Args:
        training: The sessions to train on.
        watched: The sessions that validate, if any do.
        model: The name of the model, with its size.
        place: The device and the processes.
        text: The texts of the items. (default: None)
        categories: Their categories. (default: None)
    """
    found = {"data set": f"{training.name}, {training.num_items:,} items"}
    for part in filter(None, (training, watched)):
        found[part.split] = f"{len(part.sessions):,} sessions, {len(part):,} samples"
    if text is not None:
        found["text"] = str(text)
    if categories is not None:
        found["categories"] = str(categories)
    where = device_name(place.device)
    if place.processes > 1:
        where = f"{place.processes} x {where}"
    if place.device.type == "cpu":
        where += f", threads: {torch.get_num_threads()}"
    return facts(found | {"model": model, "device": where})


def device_name(device: torch.device) -> str:
    """The model of a GPU, or the type of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
