"""Datasets of sessions."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
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
from pyg_srgnn.datasets.window import Window, WindowDataset, known_to
from pyg_srgnn.datasets.yoochoose import Yoochoose, YoochooseRaw
from pyg_srgnn.utils.arguments import ArgumentError, Wrong
from pyg_srgnn.utils.packages import Registry

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
    "Window",
    "WindowDataset",
    "Yoochoose",
    "YoochooseRaw",
    "known_to",
    "open_dataset",
]

DATASETS: Registry[Callable[..., SessionDataset]] = Registry(
    "dataset",
    "pyg_srgnn.datasets",
    {
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
    },
)


def open_dataset(settings: Mapping[str, Any], split: str) -> SessionDataset:
    """Open one split of a dataset from its name and arguments, such as a configuration holds.

    Args:
        settings: ``name``, one of :data:`DATASETS` or of an installed package that adds it, and
            that class's arguments; perhaps ``window``, the arguments of
            :class:`~pyg_srgnn.datasets.window.Window`.
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``.

    Raises:
        ValueError: If the name is unknown or an argument out of its range.
    """
    arguments = dict(settings)
    name, given = arguments.pop("name"), arguments.pop("window", None)
    window = None if given is None else Window(**given)
    if name not in DATASETS:
        raise ValueError(
            f"dataset.name must be one of {', '.join(DATASETS.names())} (got {name!r}); one of "
            f"another package needs that package, with an entry point {DATASETS.group}"
        )
    made = DATASETS[name]
    required = [
        each.name
        for each in inspect.signature(made).parameters.values()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if missing := [each for each in required if each != "split" and each not in arguments]:
        raise ArgumentError(
            f"dataset={name}",
            {f"dataset.{each}": Wrong("set, it has no default", None) for each in missing},
        )
    try:
        if window is not None:
            return _open_window(made, window, split, arguments)
        return made(split=split, **arguments)
    except ArgumentError as error:
        keys = {f"dataset.{argument}": wrong for argument, wrong in error}
        raise ArgumentError(f"dataset={name}", keys) from error
    except ValueError as error:
        raise ValueError(f"dataset={name}: {error}") from error


def _open_window(
    make: Callable[..., SessionDataset], window: Window, split: str, arguments: dict[str, Any]
) -> SessionDataset:
    """Open a split of a window of a dataset."""
    valid = arguments.pop("valid", 0.1)
    made, more = (make.func, make.keywords) if isinstance(make, partial) else (make, {})
    assert isinstance(made, type)
    if not issubclass(made, RawDataset):
        return WindowDataset(make(split="trainval", **arguments), None, window, split, valid)
    # The same dataset, prepared without the rules that would count clicks behind the window.
    uncounted = type(made.__name__, (made,), {"uncounted": True})
    whole = uncounted(split="trainval", **more, **arguments)
    if whole.known() is not None:
        raise ValueError(
            "evaluation=rolling: dataset.vocabulary must be null; every window has a catalogue of "
            "its own"
        )
    rules = whole.rules
    if getattr(whole, "prepared", None) is not None:  # it has been through the rules that count
        rules = replace(rules, min_support=1, drop_longer=None, until_stable=False, recent=1)
    return WindowDataset(whole, rules, window, split, valid)
