"""Base class of raw click logs whose clicks have types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch_geometric.data import Data

from pyg_srgnn.datasets.click_log import RawDataset
from pyg_srgnn.utils.arguments import checking


class TypedDataset(RawDataset):
    """A benchmark made from its raw click log, which has a column of types.

    A subclass gives :attr:`event` and :attr:`types` beside what
    :class:`~pyg_srgnn.datasets.click_log.RawDataset` asks for.

    Args:
        root: Folder of all datasets. (default: ``"datasets"``)
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``. (default: ``"train"``)
        valid: What part of the training sessions validates. (default: 0.1)
        mirror: Folder or URL looked at before the built-in sources. (default: None)
        transform: Applied to every ``Data`` on access. (default: None)
        engine: What runs the preparation: ``"polars"`` or ``"spark"``. (default: ``"polars"``)
        events: The types of clicks that are read, with the weights of targets in the loss; see
            :class:`~pyg_srgnn.clicklog.spec.Preparation`, as for the next two. (default: those of
            the class)
        targets: Types of the clicks that are predicted. (default: None, all)
        pauses: ``"time"`` keeps the seconds before each click. (default: None)

    Raises:
        ValueError: If an argument is out of its range, or the files do not hold what they should.
        DownloadError: If no source gives a file.
    """

    event: str
    """The column of types."""

    types: Mapping[str, float] | None = None
    """Types and weights where none are given; None: those of :attr:`preparation`."""

    def __init__(
        self,
        root: str | Path = "datasets",
        split: str = "train",
        valid: float | str = 0.1,
        mirror: str | Path | None = None,
        transform: Callable[[Data], Data] | None = None,
        *,
        engine: str = "polars",
        events: Mapping[str, float] | None = None,
        targets: Sequence[str] | None = None,
        pauses: str | None = None,
    ) -> None:
        rules: dict[str, Any] = {"targets": targets, "pauses": pauses}
        if isinstance(events, Mapping):
            rules["where"] = {self.event: list(events)}
        given = self.types if events is None else events
        if given is not None:
            rules |= {"event": self.event, "events": given}
        with checking(self):
            self.preparation = replace(type(self).preparation, **rules)
        super().__init__(root, split, valid, mirror, transform, engine=engine)
