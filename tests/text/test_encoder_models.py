"""The encoders that are given a model on this machine: a decoder, one of sentence-transformers."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pyg_srgnn.text.encoder import open_encoder
from pyg_srgnn.text.local_files import content_of
from pyg_srgnn.utils import extras
from pyg_srgnn.utils.arguments import ArgumentError
from tests.text.tiny_llm import CHANNELS, smollm2, write_tiny_llm

TEXTS = ["red wooden chair", "lamp", "", "blue cup , green cup"]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs no model is tested without the packages, too."""
    monkeypatch.setattr(extras, "version", lambda package: "1.0")


@pytest.fixture(autouse=True)
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("name", "extra"),
    [("llm", "llm"), ("sentence_transformers", "sentence-transformers")],
)
def test_a_package_that_is_missing(
    name: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(extras, "version", missing)
    with pytest.raises(ValueError, match=rf"encoder={name} needs .*\[{extra}\]"):
        open_encoder(name, model=str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_a_decoder_that_is_not_on_this_machine(tmp_path: Path) -> None:
    for model in ("org/name", tmp_path, tmp_path / "no.gguf", "", None):
        with pytest.raises(ArgumentError, match="'model' must be ") as told:
            open_encoder("llm", model=model)
        assert "nothing is downloaded" in str(told.value) or not model


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("model", ["org/name", "all-MiniLM-L6-v2", "no/such/folder", "a b"])
def test_a_sentence_model_that_is_not_on_this_machine(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=rf"'{model}'; nothing is downloaded unless encoder\."):
        open_encoder("sentence_transformers", model=model)


@pytest.mark.usefixtures("installed")
def test_a_sentence_model_is_downloaded_if_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only if it is not there."""
    asked: list[Any] = []

    def sentence_transformer(model: str, **arguments: Any) -> None:
        asked.append((model, arguments))
        cached(tmp_path, "org", "tiny")

    package = SimpleNamespace(SentenceTransformer=sentence_transformer)
    monkeypatch.setitem(sys.modules, "sentence_transformers", package)
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    for _ in range(2):
        encoder = open_encoder("sentence_transformers", model="org/tiny", download=True)
        assert encoder.settings == {"model": "org/tiny", "prompt": None}
        assert asked == [("org/tiny", {})]
    cached(tmp_path, "sentence-transformers", "tiny")
    named = open_encoder("sentence_transformers", model="tiny")
    assert len(asked) == 1 and named.version == encoder.version


def cached(folder: Path, organisation: str, name: str) -> None:
    """Put a model to where the Hub's library keeps what it has downloaded."""
    model = folder / f"models--{organisation}--{name}"
    snapshot = model / "snapshots" / ("0" * 40)
    (model / "refs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (model / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text("{}")


def test_every_argument_that_is_wrong_is_named() -> None:
    wrong = {"model": None, "prompt": "", "download": 1, "batch_size": 0}
    with pytest.raises(ArgumentError) as told:
        open_encoder("sentence_transformers", **wrong)
    assert set(told.value.wrong) == set(wrong)


def test_a_model_is_identified_by_what_is_in_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "1_Pooling").mkdir(parents=True)
        (tmp_path / name / "model.safetensors").write_text("weights")
        (tmp_path / name / "1_Pooling" / "config.json").write_text("{}")
    first = content_of(tmp_path / "a")
    assert first == content_of(tmp_path / "b") and len(first) == 16
    (tmp_path / "b" / "README.md").write_text("for people")
    (tmp_path / "b" / ".cache").mkdir()
    (tmp_path / "b" / ".cache" / "x.json").write_text("{}")
    assert first == content_of(tmp_path / "b")
    (tmp_path / "b" / "1_Pooling" / "config.json").write_text("{ }")
    assert first != content_of(tmp_path / "b")
    (tmp_path / "a" / "model.safetensors").rename(tmp_path / "a" / "other.safetensors")
    assert first != content_of(tmp_path / "a")
    assert content_of(tmp_path / "a" / "other.safetensors") != first


@pytest.mark.slow
def test_states_of_a_decoder(shared: Any, tmp_path: Path) -> None:
    folder = shared.made("tiny-llm", write_tiny_llm)
    encoder = open_encoder("llm", model=str(folder))
    assert encoder.settings == {"model": str(folder)}
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (4, CHANNELS) and vectors.dtype == np.float32
    assert np.isfinite(vectors).all() and vectors.any(axis=1).tolist() == [True, True, False, True]
    assert encoder.encode([]).shape == encoder.encode(()).shape == (0, CHANNELS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(encoder.encode([text])[0], vector, atol=1e-5)
    # A copy elsewhere is the same encoder, but for the path by which it was named.
    copy = open_encoder("llm", model=shutil.copytree(folder, tmp_path / "copy"))
    assert copy.version == encoder.version and np.array_equal(copy.encode(TEXTS), vectors)


@pytest.mark.slow
def test_smollm2_tells_scarves_from_kettles() -> None:
    """Raw cosines are all near 1; the mean of other texts is taken away."""
    encoder = open_encoder("llm", model=str(smollm2()))
    texts = ["red wool scarf", "blue wool scarf", "steel kettle", "paper lamp", "cake tin"]
    vectors = encoder.encode(texts)
    assert vectors.shape == (5, 576)
    raw = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (raw @ raw.T).min() > 0.5
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = vectors @ vectors.T
    assert found[0, 1] > found[0, 2:].max() + 0.3


def write_tiny_sentence_model(folder: Path) -> None:
    """A BERT of one layer with random weights."""
    pytest.importorskip("sentence_transformers")
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ":", "item", *" ".join(TEXTS).split()]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    BertTokenizerFast(vocab=vocabulary).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)


@pytest.mark.slow
def test_vectors_of_a_sentence_model(shared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared.made("tiny-sentence-model", write_tiny_sentence_model)
    encoder = open_encoder("sentence_transformers", model=str(folder), batch_size=2)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (4, 16) and vectors.dtype == np.float32 and np.isfinite(vectors).all()
    assert encoder.encode([]).shape == (0, 16)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(encoder.encode([text])[0], vector, atol=1e-5)
    prompted = open_encoder("sentence_transformers", model=str(folder), prompt="item: ")
    assert prompted.version == encoder.version and prompted.settings["prompt"] == "item: "
    with_prompt = [f"item: {text}" for text in TEXTS]
    np.testing.assert_allclose(prompted.encode(TEXTS), encoder.encode(with_prompt), atol=1e-5)
    monkeypatch.chdir(folder.parent)
    assert open_encoder("sentence_transformers", model=folder.name).encode(["a"]).any()
