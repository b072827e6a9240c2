"""Keeps the results of baselines beside their data, so that they are counted once."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.data.fingerprint import fingerprint
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.datasets.loader import SessionLoader
from pyg_srgnn.utils.files import written_aside

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[1]
_CODE = (
    "baselines",
    "data",
    "datasets",
    "evaluation",
    "functional",
)  # folders that a result depends on


class Result(NamedTuple):
    """What :func:`pyg_srgnn.evaluation.loop.evaluate_rows` says of a baseline."""

    metrics: dict[str, float]
    targets: dict[str, dict[str, float]]
    """Those of warm, rare and cold targets."""
    ranks: Tensor
    """Rank of every sample's target [n]."""


class KeptResults:
    """The results of baselines on some samples, kept in ``root/name/baselines``.

    A result is found again if the sessions, the vocabulary, the baseline's arguments, the metrics
    and the code that counts are the same; else it is counted again, as is every baseline of another
    package. A folder that cannot be written to keeps nothing, which a warning says.

    Args:
        training: The sessions that the baselines are fitted to.
        loader: The samples: all of a split, in this process.
        ties: See :func:`pyg_srgnn.evaluation.metrics.ranks`.
        beyond: Names of metrics beyond accuracy; see :mod:`pyg_srgnn.evaluation.beyond`.
    """

    def __init__(
        self, training: SessionDataset, loader: SessionLoader, ties: str, beyond: Sequence[str]
    ) -> None:
        dataset = loader.source
        self.folder = Path(dataset.root, dataset.name, "baselines")
        self.num_samples = len(dataset)
        # A part of a split, or of its processes, is not kept, nor what depends on a model.
        whole = dataset._indices is None and dataset.transform is None
        self._whole = whole and loader.whole and "diversity" not in beyond
        self._data = training.sessions, dataset.sessions, dataset.vocabulary
        self._settings = {
            "ties": ties,
            "beyond": list(beyond),
            "recall": str(dataset.recall),
            "events": list(dataset.events),
        }

    @cached_property
    def _key(self) -> dict[str, Any]:
        return self._settings | {
            "data": fingerprint(*self._data),
            "code": _code(),
            "torch": torch.__version__,
        }

    def keeps(self, baseline: str) -> bool:
        """Whether the result of a baseline is kept: the code of another package is in no key."""
        return self._whole and BASELINES[baseline].__module__.startswith("pyg_srgnn.")

    def path(self, baseline: str) -> Path:
        """The file of a baseline's result."""
        arguments = inspect.signature(BASELINES[baseline].fit).parameters.values()
        key = self._key | {"arguments": [str(argument) for argument in arguments]}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        return self.folder / f"{baseline}-{digest}.safetensors"

    def read(self, baseline: str) -> Result | None:
        """The result of a baseline; None where there is none, or its file is damaged."""
        if not self.keeps(baseline) or not (path := self.path(baseline)).is_file():
            return None
        try:
            with safe_open(path, "pt") as file:
                found = json.loads(file.metadata()["result"])
                ranks = file.get_tensor("ranks")
            if ranks.shape != (self.num_samples,):
                raise ValueError(f"{len(ranks):,} ranks, expected {self.num_samples:,}")
            return Result(found["metrics"], found["targets"], ranks)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            log.warning("%s is damaged (%s); it is counted again", path, error)
            return None

    def write(self, baseline: str, result: Result) -> None:
        """Keep the result of a baseline."""
        if not self.keeps(baseline):
            return
        path = self.path(baseline)
        found: dict[str, Any] = {"metrics": result.metrics, "targets": result.targets}
        try:
            with written_aside(path) as aside:
                save_file({"ranks": result.ranks}, aside, {"result": json.dumps(found)})
        except OSError as error:
            log.warning("%s was not kept: %s", path, error)


@cache
def _code() -> str:
    """A hash of the code that a result depends on."""
    digest = hashlib.sha256()
    for folder in _CODE:
        for file in sorted((_PACKAGE / folder).glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
