"""Small models with trained counts and random weights, as checkpoints and as exported folders."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.functional.marks import MarkedSession
from pyg_srgnn.functional.wanted import Wanted
from pyg_srgnn.nn import ModelMixture, rebuild_model
from tests.reference.names import random_sessions, randomise

IDS = [f"item {i}" for i in range(40)]
_MIXED = {"scale": 12.0, "residual": "highway", "positions": 10, "repeat": True, "neighbours": 5}
# Between them, every ingredient that changes a score; the first has the default ones.
MODELS: dict[str, dict[str, Any]] = {
    "default": {"name": "srgnn", **_MIXED, "transitions": 6, "dropout": 0.3},
    "plain": {"name": "srgnn"},
    "local": {
        **{"name": "srgnn", "readout": "local", "residual": "add", "binary_edges": True},
        **{"last_k": 3, "frequency": True, "neighbours": 4},
    },
    "repeats": {"name": "srgnn", "readout": "average", "repeat": True, "num_steps": 2},
    "transitions": {
        **{"name": "srgnn", "readout": "attention", "transitions": 5, "positions": 4},
        **{"reset_after": True, "loss": "sampled", "negatives": 8, "similar": 7},
    },
    "last_k": {"name": "srgnn", "readout_bias": True, "last_k": 2, "scale": 8.0, "frequency": True},
    "gru4rec": {"name": "gru4rec", "num_layers": 2, "scale": 9.0},
    "output": {
        **{"name": "srgnn", **_MIXED, "transitions": 6, "item_bias": True, "temperature": True},
        **{"popularity": [0.1, 0.8], "output_table": "delta"},
    },
    "counts": {
        **{"name": "srgnn", **_MIXED, "repeat": "counts", "transitions": 6},
        **{"leave_out": "session", "similar": 5},
    },
    "encoders": {
        **{"name": "srgnn", **_MIXED, "transitions": 6, "popularity": [0.3], "item_bias": True},
        **{"sequence": "alone", "softmaxes": 2, "readout_levels": 3, "output_table": "delta"},
    },
    "marks": {
        **{"name": "srgnn", **_MIXED, "transitions": 6},
        **{"events": True, "num_events": 3, "gaps": True},
    },
    "users": {
        **{"name": "srgnn", **_MIXED, "transitions": 6, "earlier": True, "num_earlier": 6},
        **{"num_steps": 2, "gaps": True},
    },
    "biased": {"name": "gru4rec", "item_bias": True, "popularity": [0.3]},
    "mixture": {"name": "mixture", "members": ["default", "gru4rec", "plain"]},
}


@cache
def checkpoint(
    name: str = "default", path: Path = Path("nowhere/checkpoints/best.ckpt")
) -> Checkpoint:
    """A model that knows :data:`IDS`; its scores lie around 1."""
    sizes = {"num_items": len(IDS), "channels": 8}
    settings = {**MODELS[name], **sizes}
    if name == "mixture":
        members = [{**MODELS[member], **sizes} for member in MODELS[name]["members"]]
        settings = {"name": name, "members": members}
    model = randomise(rebuild_model(settings), seed=3, scale=0.3)
    if isinstance(model, ModelMixture):
        for number, weights in enumerate(model.weights):
            weights.copy_(torch.tensor([0.3, 0.2, 0.5]).roll(number) + (number == 3) / 2)
    model.set_training(Sessions.from_lists(random_sessions(60, len(IDS), seed=2, longest=9)))
    clicks = torch.arange(1, len(IDS) + 1)
    return Checkpoint(
        model.eval(),
        settings,
        Vocabulary(IDS),
        clicks,
        {"name": "click_log", "path": "/where/it/lies", "gap": "30m"},
        "train",
        "honest",
        path,
        preparation={"gap": "30m"},
    )


def sessions() -> list[list[int]]:
    """Many sessions: single clicks, one item over and over, long ones, the whole catalogue.

    Some have types, pauses and earlier clicks, of which most models know nothing.
    """
    every, draw = list(range(len(IDS))), random.Random(0)
    plain = random_sessions(150, len(IDS), seed=9, longest=14)
    for number in range(0, len(plain), 2):
        events = [draw.randrange(3) for _ in plain[number]]
        pauses = [draw.choice([-1, 0, 9, 700]) for _ in plain[number]]
        earlier = plain[number - 1][: number % 10]
        given = events, pauses if number % 4 else None
        plain[number] = MarkedSession(plain[number], *given, earlier)
    return [*plain, [7], [3, 3, 3], every, every[::-1]]


def topk(
    scorer: Any, sessions: Any, k: int, offsets: Any = None, exclude_seen: bool = False
) -> Any:
    """The k best items of sessions that all want the same, scores and items [B, k]."""
    return scorer.best(sessions, [Wanted(range(len(sessions)), k, offsets, exclude_seen)])[0]
