"""The result of a run, as ``metrics.json`` holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

from pyg_srgnn.utils.files import write_text

METRICS_FILE = "metrics.json"
OPTIMUM = "optimum"  # beside the scorers of RunResult.targets
Metrics: TypeAlias = dict[str, float]  # as fractions, such as {"hr@20": 0.5}

_LATER = {"pruned", "device"}  # keys that files of early versions lack
_OPTIONAL = {
    "targets",
    "categories",
    "data",
    "optimum",
    "best_epochs",
    "members",
    "distil",
    "positions",
    "window",
}  # keys that are written where there is a value
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The result of a finished run: its epochs, its metrics and its costs.

    The fields are in the order of the keys of the file.
    """

    dataset: str
    protocol: str
    """``"honest"`` or ``"literature"``."""
    refit: bool | str = False
    """Whether the tested model was trained on the validation sessions, too; ``"only"`` if no
    epoch was chosen before."""
    model: str
    seed: int
    epochs: int = 0
    """Epochs trained before the refit; 0 of a baseline."""
    best_epoch: int = 0
    pruned: int | None = None
    """The epoch after which a sweep stopped the run, which is not tested then."""
    valid: Metrics | None = None
    test: Metrics | None = None
    """Metrics on the test set; None where it was not read. With ``protocol="literature"``, each is
    the best over the epochs."""
    baselines: dict[str, dict[str, Metrics]] = field(default_factory=dict)
    """Metrics of each baseline: ``{"markov": {"test": {…}}}``."""
    targets: dict[str, dict[str, Metrics]] | None = None
    """Metrics on the test set of the model, of each baseline and, where it is known, of the
    ``"optimum"`` over warm, rare and cold targets: ``{"srgnn": {"cold": {"samples": 9, …}}}``."""
    categories: dict[str, dict[str, dict[str, Metrics]]] | None = None
    """HR@20 and MRR@20 on the test set of the model and of each baseline, by the column of
    categories and the target's value in it:
    ``{"srgnn": {"category": {"shoes": {"samples": 9, …}}}}``."""
    checkpoint: str | None = None
    """Path of the final checkpoint within the run's directory."""
    data: dict[str, Any] | None = None
    """Fingerprint of the data."""
    samples: dict[str, int] = field(default_factory=dict)
    """Samples of the ``"train"`` and ``"test"`` part."""
    optimum: dict[str, Metrics] | None = None
    """Metrics of the true distribution, where it is known: ``{"test": {…}}``."""
    samples_per_second: float = 0.0
    train_seconds: float = 0.0
    device: str = "cpu"
    parameters: int = 0
    """Number of parameters, or of a baseline's counts; 0 with ``protocol="literature"``."""
    versions: dict[str, str] = field(default_factory=dict)
    best_epochs: dict[str, int] | None = None
    """The best epoch of each metric, of ``protocol="literature"``."""
    members: dict[str, Any] | None = None
    """Kind, weights and temperature of each model that was mixed, by its run:
    ``{"runs/a": {"model": "srgnn", "new_weight": 0.6, …}}``."""
    distil: dict[str, Any] | None = None
    """The run that the model was trained towards, the kind of its model, and the weight of it:
    ``{"run": "runs/a", "model": "mixture", "weight": 0.5}``."""
    positions: str | None = None
    """``"last"`` where each session's last click alone was a target; None of every click."""
    window: dict[str, Any] | None = None
    """The window of a rolling evaluation that was the test set: its ``number`` of ``windows``, its
    length ``window``, and its times ``from`` and ``to``."""
    others: dict[str, Any] = field(default_factory=dict)
    """Keys that this version does not know."""

    @property
    def chosen_by(self) -> Metrics | None:
        """The metrics that a sweep compares: on validation, else on the test set."""
        return self.valid or self.test

    def to_json(self) -> str:
        """The text of ``metrics.json``."""
        values = {of.name: getattr(self, of.name) for of in fields(self) if of.name != "others"}
        written = {
            key: value for key, value in values.items() if value is not None or key not in _OPTIONAL
        }
        return json.dumps(written | self.others, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str | Path = METRICS_FILE) -> RunResult:
        """Read the text of ``metrics.json``, of this version or an earlier one.

        Args:
            text: The text.
            source: The file, for errors. (default: ``"metrics.json"``)

        Raises:
            ValueError: If the text is no such JSON; names the file and the key.
        """
        try:
            held = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{source} is no JSON ({error})") from error
        if not isinstance(held, dict):
            raise ValueError(f"{source}: expected an object of a run's results, found {held!r:.40}")
        known = [of.name for of in fields(cls) if of.name != "others"]
        hints = get_type_hints(cls)
        for key in known:
            if key not in held:
                if key not in _LATER | _OPTIONAL:
                    raise ValueError(f"{source}: there is no key {key!r}; is it a run's?")
            elif not _fits(held[key], hints[key]):
                raise ValueError(
                    f"{source}: {key}: expected {_expected(hints[key])}, found {held[key]!r:.40}"
                )
        others = {key: value for key, value in held.items() if key not in known}
        return cls(**{key: held[key] for key in known if key in held}, others=others)

    @classmethod
    def read(cls, run_dir: str | Path) -> RunResult:
        """Read the ``metrics.json`` of a run's directory.

        Raises:
            ValueError: If the run is not finished, or as in :meth:`from_json`.
        """
        path = Path(run_dir, METRICS_FILE)
        try:
            return cls.from_json(path.read_text(encoding="utf-8"), path)
        except FileNotFoundError:
            raise ValueError(
                f"{run_dir} holds no finished run: there is no {METRICS_FILE}"
            ) from None

    def write(self, run_dir: str | Path) -> None:
        """Write ``metrics.json`` into a run's directory, whole or not at all."""
        write_text(Path(run_dir, METRICS_FILE), self.to_json())


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of JSON is of a field's type."""
    if kind is Any:
        return True
    if get_origin(kind) is UnionType:
        return any(_fits(value, each) for each in get_args(kind))
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        return isinstance(value, Mapping) and all(_fits(v, inner) for v in value.values())
    return type(value) in (int, float) if kind is float else type(value) is kind


def _expected(kind: Any) -> str:
    """A field's type in words."""
    if get_origin(kind) is UnionType:
        return " or ".join(map(_expected, get_args(kind)))
    if get_origin(kind) is dict:
        return "an object"
    return "null" if kind is type(None) else _KINDS[kind]
