"""A toy catalogue whose names say which items are clicked after one another."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

import torch

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data import SessionLoader, Sessions, Vocabulary
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.nn import build_model

NAMES = [
    " ".join(words)
    for words in product(
        ("red", "blue", "green", "black"), ("wooden", "steel", "paper"), ("chair", "lamp", "cup")
    )
]


def toy_sessions(count: int, seed: int) -> list[list[int]]:
    """Sessions of 3 to 7 clicks: every next item shares two of the three words of the last one."""
    rng = random.Random(seed)
    words = [set(name.split()) for name in NAMES]
    near = [
        [other for other, theirs in enumerate(words) if len(mine & theirs) == 2] for mine in words
    ]
    sessions = []
    for _ in range(count):
        session = [rng.randrange(len(NAMES))]
        while len(session) < rng.randint(3, 7):
            session.append(rng.choice(near[session[-1]]))
        sessions.append(session)
    return sessions


class Toy(SessionDataset):
    """Toy sessions, without raw files."""

    name = "toy"

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        training, test = toy_sessions(300, seed=0), toy_sessions(60, seed=1)
        return Sessions.from_lists(training), Sessions.from_lists(test), Vocabulary(NAMES)


def graph_model(training: Toy, epochs: int = 15) -> Checkpoint:
    """A small SR-GNN, trained for seconds."""
    torch.manual_seed(0)
    settings = {"name": "srgnn", "num_items": training.num_items, "channels": 32, "scale": 12.0}
    model = build_model(settings)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = SessionLoader(training, batch_size=50, shuffle=True)
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            loss = model.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    clicks = torch.bincount(training.sessions.items, minlength=training.num_items)
    return Checkpoint(
        model.eval(),
        settings,
        training.vocabulary,
        clicks,
        {"name": training.name},
        training.split,
        "honest",
        Path("toy/best.ckpt"),
    )
