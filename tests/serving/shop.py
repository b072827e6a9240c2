"""A small outdoor shop with names, and a model trained on its clicks for some seconds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from pyg_srgnn.checkpoint import describe_training
from pyg_srgnn.data import SessionLoader, Sessions, Vocabulary
from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.nn import build_model
from pyg_srgnn.text.encode import TextVectors, encode_items
from pyg_srgnn.text.encoders.hashed import HashedEncoder
from pyg_srgnn.text.item_texts import ItemTexts
from tests.reference.names import randomise

SHELVES = [
    "Trail shoe|Running sock|Hydration vest|Running cap|Headlamp|Gaiters|Sports watch|Energy gel",
    "Two-person tent|Sleeping bag|Sleeping mat|Camp pillow|Gas stove|Titanium pot|Spork|Lantern",
    "Road helmet|Bike light|Bib shorts|Cycling glove|Bike pump|Inner tube|Bottle cage|Chain oil",
    "Climbing shoe|Harness|Chalk bag|Belay device|Quickdraw set|Rope 60 m|Carabiner|Crash pad",
    "Rain jacket|Fleece pullover|Merino shirt|Hiking trousers|Wool hat|Down vest|Mittens|Scarf",
    "Dry bag|Kayak paddle|Life vest|Neoprene boot|Swim goggles|Snorkel|Towel|Sun cream",
]
NAMES = {
    1000 + 10 * shelf + n: name
    for shelf, names in enumerate(SHELVES)
    for n, name in enumerate(names.split("|"))
}
IDS = list(NAMES)


def write_names(path: Path) -> Path:
    """The file that a service is given."""
    lines = ["id\tname", *(f"{item}\t{name}" for item, name in NAMES.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class Shop(SessionDataset):
    name = "shop"

    def read(self):
        draw = random.Random(0)
        clicks = [_session(draw) for _ in range(3000)]
        vocabulary = Vocabulary(IDS)
        sessions = Sessions.from_lists([vocabulary.encode(session) for session in clicks])
        return *sessions.split_last(0.05), vocabulary


def _session(draw: random.Random) -> list[int]:
    """A walk along a shelf, now and then back to an item, or on to another shelf."""
    shelf, at = draw.randrange(len(SHELVES)), int(draw.triangular(0, 8, 1))
    session = []
    for _ in range(draw.randint(2, 9)):
        session.append(1000 + 10 * shelf + at)
        kind = draw.random()
        if kind < 0.2 and len(session) > 1:
            shelf, at = divmod(draw.choice(session) - 1000, 10)
        elif kind < 0.27:
            shelf = (shelf + draw.choice([1, 3])) % len(SHELVES)
        else:
            at = (at + draw.choice([1, 1, 1, 2, 3])) % 8
    return session


def train_shop(
    root: Path,
    epochs: int = 3,
    *,
    more: dict[str, Any] | None = None,
    texts: TextVectors | None = None,
) -> Path:
    """The checkpoint of a model of the shop's items; with more settings, and with texts."""
    torch.manual_seed(0)
    training = Shop(str(root), "train")
    settings = {"name": "srgnn", "num_items": len(IDS), "channels": 24, "scale": 12.0}
    settings |= {"residual": "highway", "positions": 10, "repeat": True}
    settings |= more or {}
    model = build_model(settings)
    if texts is not None:
        model.set_text(texts.vectors)
    model.set_training(training.sessions)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    batches = SessionLoader(training, batch_size=200, shuffle=True)
    for epoch in range(epochs):
        batches.sampler.set_epoch(epoch)
        for batch in batches:
            loss = model.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    clicks = torch.bincount(training.sessions.items, minlength=len(IDS))
    facts = None
    if texts is not None:
        facts = texts.facts
        for part in (model.text_neighbours, model.text_expert):
            torch.nn.init.zeros_(part.gate.weight)
            torch.nn.init.constant_(part.gate.bias, -1.0)
    return _saved(root / "shop.ckpt", model, settings, IDS, clicks, facts)


def train_with_texts(root: Path) -> Path:
    """The checkpoint of a model that knows the names of the shop's items as well.

    Walks along shelves do not care for names: so the weight of texts is set rather than learned.
    """
    encoder = HashedEncoder(32)
    texts = ItemTexts(ids=IDS, texts=[*NAMES.values()], columns=["name"], source="the shop")
    found = encode_items(texts, Vocabulary(IDS), encoder, None, progress=False)
    settings = {"text_channels": 32, "text_neighbours": 12, "text_expert": True, "transitions": 12}
    return train_shop(root, more=settings, texts=found)


def untrained(root: Path, ids: list[int] | list[str]) -> Path:
    """The checkpoint of a model with random weights; the first ids are the most popular ones."""
    settings = {"name": "srgnn", "num_items": len(ids), "channels": 6}
    model = randomise(build_model(settings), 0, scale=0.2)
    clicks = torch.arange(len(ids), 0, -1)
    return _saved(root / "untrained.ckpt", model, settings, ids, clicks)


def _saved(path, model, settings, ids, clicks, text=None) -> Path:
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    training = describe_training(
        settings, Vocabulary(ids), clicks, {"name": "shop"}, "train", "honest", text=text
    )
    torch.save({"epoch": 1, "state_dict": weights, **training}, path)
    return path
