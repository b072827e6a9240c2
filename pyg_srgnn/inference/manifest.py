"""Reads the manifest of an exported model, and checks the other files against it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from math import prod
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from pyg_srgnn.functional.lookups import LOOKUPS, PLACES, check_tables
from pyg_srgnn.inference.catalogue import PRECISIONS
from pyg_srgnn.inference.formats import FILES

MANIFEST = "manifest.json"
FORMAT, VERSION = "pyg_srgnn export", 2
WEIGHTS, VOCABULARY, CARD = "weights.safetensors", "vocabulary.json", "model_card.md"
INDEX = "index.safetensors"
ENCODERS = ("graphs", "steps")

# Bytes, at most.
_HEADER = 64 << 10  # of a file of safetensors
_ID = 512 * 12 + 4  # of an id in JSON: as many characters as a request may have, all escaped
_GRAPH = 16 << 20  # of an encoder without its matrices
_MATRICES = 64  # [d, d], of a layer or a component of an encoder
_DTYPES = {"float32": torch.float32, "int32": torch.int32, "int64": torch.int64}


@dataclass(frozen=True)
class Table:
    """Type and shape of a tensor in :data:`WEIGHTS`.

    Args:
        dtype: ``"float32"``, ``"int32"`` or ``"int64"``.
        shape: Its sizes.
    """

    dtype: str
    shape: list[int]

    @classmethod
    def of(cls, tensor: Tensor) -> Table:
        """The type and shape of a tensor."""
        return cls(str(tensor.dtype).removeprefix("torch."), list(tensor.shape))

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return _DTYPES[self.dtype].itemsize * prod(self.shape)

    def __str__(self) -> str:
        """Type and shape."""
        return f"{self.dtype} {self.shape}"


@dataclass(frozen=True)
class ExportedComponent:
    """A component of the mixture; see :mod:`pyg_srgnn.functional.mixture`.

    Args:
        name: Its name.
        lookup: The function of :data:`~pyg_srgnn.functional.lookups.LOOKUPS` that finds its
            candidates.
        exclusive: Whether these get probability from it alone.
        tables: The tensors that the lookup reads: the name in :data:`WEIGHTS` of each argument.
        known: The encoder's argument that takes the gate's input from the lookup, or None.
        gate: The encoder's result that has the gate's logit.
        log_share: The encoder's result that has the candidates' log-probabilities, or None if the
            lookup finds their probabilities.
    """

    name: str
    lookup: str
    exclusive: bool
    tables: dict[str, str]
    known: str | None
    gate: str
    log_share: str | None


@dataclass(frozen=True)
class Facts:
    """Facts of an exported model that scoring needs.

    Args:
        encoder: ``"graphs"``, which takes session graphs, or ``"steps"``, which takes a click at a
            time.
        layers: Layers of an encoder of steps.
        attends: Whether the encoder gives the attention of the clicks.
        log_probabilities: Whether scores are log-probabilities, those of a mixture.
        components: The mixture's components, the innermost first.
        tables: The tensors in :data:`WEIGHTS` by their names: ``item_vectors`` [V, d], which are
            multiplied with session vectors; ``clicks`` [V] of each item in training;
            ``clicked_vectors`` [V, d], what clicked items enter the encoder as, where these are
            others; and those of the components.
    """

    encoder: str
    layers: int
    attends: bool
    log_probabilities: bool
    components: list[ExportedComponent]
    tables: dict[str, Table]

    @property
    def num_items(self) -> int:
        """Number of items V in the catalogue."""
        return self.tables["item_vectors"].shape[0]

    @property
    def channels(self) -> int:
        """Size d of an item's vector."""
        return self.tables["item_vectors"].shape[1]

    @classmethod
    def from_json(cls, found: Any) -> Facts:
        """Read the facts from the values of :func:`dataclasses.asdict`.

        Raises:
            ValueError: If a fact is missing or out of its range; names it.
        """
        facts: Facts = _read(cls, found, "scorer")
        tables = facts.tables
        _one_of("scorer.encoder", facts.encoder, ENCODERS)
        _size("scorer.layers", facts.layers)
        for name, table in tables.items():
            _one_of(f"scorer.tables.{name}.dtype", table.dtype, _DTYPES)
            for size in table.shape:
                _size(f"scorer.tables.{name}.shape", size)
        shape = tables["item_vectors"].shape if "item_vectors" in tables else []
        if len(shape) != 2:
            raise ValueError(f"scorer.tables.item_vectors must be a matrix (got {shape})")
        vectors = Table("float32", shape)
        expected = {"item_vectors": vectors, "clicks": Table("int64", shape[:1])}
        if "clicked_vectors" in tables:
            expected["clicked_vectors"] = vectors
        for name, table in expected.items():
            if tables.get(name) != table:
                raise ValueError(f"scorer.tables.{name} must be {table} (got {tables.get(name)})")
        for component in facts.components:
            where = f"scorer.components: {component.name}"
            _one_of(f"{where}.lookup", component.lookup, LOOKUPS)
            shapes = LOOKUPS[component.lookup].shapes
            if component.tables.keys() != shapes.keys():
                wanted, there = list(shapes), list(component.tables)
                raise ValueError(f"{where}.tables must be of {wanted} (got {there})")
            for name in component.tables.values():
                _one_of(f"{where}.tables", name, tables)
        if facts.log_probabilities != bool(facts.components):
            raise ValueError(
                f"scorer.log_probabilities must be {bool(facts.components)} with "
                f"{len(facts.components)} components (got {facts.log_probabilities})"
            )
        return facts

    def bounds(self, encoder: str) -> dict[str, int]:
        """Bytes that each file may have at most.

        Args:
            encoder: Name of the encoder's file.
        """
        layers = self.layers + len(self.components)
        return {
            encoder: _GRAPH + 4 * _MATRICES * layers * self.channels**2,
            WEIGHTS: _HEADER + sum(table.nbytes for table in self.tables.values()),
            VOCABULARY: 2 + _ID * self.num_items,
            INDEX: _HEADER + (8 + 4 * self.channels) * self.num_items,
        }

    def check(self, weights: Mapping[str, Tensor]) -> None:
        """Check that tensors are those of the model.

        Raises:
            ValueError: If one is missing, has another type or shape, or indices beyond it.
        """
        for name, table in self.tables.items():
            found = Table.of(weights[name]) if name in weights else "nothing"
            if found != table:
                raise ValueError(f"{name} must be {table} (got {found})")
        for component in self.components:
            tables = {name: weights[tensor] for name, tensor in component.tables.items()}
            check_tables(component.lookup, tables, self.num_items)


def read_manifest(data: bytes) -> tuple[dict[str, Any], Facts]:
    """Read a manifest, and its facts.

    Raises:
        ValueError: If an entry is missing or out of its range; names it.
    """
    found = json.loads(data.decode("utf-8"))
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"expected a JSON object whose format is {FORMAT!r}")
    if found.get("version") not in (1, VERSION):
        raise ValueError(
            f"its version is {found.get('version')!r}; this pyg_srgnn reads 1 and {VERSION}"
        )
    _one_of("export", found.get("export"), FILES)
    _one_of("precision", found.get("precision"), PRECISIONS)
    found.setdefault("sizes", {})  # the first exports had none
    for key in ("model", "dataset", "files", "sizes"):
        _read(dict, found.get(key), key)
    for key in ("split", "protocol"):
        _read(str, found.get(key), key)
    if found["version"] == 1:
        found["scorer"] = asdict(_facts_of_version_1(found["model"]))
    return found, Facts.from_json(found.get("scorer"))


def _facts_of_version_1(model: Mapping[str, Any]) -> Facts:
    """The facts of a manifest of version 1, which had the model's settings instead.

    Raises:
        ValueError: If a setting is out of its range.
    """
    _one_of("model.name", model.get("name"), ("srgnn", "gru4rec"))
    usual = {"num_items": 0, "channels": 100, "num_layers": 1, "transitions": 1}
    sizes: list[int] = [model.get(name) or size for name, size in usual.items()]
    for name, size in zip(usual, sizes, strict=True):
        _size(f"model.{name}", size)
    items, channels, layers, kept = sizes
    vectors = Table("float32", [items, channels])
    tables = {"item_vectors": vectors, "clicks": Table("int64", [items])}
    if model.get("neighbours"):
        tables["clicked_vectors"] = vectors
    components = []
    if model.get("transitions"):
        counted = {
            "followers": Table("int32", [items, kept]),
            "count": Table("float32", [items, kept]),
            "place_weight": Table("float32", [PLACES]),
        }
        tables |= counted
        names = {name: name for name in counted}
        components.append(
            ExportedComponent("transitions", "followers", False, names, "known", "trust", None)
        )
    if model.get("repeat"):
        components.append(
            ExportedComponent("repeat", "own_items", True, {}, None, "again", "within")
        )
    graphs = model["name"] == "srgnn"
    attends = graphs and model.get("readout", "hybrid") in ("hybrid", "attention")
    encoder = "graphs" if graphs else "steps"
    return Facts(encoder, layers, attends, bool(components), components, tables)


def _read(kind: Any, found: Any, where: str) -> Any:
    """A value of a type, dataclasses included, from plain values.

    Raises:
        ValueError: If it is of another type.
    """
    outer, inner = get_origin(kind) or kind, get_args(kind)
    if is_dataclass(kind) and isinstance(found, dict):
        types = get_type_hints(kind)
        return outer(
            **{key: _read(of, found.get(key), f"{where}.{key}") for key, of in types.items()}
        )
    if outer is list and inner and isinstance(found, list):
        return [_read(inner[0], each, where) for each in found]
    if outer is dict and inner and isinstance(found, dict):
        return {key: _read(inner[1], each, f"{where}.{key}") for key, each in found.items()}
    if not isinstance(found, kind if outer is UnionType else outer):
        expected = "dict" if is_dataclass(kind) else getattr(kind, "__name__", kind)
        raise ValueError(f"{where} must be a {expected} (got {found!r})")
    return found


def _one_of(name: str, found: Any, allowed: Iterable[str]) -> None:
    if found not in tuple(allowed):
        raise ValueError(f"{name} must be one of {', '.join(allowed)} (got {found!r})")


def _size(name: str, size: Any) -> None:
    if type(size) is not int or not 0 < size < 1 << 31:
        raise ValueError(f"{name} must be a whole number >= 1 (got {size!r})")
