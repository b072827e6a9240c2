"""Datasets of sessions, one a file: where each comes from and how it is split."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pyg_srgnn.datasets.base import SPLITS, SessionDataset
from pyg_srgnn.datasets.diginetica import Diginetica
from pyg_srgnn.datasets.synthetic import Synthetic
from pyg_srgnn.datasets.yoochoose import Yoochoose

__all__ = [
    "DATASETS",
    "SPLITS",
    "Diginetica",
    "SessionDataset",
    "Synthetic",
    "Yoochoose",
    "open_dataset",
]

DATASETS: dict[str, Callable[..., SessionDataset]] = {
    "synthetic": Synthetic,
    "diginetica": Diginetica,
    "yoochoose1_64": partial(Yoochoose, fraction=64),
    "yoochoose1_4": partial(Yoochoose, fraction=4),
}


def open_dataset(settings: Mapping[str, Any], split: str) -> SessionDataset:
    """Open one split of a dataset from its name and arguments, such as a configuration holds.

    Args:
        settings: ``name``, one of :data:`DATASETS`, and that class's arguments.
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``.

    Raises:
        ValueError: If the name is unknown or an argument out of its range.
    """
    arguments = dict(settings)
    name = arguments.pop("name")
    if name not in DATASETS:
        raise ValueError(f"dataset.name must be one of {', '.join(DATASETS)} (got {name!r})")
    try:
        return DATASETS[name](split=split, **arguments)
    except ValueError as error:
        raise ValueError(f"dataset={name}: {error}") from error
