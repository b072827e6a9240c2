"""Starts a model from the weights of a trained one with another catalogue."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.checkpoint import Checkpoint, read_checkpoint
from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.data.categories import TrainedCategories
from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.nn import MODELS, SessionModel
from pyg_srgnn.text.encode import TextVectors
from pyg_srgnn.training.resume import differences

log = logging.getLogger(__name__)

# Settings that may differ: the weights fit all the same.
_MAY_DIFFER = {"num_items", "num_trained", "init", "loss", "negatives", "sampling"}
_MAY_DIFFER |= {"category_sizes", "num_earlier"}
_SAME_TEXT = 0.99  # cosine of an item's vector there and here, from which it is the same


def warm_start(
    model: SessionModel,
    settings: Mapping[str, Any],
    training: SessionDataset,
    path: str | Path,
    new_items: str,
    text: TextVectors | None = None,
    categories: TrainedCategories | None = None,
) -> None:
    """Copy the weights of a trained model; items are matched by their raw ids.

    Items that the trained model knows keep their vectors and biases. New items start as the mean of
    their neighbours' trained vectors (:func:`neighbour_means`), or as initialised. Items that were
    cold start as what they were scored by: their text, or the mean of the trained items that stood
    in for them.

    What is learned of texts is learned along the axes of a whitening. So the texts of this run are
    whitened as those of the trained model were, and have to be of the same encoder. Categories are
    matched by their names, in the same columns.

    Args:
        model: The initialised model; changed in place.
        settings: The settings that it was built from.
        training: The sessions that it will be trained on, with the new catalogue.
        path: The trained model: a run directory or a checkpoint file.
        new_items: ``"neighbours"`` or ``"init"``; new items without a known neighbour stay as
            initialised.
        text: The text vectors of this run, which the model has. (default: it has none)
        categories: The categories of this run, which the model has. (default: it has none)

    Raises:
        ValueError: If there is no checkpoint, or its model, its items or their texts are of another
            kind.
    """
    try:
        old = Checkpoint.load(path)
        old_model = old.single("warm_start")
    except (FileNotFoundError, ValueError) as error:
        reason = str(error).removeprefix(f"checkpoint={path}: ")
        raise ValueError(f"warm_start={path}: {reason}") from error
    own = old.text is not None and old.text["source"] == old.dataset["name"]
    _check_text(path, old.text, None if text is None else text.facts, own)
    _check_categories(path, old.categories, categories)
    _check_events(path, old.preparation, training)
    _check_model(path, read_checkpoint(old.path)["model"], settings)
    row = _match(path, old.vocabulary, training.vocabulary)
    gone = len(old.vocabulary) - int((row >= 0).sum())
    if text is not None:
        assert old_model.text is not None, "checked above"
        model.set_text(text.vectors, old_model.text.whitening)
        model.set_training(training.sessions)
        if text.facts["encoder"] is None:
            _check_vectors(path, old_model, model, row)

    trained, usable = _trained_table(old_model)
    row = row.where((row >= 0) & usable[row], -1)
    known = row >= 0
    table = model.embedding.weight.detach().clone()
    table[known] = trained[row[known]]
    averaged = 0
    if new_items == "neighbours":
        items, means = neighbour_means(training.sessions, row, trained)
        table[items] = means
        averaged = items.numel()
    # Buffers hold counts of the new sessions, and stay.
    trained_weights = dict(old_model.named_parameters()) | {"embedding.weight": table}
    # Those with one row per item.
    for name, rows in old_model.output.named_parameters(recurse=False):
        trained_weights[f"output.{name}"] = rows.new_zeros(len(row), *rows.shape[1:])
        trained_weights[f"output.{name}"][known] = rows.detach()[row[known]]
    if categories is not None:
        name = "embedding.categories.weight"
        trained_weights[name] = _of_categories(
            old.categories or {}, categories, trained_weights[name], model.state_dict()[name]
        )
    if (places := trained_weights.get("older.place.weight")) is not None:
        own = model.state_dict()["older.place.weight"]
        trained_weights["older.place.weight"] = last_places(places, own)
    model.load_state_dict(model.state_dict() | trained_weights)

    kept = int(known.sum())
    log.info(
        "warm start from %s: %d items known, %d new from neighbours, %d new by init, "
        "%d old items gone",
        *(old.path, kept, averaged, len(row) - kept - averaged, gone),
    )
    # Which sessions these were is not known: a longer log has them, whatever its items are.
    if old.split == "trainval" and training.split == "train":
        log.warning(
            "warm_start=%s: it was trained on its validation sessions, too, and where they "
            "validate this run, the figures on validation are too good: validate on sessions later "
            "than its log alone (dataset.valid), or start from checkpoints/best.ckpt of that run",
            path,
        )


def last_places(trained: Tensor, own: Tensor) -> Tensor:
    """The embeddings of places from the end that both have, and the others as they are.

    Args:
        trained: Those of the trained model [P_old, d].
        own: Those of this one, where ``dataset.user_clicks`` may be another number [P, d].
    """
    both = min(len(trained), len(own))
    return torch.cat([trained[:both].detach(), own[both:]])


def neighbour_means(sessions: Sessions, row: Tensor, trained: Tensor) -> tuple[Tensor, Tensor]:
    """Mean trained vector of the known items clicked right before or after each new item.

    A neighbour counts as often as it was clicked there, within a session.

    Args:
        sessions: Clicks of V items, known and new ones.
        row: Row of each item in the trained table, -1 for a new one, int64 [V].
        trained: The trained table [V_old, d].

    Returns:
        The new items that have a known neighbour [n], in the order of their indices, and their
        means [n, d].
    """
    clicks, known = sessions.items, row >= 0
    first, second = clicks[:-1], clicks[1:]
    inside = torch.ones(len(second), dtype=torch.bool)
    inside[sessions.offsets[1:-1] - 1] = False  # one session's last click, the next one's first
    leads = inside & ~known[first] & known[second]  # a new item, then a known one
    follows = inside & known[first] & ~known[second]
    item, order = torch.cat([first[leads], second[follows]]).sort(stable=True)
    neighbour = row[torch.cat([second[leads], first[follows]])[order]]
    items, counts = torch.unique_consecutive(item, return_counts=True)
    # Averages the rows of each item without copying their vectors.
    return items, F.embedding_bag(neighbour, trained, counts.cumsum(0) - counts, mode="mean")


def _trained_table(old: SessionModel) -> tuple[Tensor, Tensor]:
    """What items can start from [V_old, d], and which of the rows are more than drawn [V_old]."""
    table = old.embedding.weight.detach()
    usable = torch.ones(len(table), dtype=torch.bool)
    if old.num_scored < len(table):  # cold ones without vectors
        usable[old.num_trained :] = False
        if old.text is not None:
            weight = old.stand_in_weight.unsqueeze(2)
            means = (table[old.stand_ins] * weight).sum(dim=1)
            table = torch.cat([table[: old.num_trained], means])
            usable[old.num_trained :] = weight.any(dim=1).squeeze(1)
    return table, usable


def _of_categories(
    old: Mapping[str, Any], new: TrainedCategories, trained: Tensor, drawn: Tensor
) -> Tensor:
    """Embeddings of this run's categories: trained ones, and as drawn where there is none."""
    of_column = zip(old["columns"], old["values"], strict=True)
    names = [(column, value) for column, values in of_column for value in values]
    row = {name: number for number, name in enumerate(names)}
    wanted = [(column, value) for column, values in new.values.items() for value in values]
    found = drawn.clone()
    for number, name in enumerate(wanted):
        if name in row:
            found[number] = trained.detach()[row[name]]
    return found


def _check_categories(
    path: str | Path, old: Mapping[str, Any] | None, new: TrainedCategories | None
) -> None:
    there = [] if old is None else list(old["columns"])
    here = [] if new is None else list(new.values)
    if there != here:
        raise ValueError(
            f"warm_start={path}: it knows items by categories={there}, this run by "
            f"categories={here}; set the keys attributes and categories alike"
        )


def _check_events(
    path: str | Path, old: Mapping[str, Any] | None, training: SessionDataset
) -> None:
    """Refuse types of clicks with other numbers."""
    there, here = list((old or {}).get("events") or ()), list(training.events)
    if there != here:
        raise ValueError(
            f"warm_start={path}: its clicks have the types {there}, those of this run {here}; set "
            "dataset.events alike, in the same order"
        )


def _check_text(
    path: str | Path, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, own: bool
) -> None:
    """Refuse texts on one side alone, and those of another encoder.

    Args:
        path: The trained model.
        old: What describes its texts.
        new: What describes those of this run.
        own: Whether its texts were those of its dataset, and not of a file.
    """
    if old is None and new is None:
        return
    if old is None or new is None:
        there, here = ("no texts" if facts is None else facts["source"] for facts in (old, new))
        remedy = "text=null takes none"
        if old is not None:
            columns = ",".join(old["columns"])
            from_log = f"text=auto dataset.text=[{columns}]" if columns else "text=auto"
            remedy = f"{from_log} takes those of the dataset" if own else f"text={there} takes them"
        raise ValueError(
            f"warm_start={path}: item texts there: {there}, here: {here}; with them, a model has "
            f"other parameters ({remedy})"
        )
    differ = differences(old["encoder"] or {}, new["encoder"] or {}, set(), "encoder.")
    differ += differences(old, new, (old.keys() | new.keys()) - {"dimensions"}, "text ")
    if differ:
        raise ValueError(
            f"warm_start={path}: its texts have the vectors of another encoder\n  "
            + "\n  ".join(differ)
            + "\nChoose the encoder that it was trained with"
        )


def _check_vectors(path: str | Path, old: SessionModel, new: SessionModel, row: Tensor) -> None:
    """Refuse ready-made vectors of another encoder: it shows in those of the items both have."""
    assert old.text is not None and new.text is not None
    items = (row >= 0).nonzero().squeeze(1)
    there, here = old.text.vectors[row[items]], new.text.vectors[items]
    both = (there != 0).any(dim=1) & (here != 0).any(dim=1)
    same = int(((there * here).sum(dim=1)[both] > _SAME_TEXT).sum())
    if 2 * same <= int(both.sum()):
        raise ValueError(
            f"warm_start={path}: its items have other ready-made vectors: of {int(both.sum())} "
            f"items with one there and here, {same} have the same, and more than half must"
        )


def _check_model(path: str | Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    old, new = (_with_defaults(settings) for settings in (old, new))
    if differ := differences(old, new, _MAY_DIFFER, "model."):
        raise ValueError(
            f"warm_start={path}: it holds another model than this run's\n  "
            + "\n  ".join(differ)
            + "\nSet the keys alike"
        )


def _with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with those that earlier versions lacked; without those of no effect."""
    owners = SessionModel, MODELS[settings["name"]]
    arguments = [each for owner in owners for each in signature(owner).parameters.values()]
    added = {each.name: each.default for each in arguments if each.default is not each.empty}
    found = added | dict(settings)
    of_texts = ("text_similarity", "text_edges", "text_expert", "text_neighbours")
    found = found if found["text_channels"] else found | dict.fromkeys(of_texts, 0)
    found = found if found["num_events"] else found | {"events": False}
    return found if found["num_earlier"] else found | {"earlier": False}


def _match(path: str | Path, old: Vocabulary, new: Vocabulary) -> Tensor:
    """Row of each new item in the old table, -1 where it has none."""
    there, here = old.ids[0], new.ids[0]
    kinds = {int: "whole numbers", str: "texts"}
    if type(there) is not type(here):
        raise ValueError(
            f"warm_start={path}: its item ids are {kinds[type(there)]}, such as {there!r}, those "
            f"of this run's dataset {kinds[type(here)]}, such as {here!r}; they must be of one type"
        )
    row = torch.tensor(old.encode(new.ids))
    if not bool((row >= 0).any()):
        raise ValueError(
            f"warm_start={path}: none of its {len(old)} items, such as {there!r}, is among the "
            f"{len(new)} of this run's dataset, such as {here!r}; at least one must be"
        )
    return row
