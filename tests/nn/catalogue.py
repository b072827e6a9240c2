"""A small catalogue with texts for the tests of models: cold items, and some without a text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pyg_srgnn.data import Sessions
from pyg_srgnn.nn import SRGNN
from tests.reference.names import random_sessions, randomise

ITEMS, TRAINED, CHANNELS, F = 11, 8, 4, 6
WITHOUT = (3, 9)  # a trained item and a cold one that have no text
SESSIONS = [s for s in random_sessions(18, ITEMS) if not set(s) >= set(range(TRAINED))]
TARGETS = [(5 * n + 2) % TRAINED for n in range(len(SESSIONS))]
TRAINING = random_sessions(12, TRAINED, seed=1)
CLICKS = np.bincount([i for each in TRAINING for i in each], minlength=ITEMS)
MODES = ("id", "text", "sum", "delta", "null_space")


def raw_texts(channels: int = F, seed: int = 5) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What an encoder might give: vectors that lie close together, zeros where there is no text."""
    draw = np.random.default_rng(seed)
    raw = 3.0 + draw.normal(size=(ITEMS, channels)) @ draw.normal(size=(channels, channels))
    raw[list(WITHOUT)] = 0
    return raw


def make(
    texts: Any = None,
    seed: int = 0,
    double: bool = True,
    num_trained: int = TRAINED,
    **options: Any,
) -> SRGNN:
    """A model in evaluation mode whose every parameter is drawn at random."""
    raw = raw_texts() if texts is None else texts
    options = {"text_channels": raw.shape[1], "num_trained": num_trained} | options
    model = SRGNN(ITEMS, CHANNELS, **options)
    model = randomise(model.double() if double else model, seed, 0.5)
    if model.text is not None:
        model.set_text(torch.tensor(raw))
    model.set_training(Sessions.from_lists([[i % num_trained for i in s] for s in TRAINING]))
    return model.eval()
