"""A trained model as a folder without pickles: safetensors and JSON.

===================== ============================================================================
``model.safetensors`` the weights and buffers, and the clicks of each item in training
``config.json``       the model's settings, and what describes its training
``vocabulary.json``   the raw ids in the order of their numbers
``README.md``         the card, for people and for the Hugging Face hub; loading does not read it
===================== ============================================================================
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save_file
from torch import Tensor

from pyg_srgnn.data.vocabulary import Vocabulary

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocabulary.json"
_FORMAT, _VERSION = "pyg_srgnn.model", 1
_TENSORS = ("state_dict", "clicks")
# Arguments of a dataset that tell of the machine it was prepared on.
_LOCAL = {"root", "mirror", "path", "vocabulary", "texts"}


def write_model(folder: Path, stored: dict[str, Any]) -> None:
    """Write the entries of a checkpoint into a folder that is there.

    Paths of this machine are left out.

    Args:
        folder: The folder.
        stored: The entries that :meth:`pyg_srgnn.checkpoint.Checkpoint.load` reads.
    """
    tensors = {"clicks": stored["clicks"], **stored["state_dict"]}
    # Buffers may share memory or be strided, which the format refuses.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(copies, folder / WEIGHTS)
    Vocabulary(stored["vocabulary"]).save(folder / VOCABULARY)
    (folder / WEIGHTS).chmod((folder / VOCABULARY).stat().st_mode)  # not its owner's alone
    facts = {key: stored[key] for key in stored if key not in (*_TENSORS, "vocabulary")}
    facts["dataset"] = {k: v for k, v in stored["dataset"].items() if k not in _LOCAL}
    facts |= {key: _without_paths(facts.get(key)) for key in ("text", "member_texts", "categories")}
    held = {"format": _FORMAT, "version": _VERSION, **facts}
    (folder / CONFIG).write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")


def read_model(weights: Path) -> dict[str, Any]:
    """Read what :func:`write_model` wrote; nothing in it is executed.

    Args:
        weights: Its ``model.safetensors``.

    Raises:
        ValueError: If the folder is of another kind or of a later version.
        OSError: If a file is missing.
    """
    held = json.loads((weights.parent / CONFIG).read_text(encoding="utf-8"))
    if not isinstance(held, dict) or held.get("format") != _FORMAT:
        raise ValueError(f"{CONFIG} is not one of pyg_srgnn's")
    if held["version"] != _VERSION:
        raise ValueError(f"{CONFIG} has version {held['version']}, expected {_VERSION}")
    tensors: dict[str, Tensor] = load(weights.read_bytes())
    clicks = tensors.pop("clicks").to(torch.long)
    vocabulary = Vocabulary.load(weights.parent / VOCABULARY).ids
    return held | {"state_dict": tensors, "clicks": clicks, "vocabulary": vocabulary}


def _without_paths(text: Any) -> Any:
    """What describes texts, with the name of their file alone."""
    if isinstance(text, list):
        return [_without_paths(one) for one in text]
    return text if text is None else {**text, "source": Path(text["source"]).name}
