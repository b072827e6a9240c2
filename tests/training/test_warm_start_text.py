"""A warm start with item texts: old axes, new texts; what was cold; other encoders."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pyg_srgnn.checkpoint import Checkpoint, describe_training
from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.functional.whitening import Whitening
from pyg_srgnn.nn import SessionModel, build_model
from pyg_srgnn.text.encode import TextVectors
from pyg_srgnn.training.warm_start import warm_start
from tests.nn.test_srgnn import batch_of
from tests.reference.names import random_sessions, randomise

MODES = ("id", "text", "sum", "delta", "null_space")
F = 5
OLD = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]  # the last three are cold,
OLD_TRAINED = 7  # of which j has no text
NEW = ["x", "h", "b", "j", "a", "d", "c", "i", "f", "y"]  # i and f and y are cold,
NEW_TRAINED = 7  # e and g are gone, x and y new
SETTINGS = {
    **{"name": "srgnn", "channels": 6, "scale": 3.0, "text_neighbours": 4, "repeat": True},
    **{"neighbours": 2, "transitions": 3},
}


def text_of(ids: list[str], other: tuple[str, ...] = (), **facts: Any) -> TextVectors:
    """A vector of each item, the same for the same item; ``other`` items have another one."""
    rows = []
    for raw in ids:
        draw = np.random.default_rng(ord(raw) + 1000 * (raw in other))
        rows.append(np.zeros(F) if raw == "j" else 1 + draw.normal(size=F))
    vectors = torch.tensor(np.stack(rows), dtype=torch.float32)
    encoder = {"name": "hashed", "version": "1", "dimensions": F}
    described = {"source": "shop", "columns": [], "content": "0", "encoder": encoder}
    described |= {"dimensions": F, "items": len(ids) - 1} | facts
    return TextVectors(vectors, vectors.any(dim=1), described)


def shop(ids: list[str], trained: int, seed: int) -> Any:
    sessions = Sessions.from_lists(random_sessions(30, trained, seed, longest=6))
    return SimpleNamespace(sessions=sessions, vocabulary=Vocabulary(ids), split="train", events={})


def built(
    ids: list[str], trained: int, text: TextVectors | None, sessions: Sessions, **settings: Any
) -> tuple[SessionModel, dict[str, Any]]:
    given = {**SETTINGS, "num_items": len(ids), "num_trained": trained}
    given |= {"text_channels": 0 if text is None else F} | settings
    torch.manual_seed(3)
    model = build_model(given)
    if text is not None:
        model.set_text(text.vectors)
    model.set_training(sessions)
    return model, given


def old_run(path: Path, text: TextVectors | None, **settings: Any) -> Path:
    """A checkpoint whose parameters are drawn at random."""
    training = shop(OLD, OLD_TRAINED, 0)
    model, given = built(OLD, OLD_TRAINED, text, training.sessions, **settings)
    randomise(model, 1)
    clicks = torch.bincount(training.sessions.items, minlength=len(OLD))
    facts = None if text is None else text.facts
    entries = describe_training(
        given, training.vocabulary, clicks, {"name": "shop"}, "train", "honest", text=facts
    )
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 0, "state_dict": state, **entries}, path)
    return path


def start(
    path: Path, text: TextVectors | None, new_items: str = "neighbours", **settings: Any
) -> tuple[SessionModel, SessionModel, SessionModel]:
    """The started model, one that is not, and the old one."""
    training = shop(NEW, NEW_TRAINED, 2)
    model, given = built(NEW, NEW_TRAINED, text, training.sessions, **settings)
    drawn, _ = built(NEW, NEW_TRAINED, text, training.sessions, **settings)
    warm_start(model, given, training, path, new_items, text)
    return model.eval(), drawn.eval(), Checkpoint.load(path).model


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("new_items", ["neighbours", "init"])
def test_weights_and_axes_are_the_old_models(tmp_path: Path, mode: str, new_items: str) -> None:
    path = old_run(tmp_path / "old.ckpt", text_of(OLD), item_table=mode)
    model, drawn, old = start(path, text_of(NEW), new_items, item_table=mode)
    old_parameters = dict(old.named_parameters())
    for name, parameter in model.named_parameters():
        if name != "embedding.weight":
            assert torch.equal(parameter, old_parameters[name]), name
    assert torch.equal(model.text.mean, old.text.mean)
    assert torch.equal(model.text.directions, old.text.directions)
    assert not torch.equal(drawn.text.directions, old.text.directions), "else it tests nothing"
    wanted = Whitening(old.text.mean, old.text.directions)(text_of(NEW).vectors)
    torch.testing.assert_close(model.text.vectors, wanted)

    # What is counted in the new sessions is new.
    assert torch.equal(model.global_graph.weight, drawn.global_graph.weight)
    assert torch.equal(model.transitions.count[:NEW_TRAINED], drawn.transitions.count[:NEW_TRAINED])
    assert torch.equal(model.text_neighbours.bucket, drawn.text_neighbours.bucket)
    cosines = model.text.vectors @ model.text.vectors.T
    near = model.text_neighbours.neighbours[0].long()
    torch.testing.assert_close(model.text_neighbours.cosine[0], cosines[0, near])


def test_items_known_there_have_the_vectors_that_they_had(tmp_path: Path, mode: str) -> None:
    path = old_run(tmp_path / "old.ckpt", text_of(OLD), item_table=mode)
    model, _, old = start(path, text_of(NEW), item_table=mode)
    with torch.no_grad():
        here, there = model.item_vectors(), old.item_vectors()
        for raw in "abcd":
            found, wanted = here[NEW.index(raw)], there[OLD.index(raw)]
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        assert not model.scores(batch_of([[0, 1], [8, 3]])).isnan().any()


def test_what_was_cold_starts_from_what_stood_in(tmp_path: Path) -> None:
    path = old_run(tmp_path / "old.ckpt", text_of(OLD))
    model, drawn, old = start(path, text_of(NEW), "init")
    cold = OLD.index("h") - OLD_TRAINED
    near, weight = old.stand_ins[cold], old.stand_in_weight[cold]
    wanted = (old.embedding.weight[near] * weight.unsqueeze(1)).sum(dim=0)
    torch.testing.assert_close(model.embedding.weight[NEW.index("h")], wanted)
    # Without a text nothing stood in for it: a new item, as drawn.
    for raw in "jx":
        item = NEW.index(raw)
        assert torch.equal(model.embedding.weight[item], drawn.embedding.weight[item])


def test_what_was_cold_without_texts_is_new(tmp_path: Path) -> None:
    path = old_run(tmp_path / "old.ckpt", None)
    model, drawn, old = start(path, None, "init")
    for raw in "hjx":
        item = NEW.index(raw)
        assert torch.equal(model.embedding.weight[item], drawn.embedding.weight[item])
    item = NEW.index("a")
    assert torch.equal(model.embedding.weight[item], old.embedding.weight[OLD.index("a")])
    started, drawn, _ = start(path, None, "neighbours")
    assert not torch.equal(started.embedding.weight[0], drawn.embedding.weight[0])


HASHED = {"name": "hashed", "version": "1", "dimensions": F}


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"encoder": HASHED | {"name": "wordllama"}}, "encoder.name: there hashed, here wordllama"),
        ({"encoder": HASHED | {"version": "2"}}, "encoder.version: there 1, here 2"),
        ({"encoder": None}, f"encoder.dimensions: there {F}, here None"),
        ({"dimensions": 4}, "text dimensions: there 5, here 4"),
    ],
)
def test_another_encoder(tmp_path: Path, facts: dict[str, Any], told: str) -> None:
    path = old_run(tmp_path / "old.ckpt", text_of(OLD))
    with pytest.raises(ValueError, match=rf"old.ckpt: its texts have the vectors of.*\s+{told}"):
        start(path, text_of(NEW, **facts))


def test_other_texts_of_the_same_encoder(tmp_path: Path) -> None:
    path = old_run(tmp_path / "old.ckpt", text_of(OLD))
    model, _, _ = start(path, text_of(NEW, other=tuple(NEW), content="1", source="elsewhere"))
    assert model.text.vectors.any()


def test_ready_made_vectors_are_compared_by_the_items_that_both_have(tmp_path: Path) -> None:
    path = old_run(tmp_path / "old.ckpt", text_of(OLD, encoder=None))
    start(path, text_of(NEW, other=("a",), encoder=None))
    told = "of 7 items with one there and here, 3 have the same, and more than half must"
    with pytest.raises(ValueError, match=told):
        start(path, text_of(NEW, other=("a", "b", "c", "d"), encoder=None))


def test_texts_on_one_side_only(tmp_path: Path) -> None:
    path = old_run(tmp_path / "old.ckpt", text_of(OLD, source="items.csv", columns=["title"]))
    told = r"there: items\.csv, here: no texts; .*\(text=items\.csv takes them\)"
    with pytest.raises(ValueError, match=told):
        start(path, None)
    for columns, keys in (([], "text=auto"), (["a", "b"], r"text=auto dataset\.text=\[a,b\]")):
        path = old_run(tmp_path / "old.ckpt", text_of(OLD, columns=columns))  # of the dataset
        with pytest.raises(ValueError, match=rf"\({keys} takes those of the dataset\)"):
            start(path, None)
    path = old_run(tmp_path / "old.ckpt", None)
    told = r"item texts there: no texts, here: shop; .*\(text=null takes none\)"
    with pytest.raises(ValueError, match=told):
        start(path, text_of(NEW))


def test_another_table(tmp_path: Path) -> None:
    path = old_run(tmp_path / "old.ckpt", text_of(OLD), item_table="sum")
    with pytest.raises(ValueError, match=r"model\.item_table: there sum, here delta"):
        start(path, text_of(NEW), item_table="delta")


def test_a_checkpoint_from_before_there_were_texts(tmp_path: Path) -> None:
    path = old_run(tmp_path / "old.ckpt", None, text_neighbours=0, num_trained=None)
    stored = torch.load(path, weights_only=True)
    for key in ("item_table", "text_channels", "text_neighbours", "num_trained"):
        stored["model"].pop(key, None)
    del stored["text"]
    torch.save(stored, path)
    model, _, old = start(path, None)
    item = NEW.index("a")
    assert torch.equal(model.embedding.weight[item], old.embedding.weight[OLD.index("a")])
