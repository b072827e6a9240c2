"""Held-out sessions for measuring the recall of an index."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data.fingerprint import changes
from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.datasets.download import DownloadError

_AT_ONCE = 256


def held_out_vectors(checkpoint: Checkpoint, most: int = 2000) -> Tensor | None:
    """Session vectors of evenly spaced samples that follow the training sessions.

    Targets are not read.

    Args:
        checkpoint: The model, with its dataset.
        most: Samples at most. (default: 2000)

    Returns:
        Session vectors [Q, d], or None if the dataset is missing or has changed.
    """
    try:
        part = open_dataset(
            checkpoint.dataset, "test" if checkpoint.split == "trainval" else "valid"
        )
    except (ValueError, OSError, DownloadError):
        return None
    changed = checkpoint.data is not None and changes(checkpoint.data, part.fingerprint)
    if changed or part.vocabulary != checkpoint.vocabulary or not len(part):
        return None
    numbers = torch.linspace(0, len(part) - 1, min(most, len(part))).long()
    with torch.inference_mode():
        vectors = [checkpoint.model(part.batch(some)) for some in torch.split(numbers, _AT_ONCE)]
    return torch.cat(vectors)
