"""An exported model as a folder: opened without running anything that stands in it.

================== ================================================================================
``manifest.json``  version of this layout, kind of export, the model's settings, the data that it
                   was trained on, and the SHA-256 of every other file
``encoder.onnx``   (or ``encoder.pt2``) session graphs to session vectors; see ``nn/encoders.py``
``weights.safetensors`` what has a row an item: vectors, clicks in training, followers
``vocabulary.json`` the raw ids in the order of their numbers
``index.safetensors`` of an export with an index: the list of every item, and the lists' centroids
``model_card.md``  for people: data, metrics, limits; loading neither reads nor checks it
================== ================================================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor

from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.exported import ExportedModel, exported_class
from pyg_srgnn.formats import FILES, OPENERS
from pyg_srgnn.functional.catalogue import PRECISIONS
from pyg_srgnn.functional.index import Index
from pyg_srgnn.functional.mixture import PLACES

MANIFEST = "manifest.json"
FORMAT, VERSION = "pyg_srgnn export", 1
WEIGHTS, VOCABULARY, CARD = "weights.safetensors", "vocabulary.json", "model_card.md"
INDEX = "index.safetensors"


@dataclass(frozen=True)
class Artifact:
    """An exported model with all it takes to recommend.

    Args:
        scorer: Scores sessions of indices.
        vocabulary: The catalogue's raw ids.
        clicks: Clicks of each item in training, int64 [V].
        dataset: Name of the dataset that it was trained on, and how a click log was read.
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
        told = _read(folder, MANIFEST)
        manifest = _manifest(told, folder / MANIFEST)
        # A file is read once: what is used are the bytes that were checked, whatever others
        # write meanwhile. That is also why nothing is mapped into memory.
        names = [FILES[manifest["export"]], WEIGHTS, VOCABULARY]
        names += [INDEX] if manifest.get("index") is not None else []
        held = {name: _verified(folder, name, manifest["files"]) for name in names}
        encoder = folder / names[0]
        with _naming(folder / VOCABULARY):
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
        kinds = {"model": dict, "dataset": dict, "files": dict}
        texts = dict.fromkeys(("split", "protocol"), str)
        for key, kind in (kinds | texts).items():
            if not isinstance(found.get(key), kind):
                raise ValueError(f"{key} must be a {kind.__name__} (got {found.get(key)!r})")
    return found


def _read(folder: Path, name: str) -> bytes:
    """What a file of the folder holds.

    Raises:
        ValueError: If it is missing, lies elsewhere, or cannot be read.
    """
    path = folder / name
    if not path.is_file():
        raise ValueError(f"{path} is missing; export the model again")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} lies outside of its folder: it is a link to {path.resolve()}")
    with _naming(path):
        return path.read_bytes()


def _verified(folder: Path, name: str, checksums: Mapping[str, Any]) -> bytes:
    """What a file of the folder holds, which must be what was written.

    Raises:
        ValueError: If it is missing, another one, or lies elsewhere.
    """
    data = _read(folder, name)
    found = hashlib.sha256(data).hexdigest()
    if found != checksums.get(name):
        raise ValueError(
            f"{folder / name} is not the file that was exported: its SHA-256 is {found}, that in "
            f"{MANIFEST} is {checksums.get(name)}"
        )
    return data


def _check(weights: Mapping[str, Tensor], settings: Mapping[str, Any], num_items: int) -> None:
    """Hold the tensors against the model's settings and the number of ids.

    Raises:
        ValueError: If one is missing, or has another shape or type.
    """
    channels = settings.get("channels", 100)
    kinds = {"item_vectors": (torch.float32, channels), "clicks": (torch.int64, None)}
    if settings.get("neighbours"):
        kinds["clicked_vectors"] = (torch.float32, channels)
    if settings.get("transitions"):
        kept = settings["transitions"]
        kinds |= {"followers": (torch.int32, kept), "count": (torch.float32, kept)}
        kinds["place_weight"] = (torch.float32, None)
    for name, (kind, width) in kinds.items():
        found = weights.get(name)
        rows = PLACES if name == "place_weight" else num_items
        shape = [rows] if width is None else [rows, width]
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
