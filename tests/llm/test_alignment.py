"""align(): both stages, kept in a folder, and again from where they were cut short."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

import pyg_srgnn.llm.alignment as module
from pyg_srgnn.baselines import Popularity
from pyg_srgnn.data import SessionLoader, Sessions
from pyg_srgnn.evaluation import evaluate
from pyg_srgnn.evaluation.loop import assert_row_independent
from pyg_srgnn.llm import AlignedModel, Alignment, LanguageModel, align, text_states
from pyg_srgnn.llm.aligned_model import SETTINGS, WEIGHTS
from pyg_srgnn.llm.item_stage import align_items, retrieval
from pyg_srgnn.nn import build_model
from tests.llm.toy import NAMES, graph_model
from tests.text.tiny_llm import smollm2

pytestmark = pytest.mark.slow

SESSIONS = 60
SHORT = Alignment(text_tokens=2, steps=20, epochs=3, lr=3e-3, rank=2)


@pytest.fixture(scope="module")
def graph(toy):
    return graph_model(toy("train"), epochs=2)


@pytest.fixture
def run(graph, toy, tiny, tmp_path):
    """Aligns the tiny language model; gives the model and its tensors."""

    def call(folder="run", settings=SHORT, texts=NAMES, sessions=SESSIONS, layers=None, **more):
        some = toy("train").sessions[:sessions]
        return align(
            *(graph, texts, some, tiny(layers), tmp_path / folder, settings),
            **{"progress": False, **more},
        )

    return call


def copy(opened):
    """The same language model, to be trained."""
    return LanguageModel(deepcopy(opened.model), opened.tokenizer, opened.path, opened.layers)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))


def test_a_run_that_was_cut_short_ends_as_one_that_was_not(run, tmp_path, monkeypatch):
    whole = run("whole").tensors()
    train_epoch = module.train_epoch

    def killed(model, sessions, optimizer, epoch, *rest):
        if epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(model, sessions, optimizer, epoch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(module, "train_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    with pytest.raises(FileNotFoundError):
        AlignedModel.load(tmp_path / "run")
    with pytest.raises(ValueError, match=r"a training with other alignment; name another folder"):
        run(settings=Alignment(text_tokens=2, steps=20, epochs=4, lr=3e-3, rank=2))
    with pytest.raises(ValueError, match=r"a training with other texts"):
        run(texts=NAMES[::-1])
    with pytest.raises(ValueError, match=r"a training with other data"):
        run(sessions=SESSIONS - 1)
    with pytest.raises(ValueError, match=r"a training with other fingerprint"):
        run(layers=1)
    with monkeypatch.context() as patch:
        patch.setattr(module, "align_items", None)  # is not needed again
        resumed = run()
    assert same(resumed.tensors(), whole)
    assert {file.name for file in (tmp_path / "run").iterdir()} == {SETTINGS, WEIGHTS}
    assert same(AlignedModel.load(tmp_path / "run").tensors(), whole)
    with pytest.raises(ValueError, match="holds a finished model"):
        run()


def test_the_best_epoch_is_kept(run, tmp_path):
    values, seen = iter([0.2, 0.5, 0.4]), []

    def valid(model):
        assert not model.training
        seen.append({name: tensor.clone() for name, tensor in model.tensors().items()})
        return next(values)

    model = run(valid=valid)
    assert same(model.tensors(), seen[1])
    assert not same(model.tensors(), seen[2])
    stored = json.loads((tmp_path / "run" / SETTINGS).read_text())
    assert [epoch["valid"] for epoch in stored["epochs"]] == [0.2, 0.5, 0.4]
    assert stored["alignment"]["epochs"] == 3


def test_cold_items_of_the_graph_model(graph, toy, tiny, tmp_path):
    settings = {**graph.settings, "num_trained": len(NAMES) - 2}
    cold = replace(graph, model=build_model(settings).eval(), settings=settings)
    sessions = [session for session in toy("train").sessions.to_lists() if max(session) < 34][:40]
    model = align(
        *(cold, NAMES, Sessions.from_lists(sessions), tiny(), tmp_path, SHORT), progress=False
    )
    with torch.no_grad():
        scores = model.scores(toy("test").batch(range(30)))
    assert scores.isneginf().all(dim=0).nonzero().flatten().tolist() == [34, 35]
    assert scores[:, :34].isfinite().all()


def test_texts_that_cannot_be_contrasted(run):
    with pytest.raises(ValueError, match="35 texts were given for a catalogue of 36 items"):
        run(texts=NAMES[1:])
    with pytest.raises(ValueError, match=r"5 of 36 items have a text and clicks .* 1 of their"):
        run(texts=["lamp"] * 5 + [None] * 31)


def test_states_are_of_items_with_a_text_and_clicks(tiny):
    texts = ["red lamp", None, "cup", "red lamp", "", "blue chair"]
    states = text_states(tiny(), texts, Sessions.from_lists([[3, 0, 1], [4, 2]]), progress=False)
    assert states.items.tolist() == [0, 2, 3]  # nobody clicked on 5
    assert states.group[0] == states.group[2] != states.group[1]
    assert torch.equal(states.directions[0], states.directions[2])
    expected = tiny().text_states(["red lamp", "cup", "red lamp"], progress=False)
    torch.testing.assert_close(states.mean, expected.mean(dim=0))


def test_wrong_settings():
    with pytest.raises(ValueError, match=r"'epochs' must be .*; 'lr' must be"):
        Alignment(epochs=0, lr=-1)


def test_end_to_end_with_a_language_model(toy, tmp_path):
    """The first layers of SmolLM2-135M on 36 items whose names say what follows what."""
    training, test = toy("train"), toy("test")
    graph = graph_model(training)
    opened = LanguageModel.open(smollm2(), layers=4)

    # Stage 1, on three items of four: whose vector is it that a text belongs to?
    language_model = copy(opened)
    held = [number % 4 == 1 for number in range(len(NAMES))]
    of_held, of_others = (
        text_states(
            language_model,
            [name if out == part else None for name, out in zip(NAMES, held, strict=True)],
            training.sessions,
            progress=False,
        )
        for part in (True, False)
    )
    vectors = graph.model.item_vectors().detach()
    model = AlignedModel(language_model, vectors, language_model.tokens(NAMES, 6), 12.0)
    losses = align_items(model, of_others, progress=False)
    assert losses[-1] < losses[0] / 4
    assert retrieval(model, of_others) > 0.9
    assert sum(held) == 9 and retrieval(model, of_held) > 0.5  # chance is 1 in 9

    # Both stages, as they are meant to be run.
    settings = Alignment(text_tokens=6, epochs=1)
    model = align(
        *(graph, NAMES, training.sessions, copy(opened), tmp_path / "aligned", settings),
        progress=False,
    )

    def metrics(scorer):
        return evaluate(scorer, SessionLoader(test, 64), len(NAMES))

    popularity, found = metrics(Popularity.fit(training.sessions, len(NAMES))), metrics(model)
    assert found["hr@5"] > 2 * popularity["hr@5"]
    assert found["mrr@20"] > 2 * popularity["mrr@20"]
    assert_row_independent(model, test, batch_size=16, max_rows=24)

    loaded = AlignedModel.load(tmp_path / "aligned", copy(opened))
    batch = test.batch(range(20))
    with torch.no_grad():
        assert torch.equal(loaded.scores(batch), model.scores(batch))
