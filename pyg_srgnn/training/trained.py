"""Opens the trained runs that a run is made of: members of a mixture, or a teacher."""

from __future__ import annotations

from pathlib import Path

import torch

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data.fingerprint import require_same_data
from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.runs.result import RunResult


def open_trained(run: str, training: SessionDataset, key: str) -> Checkpoint:
    """Open the model that a run trained on the same sessions, or on fewer of them.

    A run with ``refit`` has two models. The one that has not seen the validation sessions is taken
    for a run on the split ``train``, the other for one on ``trainval``.

    Args:
        run: The directory of a finished run, or a checkpoint file.
        training: The sessions that this run trains on, or fits weights beside.
        key: The key that names it, for errors.

    Raises:
        ValueError: If there is no such model, or it was trained on other data, or on sessions that
            validate this run, or chosen on the test set.
    """
    name = f"{key}={run}"
    found = _open(Path(run), training.split, name)
    require_same_data(
        found.data, training.fingerprint, name, "Train it, or this run, on the same data"
    )
    if found.vocabulary != training.vocabulary:  # of a run of an earlier version
        raise ValueError(
            f"{name}: it knows {len(found.vocabulary)} items, but {training} holds others"
        )
    if found.protocol != "honest":
        raise ValueError(
            f"{name}: it was chosen on the test set (protocol={found.protocol}); expected "
            f"protocol=honest"
        )
    clicks = torch.bincount(training.sessions.items, minlength=training.num_items)
    if training.split == "train" and not torch.equal(found.clicks, clicks):
        raise ValueError(
            f"{name}: it was trained on {int(found.clicks.sum()):,} clicks "
            f"(split={found.split}, dataset.valid={found.dataset.get('valid')}), and this run has "
            f"{int(clicks.sum()):,}; the others validate. Expected a model of the same training "
            f"sessions, with the same dataset.valid and without refit=only, or refit=only here, too"
        )
    return found


def _open(path: Path, split: str, name: str) -> Checkpoint:
    """The checkpoint of a finished run for a split, or a file.

    Raises:
        ValueError: If there is none.
    """
    if path.is_dir():
        try:
            result = RunResult.read(path)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        if result.checkpoint is None:
            raise ValueError(f"{name}: model={result.model} has no weights; expected a trained one")
        kept = ("best",) if split == "train" else ("refit", "best")
        files = [path / "checkpoints" / f"{each}.ckpt" for each in kept]
        here = [file for file in files if file.is_file()]
        if not here:
            raise ValueError(
                f"{name}: it has no {files[-1].relative_to(path)}, a model that has not seen the "
                f"validation sessions; refit={result.refit} trained it, expected refit=false or "
                f"refit=true; or refit=only here, too"
            )
        path = here[0]
    try:
        return Checkpoint.load(path)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{name}: {str(error).removeprefix(f'checkpoint={path}: ')}") from error
