"""AlignedModel: what it reads, what is trained of it, what is written of it."""

from __future__ import annotations

import json

import pytest
import torch

from pyg_srgnn.data import SessionLoader
from pyg_srgnn.data.graphs import session_graph
from pyg_srgnn.evaluation.loop import assert_row_independent
from pyg_srgnn.llm import AlignedModel, LanguageModel
from pyg_srgnn.llm.aligned_model import SETTINGS, WEIGHTS
from tests.llm.toy import NAMES

pytestmark = pytest.mark.slow

SESSIONS = [[3], [0, 7, 0, 5], [9, 2]]


def flat(sessions):
    clicks = torch.tensor([item for session in sessions for item in session])
    return clicks, torch.tensor([len(session) for session in sessions])


@torch.no_grad()
def test_a_prefix_has_the_vector_that_it_has_alone(aligned):
    model = aligned()
    found = iter(model(*flat(SESSIONS)))
    for session in SESSIONS:
        for end in range(1, len(session) + 1):
            alone = model(*flat([session[:end]]))[-1]
            torch.testing.assert_close(next(found), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [None, 12.0])
@torch.no_grad()
def test_scores_are_products_with_the_item_vectors(aligned, scale):
    model = aligned(scale=scale)
    session = torch.tensor(SESSIONS[1])
    vector = model(*flat([SESSIONS[1]]))[-1]
    torch.testing.assert_close(model.scores(session_graph(session))[0], model.item_vectors @ vector)
    if scale is not None:
        assert float(vector.norm()) == pytest.approx(scale, rel=1e-5)


@torch.no_grad()
def test_text_vector_and_order_are_read(aligned):
    model = aligned()
    before = model(*flat([[1, 0, 2]]))[-1]

    def changed(session=(1, 0, 2)):
        return float((model(*flat([session]))[-1] - before).abs().max())

    assert changed() == 0
    assert changed((0, 1, 2)) > 1e-4
    model.item_vectors[1] *= -1
    assert changed() > 1e-4
    model.item_vectors[1] *= -1
    model.texts[1] = model.texts[20]
    assert changed() > 1e-4


@torch.no_grad()
def test_the_last_clicks_are_read(aligned):
    model = aligned(max_clicks=3)
    long, short = (
        session_graph(torch.tensor([8, 9, 1, 2, 1])),
        session_graph(torch.tensor([1, 2, 1])),
    )
    torch.testing.assert_close(model.scores(long), model.scores(short))


@torch.no_grad()
def test_an_item_without_a_vector_is_read_by_its_text_and_not_ranked(aligned):
    model = aligned(scale=12.0)
    model.item_vectors[[5, 6]] = 0
    scores = [model.scores(session_graph(torch.tensor([1, item])))[0] for item in (5, 6)]
    for each in scores:
        assert each.isneginf().nonzero().flatten().tolist() == [5, 6]
    assert not torch.allclose(*scores, atol=1e-3)


def test_rows_do_not_depend_on_one_another(aligned, toy):
    assert_row_independent(aligned(scale=12.0), toy("test"), batch_size=20, max_rows=60)


def test_lora_layers_and_maps_are_trained_and_nothing_else(aligned, toy):
    model = aligned()
    names = model.trained().keys()
    maps = {name for name in names if name.startswith(("into.", "back."))}
    assert maps == {"into.weight", "into.bias", "back.weight", "back.bias"}
    assert all(".lora_" in name for name in names - maps)
    assert len(names - maps) == 2 * 2 * 7  # two of each of a layer's linear maps
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = next(iter(SessionLoader(toy("train"), 30)))
    torch.nn.functional.cross_entropy(model.scores(batch), batch.y).backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert changed == set(names)


@torch.no_grad()
def test_saved_and_loaded(aligned, tiny, toy, tmp_path):
    model = aligned(scale=5.0, max_clicks=4, rank=3)
    model.save(tmp_path, note="kept")
    assert json.loads((tmp_path / SETTINGS).read_text())["note"] == "kept"
    assert {file.name for file in tmp_path.iterdir()} == {SETTINGS, WEIGHTS}
    assert (tmp_path / WEIGHTS).stat().st_size < 100_000  # without the language model
    batch = next(iter(SessionLoader(toy("test"), 40)))
    for loaded in (AlignedModel.load(tmp_path), AlignedModel.load(tmp_path, tiny())):
        assert torch.equal(loaded.scores(batch), model.scores(batch))


def test_another_language_model_is_refused(aligned, tiny, tmp_path):
    aligned().save(tmp_path)
    other = LanguageModel.open(tiny().path, layers=1)
    with pytest.raises(ValueError, match=r"is not the language model that .* was trained with"):
        AlignedModel.load(tmp_path, other)


def test_a_damaged_file_is_refused(aligned, tmp_path):
    model = aligned()
    model.save(tmp_path)
    tensors = model.tensors()
    del tensors["back.bias"]
    with pytest.raises(ValueError, match=r"here does not fit this model: back\.bias"):
        model.set_tensors(tensors, "here")
    content = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f"{WEIGHTS} is damaged"):
        AlignedModel.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=SETTINGS):
        AlignedModel.load(tmp_path / "nowhere")


def test_wrong_arguments(tiny):
    language_model = tiny()
    texts = language_model.tokens(NAMES, 2)
    with pytest.raises(
        ValueError, match=r"'rank' must be .*; 'texts' must be a row for each of the"
    ):
        AlignedModel(language_model, torch.zeros(5, 4), texts, rank=0)
    AlignedModel(language_model, torch.zeros(len(NAMES), 4), texts)
    with pytest.raises(ValueError, match="'language_model' must be opened anew"):
        AlignedModel(language_model, torch.zeros(len(NAMES), 4), texts)
