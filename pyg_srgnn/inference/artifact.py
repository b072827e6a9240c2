"""Opens the folder of an exported model, without executing anything in it.

======================= ==========================================================================
``manifest.json``       version and kind of export, the model's settings and data, how it scores,
                        and size and SHA-256 of every other file
``encoder.onnx``        (or ``encoder.pt2``) session graphs to session vectors
``weights.safetensors`` tensors with one row per item: vectors, clicks in training, followers, texts
``vocabulary.json``     the raw ids in the order of their numbers
``index.safetensors``   of an export with an index: the list of every item, and the lists' centroids
``member_1/`` …         of a mixture of models: the export of each, in place of the files above
``model_card.md``       for people: data, metrics, limits; loading neither reads nor checks it
======================= ==========================================================================
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from safetensors.torch import load
from torch import Tensor

from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.functional.model_mixture import NESTED
from pyg_srgnn.inference.choice import AUTO, CHOICES, Choice
from pyg_srgnn.inference.exported import ExportedModel, searched
from pyg_srgnn.inference.exported_components import exported_class
from pyg_srgnn.inference.exported_mixture import ExportedModelMixture
from pyg_srgnn.inference.formats import FILES, Encoder
from pyg_srgnn.inference.index import Index
from pyg_srgnn.inference.manifest import (
    CARD,
    INDEX,
    MANIFEST,
    VOCABULARY,
    WEIGHTS,
    Facts,
    check_text,
    read_manifest,
)
from pyg_srgnn.inference.mixture_facts import MixtureFacts

# Bytes, at most.
_MANIFEST = 16 << 20
MOST_OF_CARD = 16 << 20


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
        key: Identifies the export.
        text: See :class:`~pyg_srgnn.checkpoint.Checkpoint`. (default: None)
    """

    scorer: ExportedModel | ExportedModelMixture
    vocabulary: Vocabulary
    clicks: Tensor
    dataset: dict[str, Any]
    split: str
    protocol: str
    path: Path
    key: str
    text: dict[str, Any] | None = None

    @property
    def preparation(self) -> dict[str, Any] | None:
        """See :class:`~pyg_srgnn.checkpoint.Checkpoint`."""
        return {key: value for key, value in self.dataset.items() if key != "name"} or None

    @property
    def choices(self) -> dict[str, Choice]:
        """How its items are searched on this processor; empty where nothing was to be chosen."""
        return getattr(self.scorer, "choices", {})

    @classmethod
    def load(cls, folder: str | Path, threads: int = 1, precision: str = AUTO) -> Artifact:
        """Open an exported folder; nothing in it is executed, and nothing outside of it is read.

        Args:
            folder: A folder that ``srgnn-export`` wrote.
            threads: Threads of one call of the encoder. (default: 1)
            precision: How its items are searched, one of
                :data:`~pyg_srgnn.inference.choice.CHOICES`. (default: ``"auto"``, as the export
                says, or the fastest way if it says ``"auto"``, too)

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If a file is missing, is not the one that was written, or does not belong
                to the others; names it. If there is no such precision.
            ImportError: If what its encoder or index needs is not installed; names it.
        """
        if precision not in CHOICES:
            expected = f"one of {', '.join(CHOICES)} (got {precision!r})"
            raise ValueError(f"precision must be {expected}")
        folder = Path(folder)
        if not is_artifact(folder):
            raise FileNotFoundError(f"{folder} is no folder of srgnn-export: it has no {MANIFEST}")
        return cls._open(folder, _manifest_of(folder), threads, precision)

    def copy(self, folder: Path) -> None:
        """Copy the files that it was exported with, and its card, to a folder that is made.

        Raises:
            ValueError: If a file is missing, or is not the one that was exported; names it.
        """
        data = _manifest_of(self.path)
        if hashlib.sha256(data).hexdigest() != self.key:
            raise ValueError(f"{self.path} holds another export than the one that was loaded")
        _copy(self.path, folder, data)

    @classmethod
    def _open(
        cls, folder: Path, data: bytes, threads: int, precision: str, within: int = 0
    ) -> Artifact:
        """Open a folder whose manifest is read, within so many mixtures."""
        with _naming(folder / MANIFEST):
            manifest, facts = read_manifest(data)
            if isinstance(facts, MixtureFacts) and within >= NESTED:
                raise ValueError("it is a mixture within a mixture of mixtures")
        if isinstance(facts, MixtureFacts):
            return cls._mixture(folder, data, manifest, facts, threads, within + 1)
        # A file is read once, and not mapped into memory: the bytes that are used are those that
        # were checked, even if the file changes meanwhile.
        held = dict(_held(folder, manifest, facts))
        encoder = folder / FILES[manifest["export"]]
        with _naming(folder / VOCABULARY):
            _check_count(held[VOCABULARY], facts.num_items)
            vocabulary = Vocabulary.load(folder / VOCABULARY, held[VOCABULARY])
            if len(vocabulary) != facts.num_items:
                raise ValueError(f"it has {len(vocabulary)} ids for {facts.num_items} items")
        with _naming(folder / WEIGHTS):
            weights = load(held.pop(WEIGHTS))
            facts.check(weights)
        index = None
        if INDEX in held:
            with _naming(folder / INDEX):
                index = Index.load(folder / INDEX, searched(facts, weights)[0], held[INDEX])
        with _naming(encoder):
            encode = Encoder(manifest["export"], held[encoder.name], encoder, threads)
        with _naming(folder / MANIFEST):
            asked = manifest["precision"] if precision == AUTO else precision
            scorer = exported_class(facts)(encode, facts, weights, asked, index)
            mean = weights.get("text_mean")
            text = check_text(manifest["text"], None if mean is None else len(mean))
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
            hashlib.sha256(data).hexdigest(),
            text,
        )

    @classmethod
    def _mixture(
        cls,
        folder: Path,
        data: bytes,
        manifest: Mapping[str, Any],
        facts: MixtureFacts,
        threads: int,
        within: int,
    ) -> Artifact:
        """Open the export of a mixture: the exports of its members.

        It takes all of their scores, in float32, whatever precision is asked for.
        """
        members: list[Artifact] = []
        for member, held in _members(folder, manifest, facts):
            members.append(cls._open(member, held, threads, "float32", within))
            if members[-1].vocabulary != members[0].vocabulary:
                raise ValueError(f"{member} has other items than {facts.members[0]}")
        first = members[0]
        return replace(
            first,
            scorer=ExportedModelMixture([member.scorer for member in members], facts.weights),
            dataset=manifest["dataset"],
            split=manifest["split"],
            protocol=manifest["protocol"],
            path=folder,
            key=hashlib.sha256(data).hexdigest(),
            text=None,
        )


def is_artifact(path: str | Path) -> bool:
    """Whether a folder looks like an export."""
    return (Path(path) / MANIFEST).is_file()


def checked_size(folder: Path, name: str, most: int, exported: int | None = None) -> int:
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
    """The content of a file of the folder, whose checksum is that of the export.

    Raises:
        ValueError: If the checksum differs.
    """
    data = _read(folder, name, size)
    found = hashlib.sha256(data).hexdigest()
    if found != checksums.get(name):
        raise ValueError(
            f"{folder / name} is not the file that was exported: its SHA-256 is {found}, that in "
            f"{MANIFEST} is {checksums.get(name)}"
        )
    return data


def _held(folder: Path, manifest: Mapping[str, Any], facts: Facts) -> Iterator[tuple[str, bytes]]:
    """The files of an export that is no mixture, all of them checked before one is read."""
    names = [FILES[manifest["export"]], WEIGHTS, VOCABULARY]
    names += [INDEX] if manifest.get("index") is not None else []
    most = facts.bounds(names[0])
    sizes = {
        name: checked_size(folder, name, most[name], manifest["sizes"].get(name)) for name in names
    }
    for name in names:
        yield name, _verified(folder, name, sizes[name], manifest["files"])


def _manifest_of(folder: Path) -> bytes:
    return _read(folder, MANIFEST, checked_size(folder, MANIFEST, _MANIFEST))


def _members(
    folder: Path, manifest: Mapping[str, Any], facts: MixtureFacts
) -> Iterator[tuple[Path, bytes]]:
    """The folder of each member of a mixture, and its manifest, which is checked."""
    for name in facts.members:
        if (folder / name).is_symlink():
            raise ValueError(f"{folder / name} is a link; expected the folder of a member")
        file = f"{name}/{MANIFEST}"
        size = checked_size(folder, file, _MANIFEST)
        yield folder / name, _verified(folder, file, size, manifest["files"])


def _copy(source: Path, target: Path, data: bytes) -> None:
    """Copy an export whose manifest is read, and those in it, and nothing else that lies there."""
    target.mkdir(exist_ok=True)
    (target / MANIFEST).write_bytes(data)
    if (source / CARD).is_file():
        card = _read(source, CARD, checked_size(source, CARD, MOST_OF_CARD))
        (target / CARD).write_bytes(card)
    with _naming(source / MANIFEST):
        manifest, facts = read_manifest(data)
    if isinstance(facts, MixtureFacts):
        for folder, held in _members(source, manifest, facts):
            _copy(folder, target / folder.name, held)
    else:
        for name, held in _held(source, manifest, facts):
            (target / name).write_bytes(held)


def _check_count(ids: bytes, most: int) -> None:
    """Refuse a JSON list of more ids before they are made, which takes a hundred bytes each.

    Raises:
        ValueError: If it has more.
    """
    if ids.count(b",") < most:  # true of most lists; an id of text may hold commas
        return
    plain = ids.replace(rb"\\", b"").replace(rb"\"", b"")
    commas = (found for found in re.finditer(rb'"[^"]*"|,', plain) if found[0] == b",")
    if next(islice(commas, most - 1, None), None) is not None:
        raise ValueError(f"it has more ids than the model has items, {most:,}")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged file into one message that names it.

    Raises:
        ValueError: In place of another error.
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
