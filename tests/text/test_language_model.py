"""A language model that lies on this machine: tokens, states of texts, what is refused."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from pyg_srgnn.text.language_model import MOST_TOKENS, LanguageModel
from tests.text.tiny_llm import CHANNELS, LAYERS, smollm2, write_tiny_llm

pytestmark = pytest.mark.slow

TEXTS = ["red wooden chair", "lamp", "blue cup, green cup", "a paper cup"]


@pytest.fixture(scope="module")
def folder(shared):
    return shared.made("tiny-llm", write_tiny_llm)


@pytest.fixture(scope="module")
def model(folder):
    return LanguageModel.open(folder)


def test_a_folder_is_opened_in_float32_and_fixed(model):
    assert model.channels == CHANNELS
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in model.model.parameters())
    assert not model.model.training


def test_tokens(model):
    tokens = model.tokens(["red chair", None, "", "red red red red"], most=3)
    red, chair = tokens[0, :2].tolist()
    assert tokens.tolist() == [[red, chair, -1], [-1] * 3, [-1] * 3, [red] * 3]
    assert model.tokens(["red"], most=3, special=True).tolist() == [[0, red]]
    assert model.tokens(["red", "chair"], most=0).shape == (2, 0)


def test_a_text_state_is_the_mean_of_its_tokens_whatever_stands_beside_it(model):
    states = model.text_states(TEXTS, progress=False)
    for text, state in zip(TEXTS, states, strict=True):
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])
        expected = model.model(input_ids=ids).last_hidden_state[0].mean(dim=0)
        torch.testing.assert_close(state, expected)


def test_of_a_long_text_the_first_tokens_count(model):
    long = " ".join(["red"] * (MOST_TOKENS - 1))  # and the one that a text begins with
    states = model.text_states([long, f"{long} chair", f"{long} cup"], progress=False)
    torch.testing.assert_close(states[1], states[0])
    torch.testing.assert_close(states[2], states[0])


def test_the_first_layers_alone(folder, model):
    short = LanguageModel.open(folder, layers=1)
    assert len(short.model.layers) == 1
    assert short.fingerprint != model.fingerprint
    assert LanguageModel.open(folder).fingerprint == model.fingerprint
    state = short.text_states(["lamp"], progress=False)
    assert not torch.allclose(state, model.text_states(["lamp"], progress=False))
    with pytest.raises(ValueError, match=f"it has {LAYERS} layers, not 3"):
        LanguageModel.open(folder, layers=3)


def test_what_is_no_language_model(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere is no language model: .* downloaded"):
        LanguageModel.open(tmp_path / "nowhere")
    (tmp_path / "text.gguf").write_text("no model")
    with pytest.raises(ValueError, match=r"text\.gguf cannot be opened as a language model"):
        LanguageModel.open(tmp_path / "text.gguf")
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "config.json").write_text(json.dumps({"model_type": "nothing"}))
    with pytest.raises(ValueError, match="damaged cannot be opened as a language model"):
        LanguageModel.open(damaged)


def test_code_in_the_folder_is_neither_run_nor_asked_about(folder, tmp_path, monkeypatch):
    other = shutil.copytree(folder, tmp_path / "other")
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Own"}}
    (other / "config.json").write_text(json.dumps(config))
    (other / "own.py").write_text("raise SystemExit('it was run')")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ValueError, match=r"other cannot be opened .*custom code"):
        LanguageModel.open(other)


def test_without_the_extra(folder, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("pyg_srgnn.utils.extras.version", missing)
    with pytest.raises(ValueError, match=r"needs transformers, which is not installed: .*\[llm\]"):
        LanguageModel.open(folder)


def test_a_gguf_file_and_nothing_is_printed(capfd):
    model = LanguageModel.open(smollm2(), layers=1)
    assert capfd.readouterr() == ("", "")
    states = model.text_states(["a red chair", "a blue chair", "the price of gold"], progress=False)
    assert states.shape == (3, 576) and states.isfinite().all()
    chairs, other = torch.cosine_similarity(states[0], states[1:])
    assert chairs > other
