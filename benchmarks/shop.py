"""A model of a catalogue of any size, its export, and sessions to ask it with.

Weights are drawn, not trained: what an answer costs depends on sizes, not on values, but for how
far the best items stand out, and drawn vectors are the harder case there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

CONF = Path(__file__).parents[1] / "conf" / "model"
_TRAINING = 50_000  # sessions that followers and neighbours are counted in


def model_settings(name: str, items: int, channels: int) -> dict[str, Any]:
    """A configuration of ``conf/model`` for a catalogue of some size."""
    from omegaconf import OmegaConf

    settings: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    return {**settings, "num_items": items, "channels": channels}


def drawn_checkpoint(
    name: str, items: int, channels: int, training: Any = None, texts: Any = None, **keys: Any
) -> Any:
    """A model with drawn weights, as if it had been trained and saved.

    Args:
        name: A configuration of ``conf/model``.
        items: Items of the catalogue.
        channels: Size of an embedding.
        training: The training sessions. (default: drawn ones)
        texts: Text vectors of the items [V, F]. (default: items have no texts)
        **keys: Other settings of the model than the configuration's.
    """
    import torch

    from pyg_srgnn.checkpoint import Checkpoint
    from pyg_srgnn.data import Sessions, Vocabulary
    from pyg_srgnn.nn import build_model

    torch.manual_seed(0)
    settings, facts = {**model_settings(name, items, channels), **keys}, None
    if texts is not None:
        settings["text_channels"] = texts.size(1)
        facts = {"source": "drawn", "columns": [], "content": "0" * 64, "encoder": None}
        facts |= {"dimensions": texts.size(1), "items": items}
    model = build_model(settings).eval()
    if texts is not None:
        model.set_text(texts)
    if training is None:
        training = Sessions.from_lists(sessions_of(items, lengths(_TRAINING), seed=1))
    model.set_training(training)
    clicks = torch.ones(items, dtype=torch.long)
    where = Path(f"{name} of {items} items")
    return Checkpoint(
        model,
        settings,
        Vocabulary(range(items)),
        clicks,
        {"name": "drawn"},
        "train",
        "honest",
        where,
        text=facts,
    )


def write_export(name: str, items: int, channels: int, precision: str, folder: str) -> None:
    """Export such a model."""
    from pyg_srgnn.export.write import export

    export(drawn_checkpoint(name, items, channels), folder, precision=precision)


def real_lengths(root: str, mirror: str | None) -> list[int] | None:
    """Clicks of Diginetica's test samples, where its files are there or a mirror is given."""
    from pyg_srgnn.datasets import Diginetica

    raw = Path(root, Diginetica.name, "raw")
    if not mirror and not all((raw / source.name).is_file() for source in Diginetica.sources):
        return None
    sessions = Diginetica(root, "test", mirror=mirror).sessions
    return [end for length in sessions.lengths.tolist() for end in range(1, length)]


def lengths(count: int, seed: int = 0, mean: float = 4.0) -> list[int]:
    """Clicks of sessions, geometrically distributed."""
    drawn: list[int] = np.random.default_rng(seed).geometric(1 / mean, count).tolist()
    return drawn


def sessions_of(items: int, clicks: list[int], seed: int = 0) -> list[list[int]]:
    """Sessions of given lengths; few items get most of the clicks, a fifth goes back to one."""
    generator = np.random.default_rng(seed)
    flat = (items * generator.random(sum(clicks)) ** 3).astype(np.int64)
    back = generator.random(len(flat)) < 0.2
    sessions, start = [], 0
    for length in clicks:
        session = flat[start : start + length].tolist()
        for place in range(1, length):
            if back[start + place]:
                session[place] = session[generator.integers(place)]
        sessions.append(session)
        start += length
    return sessions
