"""Reads the manifest of an exported model, and checks the other files against it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from math import prod
from types import UnionType
from typing import Any, Protocol, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from pyg_srgnn.functional.earlier import OlderPart
from pyg_srgnn.functional.lookups import LOOKUPS, PLACES, check_tables
from pyg_srgnn.functional.marks import MARKS
from pyg_srgnn.functional.mixture import CLICKED, ITEMS, ExportedComponent, ExportedExpert
from pyg_srgnn.inference.choice import AUTO, CHOICES
from pyg_srgnn.inference.formats import FILES
from pyg_srgnn.inference.mixture_facts import MixtureFacts

MANIFEST = "manifest.json"
FORMAT, VERSION = "pyg_srgnn export", 5
WEIGHTS, VOCABULARY, CARD = "weights.safetensors", "vocabulary.json", "model_card.md"
INDEX = "index.safetensors"
ENCODERS = ("graphs", "steps")

# Bytes, at most.
_HEADER = 64 << 10  # of a file of safetensors
_ID = 512 * 12 + 4  # of an id in JSON: as many characters as a request may have, all escaped
_GRAPH = 16 << 20  # of an encoder without its matrices
_MATRICES = 64  # [d, d], of a layer or a component of an encoder
_OF_TEXTS = ("text_vectors", "text_mean", "text_directions", "text_to_item", "text_factor")
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


class Described(Protocol):
    """An encoder in memory; see :class:`Facts` for what describes it."""

    kind: str
    layers: int
    attends: bool
    components: list[ExportedComponent]
    experts: list[ExportedExpert]
    num_trained: int
    normalised: bool
    extensible: bool
    num_events: int
    num_earlier: int
    marks: dict[str, str]
    older: dict[str, str]


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
        tables: The tensors in :data:`WEIGHTS` by their names: ``item_vectors`` [S, d], which are
            multiplied with session vectors, of the first S items, all or those trained; ``clicks``
            [V] of each item in training; ``clicked_vectors`` [V, d], what clicked items enter the
            encoder as, where these are others, with fewer columns where the last ones of item
            vectors are further terms of a score; those of the components and experts; and of a
            model with texts
            ``text_vectors`` [V, F], ``text_mean`` [F] and ``text_directions`` [F, F], see
            :class:`~pyg_srgnn.functional.whitening.Whitening`, and where item vectors are made of
            texts the map ``text_to_item`` [F, d]; and where texts weigh edges ``text_factor`` [2],
            see :func:`~pyg_srgnn.functional.text_similarity.similar_weights`.
        num_trained: Items from the first that the training sessions hold; the others are cold.
            None: all.
        normalised: Whether item vectors have length 1, further terms apart.
        extensible: Whether the tables hold what it takes to add items by their texts.
        experts: The experts whose softmaxes are mixed with the model's.
        num_events: Number of types of clicks that the encoder takes; None: none.
        marks: The argument of the encoder for each of
            :data:`~pyg_srgnn.functional.marks.MARKS` that it takes.
        num_earlier: Clicks of the user's earlier sessions that it takes, the last ones; None: none.
        older: The argument of the encoder for each field of
            :class:`~pyg_srgnn.functional.earlier.OlderPart`, if it takes any.
    """

    encoder: str
    layers: int
    attends: bool
    log_probabilities: bool
    components: list[ExportedComponent]
    tables: dict[str, Table]
    num_trained: int | None = None
    normalised: bool = False
    extensible: bool = False
    experts: list[ExportedExpert] = field(default_factory=list)
    num_events: int | None = None
    marks: dict[str, str] = field(default_factory=dict)
    num_earlier: int | None = None
    older: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, encoder: Described, weights: Mapping[str, Tensor]) -> Facts:
        """The facts of an encoder and the tensors beside it."""
        return cls(
            encoder.kind,
            encoder.layers,
            encoder.attends,
            bool(encoder.components or encoder.experts),
            encoder.components,
            {name: Table.of(tensor) for name, tensor in weights.items()},
            encoder.num_trained,
            encoder.normalised,
            encoder.extensible,
            encoder.experts,
            encoder.num_events or None,
            encoder.marks,
            encoder.num_earlier or None,
            encoder.older,
        )

    @property
    def num_items(self) -> int:
        """Number of items V in the catalogue."""
        return self.tables["clicks"].shape[0]

    @property
    def first_cold(self) -> int:
        """The first cold item, V if there is none."""
        return self.num_items if self.num_trained is None else self.num_trained

    @property
    def channels(self) -> int:
        """Size d of the vectors that clicked items enter the encoder as."""
        return self.tables.get("clicked_vectors", self.tables["item_vectors"]).shape[1]

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
        if facts.num_events is not None:
            _size("scorer.num_events", facts.num_events)
        typed = facts.num_events is not None
        wanted = [*MARKS[:2]] * typed + [*MARKS[2:]] * (MARKS[2] in facts.marks)
        if [*facts.marks] != wanted:
            raise ValueError(
                f"scorer.marks must name {wanted} with num_events={facts.num_events} (got "
                f"{[*facts.marks]})"
            )
        wanted = []
        if facts.num_earlier is not None:
            _size("scorer.num_earlier", facts.num_earlier)
            wanted = [*OlderPart._fields]
        if [*facts.older] != wanted:
            raise ValueError(
                f"scorer.older must name {wanted} with num_earlier={facts.num_earlier} (got "
                f"{[*facts.older]})"
            )
        for name, table in tables.items():
            _one_of(f"scorer.tables.{name}.dtype", table.dtype, _DTYPES)
            for size in table.shape:
                _size(f"scorer.tables.{name}.shape", size)
        facts._check_rows()
        for component in facts.components:
            where = f"scorer.components: {component.name}"
            _one_of(f"{where}.lookup", component.lookup, LOOKUPS)
            shapes = LOOKUPS[component.lookup].shapes
            if component.tables.keys() != shapes.keys():
                wanted, there = list(shapes), list(component.tables)
                raise ValueError(f"{where}.tables must be of {wanted} (got {there})")
            for name in component.tables.values():
                _one_of(f"{where}.tables", name, tables)
        facts._check_distinct()
        for expert in facts.experts:
            facts._check_expert(expert)
        mixes = bool(facts.components or facts.experts)
        if facts.log_probabilities != mixes:
            raise ValueError(
                f"scorer.log_probabilities must be {mixes} with {len(facts.components)} components "
                f"and {len(facts.experts)} experts (got {facts.log_probabilities})"
            )
        return facts

    def _check_distinct(self) -> None:
        """Check that no two experts share a part that is not the model's.

        Raises:
            ValueError: If two do.
        """
        for part in ("name", "rows", "clicked", "query", "gate"):
            shared = part in ("rows", "clicked")
            names = Counter(
                getattr(expert, part) for expert in self.experts if not (shared and expert.of_items)
            )
            if twice := [name for name, count in names.items() if count > 1]:
                raise ValueError(
                    f"scorer.experts: each must have its own {part} (got {twice[0]!r} "
                    f"{names[twice[0]]:,} times)"
                )

    def _check_expert(self, expert: ExportedExpert) -> None:
        """Check that the tables of an expert belong together, and to the others.

        Raises:
            ValueError: If one is missing, or of another type or shape.
        """
        where, tables = f"scorer.experts: {expert.name}", self.tables
        if expert.of_items:
            own = expert.clicked, expert.from_text, expert.bias
            if own != (CLICKED, None, None):
                raise ValueError(
                    f"{where} must have clicked {CLICKED!r}, and neither from_text nor bias, as "
                    f"its rows are {ITEMS!r} (got {own})"
                )
            return
        if (expert.from_text is None) != (expert.bias is None):
            raise ValueError(
                f"{where} must have both from_text and bias, or neither (got {expert.from_text!r} "
                f"and {expert.bias!r})"
            )
        if self.extensible and expert.from_text is None:
            raise ValueError(f"{where} must have from_text and bias, as scorer.extensible is true")
        for name in (expert.rows, expert.from_text, expert.bias):
            if name is not None:
                _one_of(where, name, tables)
        rows = tables[expert.rows]
        size = rows.shape[-1] if rows.shape else 1
        expected = {expert.rows: Table("float32", [self.num_items, size])}
        if expert.from_text is not None and expert.bias is not None:
            texts = tables["text_mean"].shape if "text_mean" in tables else [1]
            last = prod(tables[expert.bias].shape)
            expected[expert.from_text] = Table("float32", [*texts, size - last])
            expected[expert.bias] = Table("float32", [last])
        for name, table in expected.items():
            if tables[name] != table:
                raise ValueError(f"scorer.tables.{name} must be {table} (got {tables[name]})")

    def _check_rows(self) -> None:
        """Check that the tables of items belong together.

        Raises:
            ValueError: If one is missing, or of another type or shape.
        """
        tables = self.tables
        shape = tables["item_vectors"].shape if "item_vectors" in tables else []
        if len(shape) != 2:
            raise ValueError(f"scorer.tables.item_vectors must be a matrix (got {shape})")
        scored, channels = shape
        entering = tables.get("clicked_vectors")
        if entering is not None and len(entering.shape) == 2 and entering.shape[1] < channels:
            channels = entering.shape[1]  # the other columns are terms of the scores
        items = scored
        if self.num_trained is not None:
            _size("scorer.num_trained", self.num_trained)
            if scored == self.num_trained and "clicks" in tables:
                items = max([scored, *tables["clicks"].shape[:1]])
            elif scored < self.num_trained:
                raise ValueError(f"scorer.num_trained must be <= {scored} (got {self.num_trained})")
        expected = {
            "item_vectors": Table("float32", shape),
            "clicks": Table("int64", [items]),
        }
        if "clicked_vectors" in tables or scored < items:
            expected["clicked_vectors"] = Table("float32", [items, channels])
        cold_vectors = self.num_trained is not None and self.num_trained < scored
        if cold_vectors or not tables.keys().isdisjoint(_OF_TEXTS):
            there = tables.get("text_vectors")
            size = there.shape[-1] if there is not None and there.shape else 1
            expected["text_vectors"] = Table("float32", [items, size])
            expected["text_mean"] = Table("float32", [size])
            expected["text_directions"] = Table("float32", [size, size])
        if "text_to_item" in tables:
            expected["text_to_item"] = Table("float32", [size, channels])
        if "text_factor" in tables:
            expected["text_factor"] = Table("float32", [2])
        for name, table in expected.items():
            if tables.get(name) != table:
                raise ValueError(f"scorer.tables.{name} must be {table} (got {tables.get(name)})")

    def bounds(self, encoder: str) -> dict[str, int]:
        """Bytes that each file may have at most.

        Args:
            encoder: Name of the encoder's file.
        """
        layers = self.layers + len(self.components) + len(self.experts)
        return {
            encoder: _GRAPH + 4 * _MATRICES * layers * self.channels**2,
            WEIGHTS: _HEADER + sum(table.nbytes for table in self.tables.values()),
            VOCABULARY: 2 + _ID * self.num_items,
            INDEX: _HEADER + (8 + 4 * self.tables["item_vectors"].shape[1]) * self.num_items,
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


def read_manifest(data: bytes) -> tuple[dict[str, Any], Facts | MixtureFacts]:
    """Read a manifest, and its facts.

    Raises:
        ValueError: If an entry is missing or out of its range; names it.
    """
    found = json.loads(data.decode("utf-8"))
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"expected a JSON object whose format is {FORMAT!r}")
    if found.get("version") not in range(1, VERSION + 1):
        raise ValueError(
            f"its version is {found.get('version')!r}; this pyg_srgnn reads 1 to {VERSION}"
        )
    _one_of("export", found.get("export"), FILES)
    _one_of("precision", found.get("precision"), CHOICES)
    if found["version"] < 5 and found["precision"] == "int8":
        found["precision"] = AUTO  # it was the default before there was a choice
    found.setdefault("sizes", {})  # the first exports had none
    for key in ("model", "dataset", "files", "sizes"):
        _read(dict, found.get(key), key)
    for key in ("split", "protocol"):
        _read(str, found.get(key), key)
    found["text"] = _read(dict | None, found.get("text"), "text")
    if isinstance(scorer := found.get("scorer"), dict) and "members" in scorer:
        return found, MixtureFacts.from_json(scorer)
    if found["version"] == 1:
        found["scorer"] = asdict(_facts_of_version_1(found["model"]))
    elif isinstance(found.get("scorer"), dict):
        if found["version"] == 2:
            found["scorer"] |= {"num_trained": None, "normalised": False, "extensible": False}
        if found["version"] < 4:
            found["scorer"]["experts"] = []
        for name in ("marks", "older"):  # of exports before there were any
            found["scorer"].setdefault(name, {})
    return found, Facts.from_json(found.get("scorer"))


def check_text(text: Any, dimensions: int | None) -> dict[str, Any] | None:
    """Check what describes the texts of a model, which says how new ones are encoded.

    Args:
        text: What a manifest has; None without texts.
        dimensions: Of the text vectors that the model holds; None without any.

    Returns:
        The same.

    Raises:
        ValueError: If an entry is missing, of another type, or of other dimensions.
    """
    if text is None:
        return None
    found: dict[str, Any] = _read(dict, text, "text")
    kinds = {"source": str, "columns": list[str], "encoder": dict | None, "items": int}
    checked = {key: _read(kind, found.get(key), f"text.{key}") for key, kind in kinds.items()}
    sizes = {"text.dimensions": found.get("dimensions")}
    if (encoder := checked["encoder"]) is not None:
        for key in ("name", "version"):
            _read(str, encoder.get(key), f"text.encoder.{key}")
        if encoder.get("dimensions") is not None:
            sizes["text.encoder.dimensions"] = encoder["dimensions"]
    for key, size in sizes.items():
        if size != dimensions:
            raise ValueError(f"{key} must be {dimensions} (got {size!r})")
    return {**found, **checked}


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
