"""Small models of items with texts, in catalogues with and without their last cold items."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.nn import build_model
from pyg_srgnn.text.encoders.hashed import HashedEncoder
from tests.reference.names import random_sessions, randomise

TRAINED, COLD = 30, 8
CHANNELS = 16  # of a text
_WORDS = ["red", "blue", "green", "old", "new", "big", "small", "oak", "pine", "iron"]
TEXTS = [
    f"{_WORDS[i % 10]} {_WORDS[(3 * i + 1) % 10]} thing {i // 3}" for i in range(TRAINED + COLD)
]
# Two are without a text, one of them cold.
WITHOUT = 3, TRAINED + 1
IDS = [f"item {i}" for i in range(TRAINED + COLD)]
ENCODER = {"name": "hashed", "version": "1", "dimensions": CHANNELS}
_MIXED = {"scale": 12.0, "repeat": True, "neighbours": 5, "transitions": 6, "text_neighbours": 7}
_MIXED |= {"similar": 5, "text_expert": True, "positions": 3}
MODELS: dict[str, dict[str, Any]] = {
    "mixture": {"name": "srgnn", **_MIXED},
    "mixture of sums": {"name": "srgnn", **_MIXED, "item_table": "sum"},
    "encoders": {"name": "srgnn", **_MIXED, "sequence": "joint", "softmaxes": 2},
    "edges": {"name": "srgnn", **_MIXED, "text_edges": True, "text_similarity": True},
    "neighbours": {"name": "srgnn", "text_neighbours": 7, "item_table": "null_space"},
    "ids": {"name": "srgnn"},
    "sum": {"name": "srgnn", "item_table": "sum"},
    "delta": {"name": "srgnn", "item_table": "delta", "scale": 8.0, "neighbours": 4},
    "popular": {
        **{"name": "srgnn", "item_table": "sum", "scale": 8.0, "item_bias": True},
        **{"popularity": [0.3], "output_table": "delta"},
    },
    "text": {"name": "gru4rec", "item_table": "text", "scale": 9.0, "num_layers": 2},
}


def text_vectors(num_items: int = TRAINED + COLD) -> Tensor:
    """What the encoder makes of the texts of the first items."""
    vectors = torch.from_numpy(HashedEncoder(CHANNELS).encode(TEXTS))
    vectors[list(WITHOUT)] = 0
    return vectors[:num_items]


@cache
def checkpoint(name: str = "mixture", cold: int = COLD) -> Checkpoint:
    """A model whose weights do not depend on the number of cold items in its catalogue."""
    num_items = TRAINED + cold
    sizes = {"num_items": num_items, "num_trained": TRAINED, "text_channels": CHANNELS}
    settings = {**MODELS[name], **sizes, "channels": 8}
    model = build_model(settings)
    for part in model.children():
        randomise(part, seed=3, scale=0.3)
    output = model.output
    with torch.no_grad():
        if getattr(model, "text_factor", None) is not None:
            model.text_factor.copy_(torch.tensor([0.8, -0.6]))
        for table in (model.embedding.weight, output.bias, output.delta):
            if table is not None:
                generator = torch.Generator().manual_seed(5)
                table[:TRAINED] = 0.3 * torch.randn(table[:TRAINED].shape, generator=generator)
                table[TRAINED:] = 0
    for part in (model.embedding.lin, output.lin):
        if part is not None:
            randomise(part, seed=4, scale=0.3)
    sessions = Sessions.from_lists(random_sessions(60, TRAINED, seed=2, longest=9))
    model.set_text(text_vectors(num_items))
    model.set_training(sessions)
    facts = {
        **{"source": "/where/it/lies/items.csv", "columns": ["title"], "content": "0" * 64},
        **{"encoder": ENCODER, "dimensions": CHANNELS, "items": num_items - 2},
    }
    return Checkpoint(
        model.eval(),
        settings,
        Vocabulary(IDS[:num_items]),
        torch.bincount(sessions.items, minlength=num_items),
        {"name": "click_log"},
        "train",
        "honest",
        Path("nowhere/checkpoints/best.ckpt"),
        text=facts,
    )


def sessions(num_items: int = TRAINED + COLD) -> list[list[int]]:
    """Sessions of trained and cold items."""
    every = list(range(num_items))
    return [*random_sessions(60, num_items, seed=9, longest=14), [num_items - 1], every]
