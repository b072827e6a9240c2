"""Exports a trained model to a folder that can be served without the training code."""

from __future__ import annotations

import json
import logging
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.export.formats import write_onnx, write_pt2
from pyg_srgnn.export.held_out import held_out_vectors
from pyg_srgnn.export.model_card import model_card
from pyg_srgnn.functional.marks import MarkedSession
from pyg_srgnn.functional.model_mixture import name_of
from pyg_srgnn.inference.artifact import Artifact
from pyg_srgnn.inference.choice import AUTO, CHOICES
from pyg_srgnn.inference.exported import searched
from pyg_srgnn.inference.formats import FILES
from pyg_srgnn.inference.index import Index
from pyg_srgnn.inference.manifest import (
    CARD,
    FORMAT,
    INDEX,
    MANIFEST,
    VERSION,
    VOCABULARY,
    WEIGHTS,
    Facts,
)
from pyg_srgnn.inference.mixture_facts import MixtureFacts
from pyg_srgnn.inference.others import keep_others
from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.nn import ModelMixture, SessionModel
from pyg_srgnn.nn.encoders import Encoder, encoder_of, weights_of
from pyg_srgnn.utils.arguments import checking
from pyg_srgnn.utils.files import folder_written_aside, sha256_of, target_of
from pyg_srgnn.utils.lock import sole_writer

TOLERANCE = 1e-4  # of a score; more than rounding is a defect of the export
_CHECKED = 32  # random sessions that both models score


def check_settings(kind: str, precision: str, index_above: int | None) -> None:
    """Check the settings of :func:`export`.

    Raises:
        ArgumentError: If one is not allowed.
    """
    with checking("export") as check:
        check.one_of("kind", kind, FILES)
        check.one_of("precision", precision, CHOICES)
        check.whole("index_above", index_above, 0, optional=True)


def export(
    checkpoint: Checkpoint,
    output: str | Path,
    kind: str = "onnx",
    precision: str = AUTO,
    index_above: int | None = None,
) -> Path:
    """Write a model as a folder that :meth:`pyg_srgnn.inference.artifact.Artifact.load` opens.

    The folder is written whole or not at all. Before it takes its name, it is opened, and its
    scores are compared with those of the checkpoint.

    Args:
        checkpoint: The trained model.
        output: The folder; an export that is there is replaced; other files and folders in it are
            kept. Of a link, the folder that it points to.
        kind: ``"onnx"``, run by onnxruntime, or ``"torch_export"``, run by torch. (default:
            ``"onnx"``)
        precision: See :func:`pyg_srgnn.inference.precision.choose`; a model of several softmaxes
            does not use it. (default: ``"auto"``: whoever loads the export takes what is fastest
            there)
        index_above: Catalogues of more items than this get an :class:`Index`, which finds 98
            percent of the best; not of a model of several softmaxes. (default: None, no index)

    Returns:
        The folder.

    Raises:
        ValueError: If a setting is unknown, the folder holds something else, or another command is
            writing it; there is no export of such a model, or none with an index.
        RuntimeError: If the export's scores differ from the checkpoint's.
    """
    output = target_of(Path(output))
    check_settings(kind, precision, index_above)
    if index_above is not None and (several := _softmaxes(checkpoint.model)):
        raise ValueError(
            f"index_above={index_above}: this model mixes {several}, which asks for the scores of "
            f"all items; an index is for models with one softmax or plain products"
        )
    check_output(output)
    checkpoint.model.to("cpu", torch.float32).eval()
    aside = output.with_name(f".{output.name}.part")
    with sole_writer(output), folder_written_aside(output, aside):
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "export": kind,
            "model": checkpoint.settings,
            "precision": precision,
            "dataset": {"name": checkpoint.dataset["name"], **(checkpoint.preparation or {})},
            "text": _text(checkpoint.text),
            "split": checkpoint.split,
            "protocol": checkpoint.protocol,
        }
        if isinstance(checkpoint.model, ModelMixture):
            manifest["scorer"] = asdict(_write_members(checkpoint, checkpoint.model, aside, kind))
        else:
            manifest |= _write_single(checkpoint, checkpoint.model, aside, kind, index_above)
        seal(aside, manifest)
        off = largest_difference(checkpoint, Artifact.load(aside, precision="float32"))
        if off > TOLERANCE:
            raise RuntimeError(f"the export's scores differ by {off:.2g} from the checkpoint's")
        card = model_card(checkpoint, manifest, off)
        (aside / CARD).write_text(card, encoding="utf-8")
        seal(aside, manifest)
        keep_others(output, aside)
    return output


def _write_single(
    checkpoint: Checkpoint, model: SessionModel, folder: Path, kind: str, index_above: int | None
) -> dict[str, Any]:
    """Write the files of a model but the manifest and the card; return entries of the manifest."""
    encoder = encoder_of(model)
    _write_encoder(encoder, kind, folder / FILES[kind])
    weights = weights_of(model, checkpoint.clicks)
    facts = Facts.of(encoder, weights)
    entries: dict[str, Any] = {"scorer": asdict(facts)}
    index = None
    if index_above is not None and len(checkpoint.vocabulary) > index_above:
        vectors, _ = searched(facts, weights)
        queries = held_out_vectors(checkpoint)
        index, entries["index"] = Index.build(vectors, queries, log_sums=facts.log_probabilities)
    write_items(folder, checkpoint.vocabulary, weights, index)
    return entries


def _softmaxes(model: SessionModel | ModelMixture) -> str:
    """The softmaxes that a model mixes, for people; nothing of a model with one."""
    if isinstance(model, ModelMixture):
        return "whole models"
    experts = [*getattr(model, "experts", {})]
    return f"several softmaxes ({', '.join(['model', *experts])})" if experts else ""


def _write_members(
    checkpoint: Checkpoint, mixture: ModelMixture, folder: Path, kind: str
) -> MixtureFacts:
    """Export every member of a mixture into a folder of its own."""
    names = []
    for number, member in enumerate(mixture.models):
        names.append(name_of(number))
        texts = None if checkpoint.member_texts is None else checkpoint.member_texts[number]
        mixes = isinstance(member, ModelMixture)
        alone = replace(
            checkpoint,
            model=member,
            settings=checkpoint.settings["members"][number],
            path=checkpoint.path / names[-1],  # no run's: the metrics are the mixture's
            text=None if mixes else texts,
            member_texts=texts if mixes else None,
        )
        export(alone, folder / names[-1], kind, "float32")
    weights = {name: values.tolist() for name, values in mixture.weights._asdict().items()}
    return MixtureFacts(names, **weights)


def check_output(output: Path) -> None:
    """Refuse to replace anything but an export.

    Raises:
        ValueError: If a folder is there that is none, and not empty.
    """
    if output.exists() and not _may_be_replaced(output):
        raise ValueError(
            f"{output} is no folder of srgnn-export, so it is left alone; give another name"
        )


def write_items(
    folder: Path, vocabulary: Vocabulary, weights: Mapping[str, Tensor], index: Index | None
) -> None:
    """Write the files of an export that have one row per item."""
    vocabulary.save(folder / VOCABULARY)
    save_file(dict(weights), folder / WEIGHTS)
    made = [WEIGHTS]
    if index is not None:
        index.save(folder / INDEX)
        made.append(INDEX)
    for name in made:
        # safetensors makes files that only their owner reads; the service may run as another user.
        (folder / name).chmod((folder / VOCABULARY).stat().st_mode)


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a folder, with the checksum and the size of every other file.

    Of an export in it, those of its manifest.
    """
    there = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    files = [path / MANIFEST if path.is_dir() else path for path in there]
    names = [file.relative_to(folder).as_posix() for file in files]
    manifest["files"] = dict(zip(names, map(sha256_of, files), strict=True))
    manifest["sizes"] = {name: file.stat().st_size for name, file in zip(names, files, strict=True)}
    text = json.dumps(manifest, indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def largest_difference(model: Checkpoint | Recommender, artifact: Artifact) -> float:
    """The largest difference of a score between a model and its export, of random sessions."""
    draw, num_items = random.Random(0), len(model.vocabulary)

    def clicks(least: int) -> list[int]:
        return [draw.randrange(num_items) for _ in range(draw.randint(least, 12))]

    sessions = [MarkedSession(clicks(1), earlier=clicks(0)) for _ in range(_CHECKED)]
    wanted, found = model.scorer.scores(sessions), artifact.scorer.scores(sessions)
    apart = (found - wanted).abs().masked_fill_(found == wanted, 0)  # minus infinity, too
    return float(apart.nan_to_num_(torch.inf).max())


def _text(facts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What describes the texts, without the path of their file."""
    return None if facts is None else {**facts, "source": Path(facts["source"]).name}


def _write_encoder(encoder: Encoder, kind: str, path: Path) -> None:
    """Export an encoder, which takes batches of any size."""
    with torch.no_grad(), _quietly():
        program = torch.export.export(
            encoder, encoder.example, dynamic_shapes=encoder.dynamic, strict=False
        )
        if kind == "torch_export":
            write_pt2(program, path)
        else:
            write_onnx(program, path, list(encoder(*encoder.example)))


def _may_be_replaced(folder: Path) -> bool:
    """Whether a folder is an export, or empty."""
    if not folder.is_dir():
        return False
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return not any(folder.iterdir())
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the warnings of torch's exporters."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
