"""An exported model as a folder: opened without running anything that stands in it.

======================= ==========================================================================
``manifest.json``       version of this layout, kind of export, the model's settings, the data it
                        was trained on, and size and SHA-256 of every other file
``encoder.onnx``        (or ``encoder.pt2``) session graphs to session vectors
``weights.safetensors`` what has a row an item: vectors, clicks in training, followers
``vocabulary.json``     the raw ids in the order of their numbers
``index.safetensors``   of an export with an index: the list of every item, and the lists' centroids
``model_card.md``       for people: data, metrics, limits; loading neither reads nor checks it
======================= ==========================================================================
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor

from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.functional.mixture import PLACES
from pyg_srgnn.inference.catalogue import PRECISIONS
from pyg_srgnn.inference.exported import ExportedModel, exported_class
from pyg_srgnn.inference.formats import FILES, OPENERS
from pyg_srgnn.inference.index import Index

MANIFEST = "manifest.json"
FORMAT, VERSION = "pyg_srgnn export", 1
WEIGHTS, VOCABULARY, CARD = "weights.safetensors", "vocabulary.json", "model_card.md"
INDEX = "index.safetensors"

# Bytes, at most.
_MANIFEST = 16 << 20
_HEADER = 64 << 10  # of a file of safetensors
_ID = 512 * 12 + 4  # of an id in JSON: as many characters as a request may have, all escaped
_GRAPH = 16 << 20  # of an encoder without its matrices
_MATRICES = 64  # [d, d], of a layer of an encoder
# The settings of a model that are sizes, and their defaults.
_SIZES = {"num_items": None, "channels": 100, "num_layers": 1, "transitions": 1}


@dataclass(frozen=True)
class Artifact:
    """An exported model with all it takes to recommend.

    Args:
        scorer: Scores sessions of indices.
        vocabulary: The catalogue's raw ids.
        clicks: Clicks of each item in training, int64 [V].
        dataset: Name of the dataset that it was trained on, and what made its sessions of a log.
        split: The split that it was trained on.
        protocol: ``"honest"``, or ``"literature"``: chosen on the test set.
        path: The folder.
        key: Tells it from every other one.
    """

    scorer: ExportedModel
    vocabulary: Vocabulary
    clicks: Tensor
    dataset: dict[str, Any]
    split: str
    protocol: str
    path: Path
    key: str

    @property
    def preparation(self) -> dict[str, Any] | None:
        """As of :class:`~pyg_srgnn.checkpoint.Checkpoint`."""
        return {key: value for key, value in self.dataset.items() if key != "name"} or None

    @classmethod
    def load(cls, folder: str | Path, threads: int = 1) -> Artifact:
        """Open an exported folder; nothing in it is executed, and nothing outside of it is read.

        Args:
            folder: What ``srgnn-export`` wrote.
            threads: Threads of one call of the encoder. (default: 1)

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If a file is missing, is not the one that was written, or does not belong
                to the others; names it.
            ImportError: If what its encoder or index needs is not installed; names it.
        """
        folder = Path(folder)
        if not is_artifact(folder):
            raise FileNotFoundError(f"{folder} is no folder of srgnn-export: it has no {MANIFEST}")
        told = _read(folder, MANIFEST, _size(folder, MANIFEST, _MANIFEST))
        manifest = _manifest(told, folder / MANIFEST)
        # A file is read once: what is used are the bytes that were checked, whatever others
        # write meanwhile. That is also why nothing is mapped into memory.
        names = [FILES[manifest["export"]], WEIGHTS, VOCABULARY]
        names += [INDEX] if manifest.get("index") is not None else []
        with _naming(folder / MANIFEST):
            most = _bounds(manifest["model"], names[0])
        sizes = {
            name: _size(folder, name, most[name], manifest["sizes"].get(name)) for name in names
        }
        held = {name: _verified(folder, name, sizes[name], manifest["files"]) for name in names}
        encoder = folder / names[0]
        with _naming(folder / VOCABULARY):
            _check_count(held[VOCABULARY], manifest["model"]["num_items"])
            vocabulary = Vocabulary.load(folder / VOCABULARY, held[VOCABULARY])
        with _naming(folder / WEIGHTS):
            weights = load(held.pop(WEIGHTS))
            _check(weights, manifest["model"], len(vocabulary))
        index = None
        if INDEX in held:
            with _naming(folder / INDEX):
                index = Index.load(folder / INDEX, weights["item_vectors"], held[INDEX])
        with _naming(encoder):
            encode = OPENERS[manifest["export"]](held[names[0]], encoder, threads)
        with _naming(folder / MANIFEST):
            scorer = exported_class(manifest["model"])(
                encode, manifest["model"], weights, manifest["precision"], index
            )
        with _naming(encoder):
            if not scorer.scores([[0], [0, len(vocabulary) - 1]]).shape == (2, len(vocabulary)):
                raise ValueError("it does not score the items of this folder")
        return cls(
            scorer,
            vocabulary,
            weights["clicks"],
            manifest["dataset"],
            manifest["split"],
            manifest["protocol"],
            folder,
            hashlib.sha256(told).hexdigest(),
        )


def is_artifact(path: str | Path) -> bool:
    """Whether a folder looks like an export."""
    return (Path(path) / MANIFEST).is_file()


def _manifest(data: bytes, path: Path) -> dict[str, Any]:
    """The manifest, with everything that loading asks for.

    Raises:
        ValueError: If something is missing or odd.
    """
    with _naming(path):
        found = json.loads(data.decode("utf-8"))
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"expected a JSON object whose format is {FORMAT!r}")
        if found.get("version") != VERSION:
            raise ValueError(
                f"its version is {found.get('version')!r}; this pyg_srgnn reads version {VERSION}"
            )
        for key, allowed in (("export", tuple(FILES)), ("precision", PRECISIONS)):
            if found.get(key) not in allowed:
                raise ValueError(
                    f"{key} must be one of {', '.join(allowed)} (got {found.get(key)!r})"
                )
        found.setdefault("sizes", {})  # exports had none at first
        kinds = {"model": dict, "dataset": dict, "files": dict, "sizes": dict}
        texts = dict.fromkeys(("split", "protocol"), str)
        for key, kind in (kinds | texts).items():
            if not isinstance(found.get(key), kind):
                raise ValueError(f"{key} must be a {kind.__name__} (got {found.get(key)!r})")
    return found


def _bounds(settings: Mapping[str, Any], encoder: str) -> dict[str, int]:
    """Bytes that each file of such a model may have.

    Raises:
        ValueError: If a setting is no size.
    """
    sizes: dict[str, Any] = {name: settings.get(name) or usual for name, usual in _SIZES.items()}
    for name, size in sizes.items():
        if type(size) is not int or not 0 < size < 1 << 31:
            raise ValueError(f"model.{name} must be a whole number >= 1 (got {size!r})")
    items, channels, layers, _ = sizes.values()
    tensors = _tensors(settings, items).values()
    return {
        encoder: _GRAPH + 4 * _MATRICES * layers * channels**2,
        WEIGHTS: _HEADER + sum(kind.itemsize * prod(shape) for kind, shape in tensors),
        VOCABULARY: 2 + _ID * items,
        INDEX: _HEADER + (8 + 4 * channels) * items,
    }


def _size(folder: Path, name: str, most: int, exported: int | None = None) -> int:
    """Bytes of a file of the folder, which are those it was exported with.

    Raises:
        ValueError: If it is missing, lies elsewhere, or has more or other bytes.
    """
    path = folder / name
    if not path.is_file():
        raise ValueError(f"{path} is missing; export the model again")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} lies outside of its folder: it is a link to {path.resolve()}")
    size = path.stat().st_size
    if exported not in (None, size):
        raise ValueError(
            f"{path} is not the file that was exported: it has {size:,} bytes, {MANIFEST} says "
            f"{exported}"
        )
    if size > most:
        raise ValueError(f"{path} has {size:,} bytes; such a model's has at most {most:,}")
    return size


def _read(folder: Path, name: str, size: int) -> bytes:
    """Read a file of the folder, and one byte more of one that has grown.

    Raises:
        ValueError: If it cannot be read.
    """
    path = folder / name
    with _naming(path), path.open("rb") as file:
        return file.read(size + 1)


def _verified(folder: Path, name: str, size: int, checksums: Mapping[str, Any]) -> bytes:
    """What a file of the folder holds, which must be what was written.

    Raises:
        ValueError: If it is another one.
    """
    data = _read(folder, name, size)
    found = hashlib.sha256(data).hexdigest()
    if found != checksums.get(name):
        raise ValueError(
            f"{folder / name} is not the file that was exported: its SHA-256 is {found}, that in "
            f"{MANIFEST} is {checksums.get(name)}"
        )
    return data


def _check_count(ids: bytes, most: int) -> None:
    """Refuse a JSON list of more ids before they are made, which takes a hundred bytes each.

    Raises:
        ValueError: If it has more.
    """
    if ids.count(b",") < most:  # as most lists have it: an id of text may hold commas
        return
    plain = ids.replace(rb"\\", b"").replace(rb"\"", b"")
    commas = (found for found in re.finditer(rb'"[^"]*"|,', plain) if found[0] == b",")
    if next(islice(commas, most - 1, None), None) is not None:
        raise ValueError(f"it has more ids than the model has items, {most:,}")


def _tensors(settings: Mapping[str, Any], items: int) -> dict[str, tuple[torch.dtype, list[int]]]:
    """Types and shapes of the weights of a model with these settings."""
    channels, kept = settings.get("channels", _SIZES["channels"]), settings.get("transitions")
    found = {
        "item_vectors": (torch.float32, [items, channels]),
        "clicks": (torch.int64, [items]),
    }
    if settings.get("neighbours"):
        found["clicked_vectors"] = (torch.float32, [items, channels])
    if kept:
        found["followers"] = (torch.int32, [items, kept])
        found["count"] = (torch.float32, [items, kept])
        found["place_weight"] = (torch.float32, [PLACES])
    return found


def _check(weights: Mapping[str, Tensor], settings: Mapping[str, Any], num_items: int) -> None:
    """Hold the tensors against the model's settings and the number of ids.

    Raises:
        ValueError: If one is missing, or has another shape or type.
    """
    for name, (kind, shape) in _tensors(settings, num_items).items():
        found = weights.get(name)
        if found is None or found.dtype != kind or list(found.shape) != shape:
            told = "nothing" if found is None else f"{found.dtype} {list(found.shape)}"
            raise ValueError(f"{name} must be {kind} {shape} beside {num_items} ids (got {told})")
    if settings.get("transitions"):
        followers = weights["followers"]
        if not 0 <= int(followers.min()) <= int(followers.max()) < num_items:
            raise ValueError(f"followers must be items from 0 to {num_items - 1}")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file may lead to into one message that names it.

    Raises:
        ValueError: Always in place of another error.
        ImportError: If something is not installed, which is no fault of the file.
    """
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"{path} cannot be used ({type(error).__name__}: {reason})") from error
