"""Datasets of sessions."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pyg_srgnn.datasets.base import SPLITS, SessionDataset
from pyg_srgnn.datasets.click_log import ClickLog, RawDataset
from pyg_srgnn.datasets.diginetica import Diginetica, DigineticaRaw
from pyg_srgnn.datasets.loader import SessionLoader
from pyg_srgnn.datasets.nowplaying import Nowplaying, NowplayingRaw
from pyg_srgnn.datasets.online_retail import OnlineRetail
from pyg_srgnn.datasets.otto import Otto
from pyg_srgnn.datasets.retailrocket import RetailRocket
from pyg_srgnn.datasets.scientific import Scientific
from pyg_srgnn.datasets.synthetic import Synthetic
from pyg_srgnn.datasets.tmall import Tmall, TmallRaw
from pyg_srgnn.datasets.yoochoose import Yoochoose, YoochooseRaw
from pyg_srgnn.utils.arguments import ArgumentError

__all__ = [
    "DATASETS",
    "SPLITS",
    "ClickLog",
    "Diginetica",
    "DigineticaRaw",
    "Nowplaying",
    "NowplayingRaw",
    "OnlineRetail",
    "Otto",
    "RawDataset",
    "RetailRocket",
    "Scientific",
    "SessionDataset",
    "SessionLoader",
    "Synthetic",
    "Tmall",
    "TmallRaw",
    "Yoochoose",
    "YoochooseRaw",
    "open_dataset",
]

DATASETS: dict[str, Callable[..., SessionDataset]] = {
    "synthetic": Synthetic,
    "click_log": ClickLog,
    "diginetica": Diginetica,
    "diginetica_raw": DigineticaRaw,
    "yoochoose1_64": Yoochoose,
    "yoochoose1_64_raw": partial(YoochooseRaw, fraction=64),
    "yoochoose1_4": partial(YoochooseRaw, fraction=4),
    "yoochoose": YoochooseRaw,
    "retailrocket": RetailRocket,
    "otto": Otto,
    "online_retail": OnlineRetail,
    "scientific": Scientific,
    "tmall": Tmall,
    "tmall_raw": TmallRaw,
    "nowplaying": Nowplaying,
    "nowplaying_raw": NowplayingRaw,
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
    except ArgumentError as error:
        keys = {f"dataset.{argument}": wrong for argument, wrong in error}
        raise ArgumentError(f"dataset={name}", keys) from error
    except ValueError as error:
        raise ValueError(f"dataset={name}: {error}") from error
