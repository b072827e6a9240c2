"""The manifest of an exported model: what its other files are, and how they are used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

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
        known: The encoder's argument that takes what the lookup knows of each session, or None.
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
    """What scoring with an exported model has to know of it.

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

    def to_json(self) -> dict[str, Any]:
        """The facts as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Any) -> Facts:
        """Read what :meth:`to_json` gives.

        Raises:
            ValueError: If something is missing or odd; names it.
        """
        kinds = {"encoder": str, "layers": int, "attends": bool, "log_probabilities": bool}
        facts = _values(found, "scorer", kinds | {"components": list, "tables": dict})
        _one_of("scorer.encoder", facts["encoder"], ENCODERS)
        _size("scorer.layers", facts["layers"])
        tables = {name: _table(name, each) for name, each in facts.pop("tables").items()}
        vectors = tables.get("item_vectors", Table("float32", []))
        if len(vectors.shape) != 2:
            raise ValueError(f"scorer.tables.item_vectors must be a matrix (got {vectors})")
        expected = {
            "item_vectors": Table("float32", vectors.shape),
            "clicks": Table("int64", vectors.shape[:1]),
            "clicked_vectors": Table("float32", vectors.shape),
        }
        for name, table in expected.items():
            if tables.get(name, table if name == "clicked_vectors" else None) != table:
                raise ValueError(
                    f"scorer.tables.{name} must be {table} (got {tables.get(name, 'nothing')})"
                )
        components = [_component(each, tables) for each in facts.pop("components")]
        return cls(**facts, components=components, tables=tables)

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
    """The manifest, with everything that loading asks for, and its facts.

    Raises:
        ValueError: If something is missing or odd.
    """
    found = json.loads(data.decode("utf-8"))
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"expected a JSON object whose format is {FORMAT!r}")
    if found.get("version") not in (1, VERSION):
        raise ValueError(
            f"its version is {found.get('version')!r}; this pyg_srgnn reads 1 and {VERSION}"
        )
    _one_of("export", found.get("export"), tuple(FILES))
    _one_of("precision", found.get("precision"), PRECISIONS)
    found.setdefault("sizes", {})  # the first exports had none
    kinds = dict.fromkeys(("model", "dataset", "files", "sizes"), dict)
    _values(found, "", kinds | dict.fromkeys(("split", "protocol"), str))
    if found["version"] == 1:
        found["scorer"] = _facts_of_version_1(found["model"])
    return found, Facts.from_json(found.get("scorer"))


def _facts_of_version_1(model: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a manifest of version 1, which had the model's settings instead.

    Raises:
        ValueError: If a setting is odd.
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
    return Facts(encoder, layers, attends, bool(components), components, tables).to_json()


def _component(found: Any, tables: Mapping[str, Table]) -> ExportedComponent:
    kinds: dict[str, type | tuple[type, ...]] = {
        **{"name": str, "lookup": str, "exclusive": bool, "tables": dict},
        **{"known": (str, type(None)), "gate": str, "log_share": (str, type(None))},
    }
    where = "scorer.components"
    component = ExportedComponent(**_values(found, where, kinds))
    _one_of(f"{where}.lookup", component.lookup, tuple(LOOKUPS))
    expected = list(LOOKUPS[component.lookup].shapes)
    if sorted(component.tables) != sorted(expected):
        raise ValueError(f"{where}.tables must be of {expected} (got {list(component.tables)})")
    for name in component.tables.values():
        _one_of(f"{where}.tables", name, tuple(tables))
    return component


def _table(name: str, found: Any) -> Table:
    where = f"scorer.tables.{name}"
    table = Table(**_values(found, where, {"dtype": str, "shape": list}))
    _one_of(f"{where}.dtype", table.dtype, tuple(_DTYPES))
    for size in table.shape:
        _size(f"{where}.shape", size)
    return table


def _values(found: Any, where: str, kinds: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """The values of an object, each of its kind.

    Raises:
        ValueError: If one is missing or of another kind.
    """
    if not isinstance(found, dict):
        raise ValueError(f"{where} must be a dict (got {found!r})")
    for name, kind in kinds.items():
        if not isinstance(found.get(name), kind):
            expected = kind.__name__ if isinstance(kind, type) else "str or null"
            key = f"{where}.{name}" if where else name
            raise ValueError(f"{key} must be a {expected} (got {found.get(name)!r})")
    return {name: found[name] for name in kinds}


def _one_of(name: str, found: Any, allowed: tuple[str, ...]) -> None:
    if found not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)} (got {found!r})")


def _size(name: str, size: Any) -> None:
    if type(size) is not int or not 0 < size < 1 << 31:
        raise ValueError(f"{name} must be a whole number >= 1 (got {size!r})")
