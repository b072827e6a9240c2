"""Encoders are found by name, and nothing is imported before it is used."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyg_srgnn.text.encoder import TextEncoder, open_encoder
from pyg_srgnn.utils import extras
from pyg_srgnn.utils.arguments import ArgumentError

SCARVES = ["red wool scarf", "blue wool scarf", "steel kettle"]


def cosines(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    vectors = encoder.encode(texts)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


@pytest.mark.parametrize("name", ["hashed", "wordllama"])
def test_vectors_of_texts(name: str) -> None:
    encoder = open_encoder(name)
    assert encoder.name == name
    json.dumps([encoder.version, encoder.settings])
    texts = [*SCARVES, "", "???", "dépêche ☃ 名前 \ud83d", "word " * 30_000]
    vectors = encoder.encode(texts)
    assert vectors.dtype == np.float32 and vectors.shape == (len(texts), 256)
    assert np.isfinite(vectors).all() and np.abs(vectors[[0, 1, 2, 5, 6]]).max(axis=1).min() > 0
    assert encoder.encode([]).shape == (0, 256) and encoder.encode([]).dtype == np.float32
    # In whatever company a text is encoded, its vector is the same.
    for row, text in enumerate(texts):
        np.testing.assert_allclose(encoder.encode([text])[0], vectors[row], atol=1e-6)
    assert np.array_equal(open_encoder(name).encode(texts), vectors)


@pytest.mark.parametrize("name", ["hashed", "wordllama"])
def test_similar_texts_are_near(name: str) -> None:
    found = cosines(open_encoder(name), SCARVES)
    assert found[0, 1] > 0.4 > found[0, 2] + 0.2


def test_wordllama_knows_meaning_and_hashed_words_only() -> None:
    texts = ["christmas tree", "xmas decoration", "garden hose"]
    near, far = cosines(open_encoder("wordllama"), texts)[0, 1:]
    assert near > far + 0.2
    assert np.abs(cosines(open_encoder("hashed"), texts)[0, 1:]).max() <= 0.5


def test_hashed_vectors_are_those_of_every_machine() -> None:
    encoder = open_encoder("hashed", dimensions=8)
    assert encoder.settings == {"dimensions": 8}
    first, double, triple = 26**-0.5, 2 * 26**-0.5, 3 * 26**-0.5
    expected = [-first, -double, 0, -double, -double, -double, -triple, 0]
    assert encoder.encode(["Red WOOL scarf, red"]).tolist()[0] == pytest.approx(expected)


def test_hashed_counts_words_without_case_and_order() -> None:
    encoder = open_encoder("hashed")
    first, second, more = encoder.encode(["Red scarf", "SCARF (red)", "red red scarf"])
    assert np.array_equal(first, second)
    assert not np.allclose(first, more)
    assert np.linalg.norm(encoder.encode(SCARVES), axis=1) == pytest.approx(1)


def test_hashed_tells_all_words_of_a_large_vocabulary_apart() -> None:
    words = [f"word{number}" for number in range(2000)]
    found = cosines(open_encoder("hashed"), words)
    assert np.abs(found - np.eye(len(words))).max() < 0.99


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("hashed", {"dimensions": 8}),
        ("wordllama", {}),
        ("http", {"url": "https://example.org/v1", "model": "m", "dimensions": 4}),
    ],
)
def test_an_encoder_is_made_again_from_its_settings(name: str, settings: dict[str, Any]) -> None:
    encoder = open_encoder(name, **settings)
    again = open_encoder(name, **json.loads(json.dumps(encoder.settings)))
    assert again.settings == encoder.settings == settings and again.version == encoder.version


def test_an_unknown_encoder() -> None:
    with pytest.raises(ValueError, match=r"one of .*hashed.*, wordllama \(got 'word2vec'\)"):
        open_encoder("word2vec")


def test_arguments_that_an_encoder_does_not_have() -> None:
    with pytest.raises(ValueError, match=r"encoder 'hashed': got an unexpected .* 'size'"):
        open_encoder("hashed", size=3)
    with pytest.raises(ArgumentError, match=r"'dimensions' must be a whole number >= 8 \(got 0\)"):
        open_encoder("hashed", dimensions=0)


def test_an_encoder_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in place as pip would have it: a module, and its entry point beside it."""
    (tmp_path / "lengths.py").write_text(
        "import numpy as np\n"
        "class Lengths:\n"
        "    name, version, settings = 'lengths', '2.0', {}\n"
        "    def encode(self, texts):\n"
        "        return np.array([[len(text)] for text in texts], np.float32).reshape(-1, 1)\n"
    )
    told = tmp_path / "lengths-2.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: lengths\nVersion: 2.0\n")
    (told / "entry_points.txt").write_text("[pyg_srgnn.text_encoders]\nlengths = lengths:Lengths\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert open_encoder("lengths").encode(SCARVES).tolist() == [[14], [15], [12]]
    assert open_encoder("hashed").name == "hashed"


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise extras.PackageNotFoundError(package)

    monkeypatch.setattr(extras, "version", missing)
    with pytest.raises(ValueError, match=r"encoder=wordllama needs wordllama.*\[text\]"):
        open_encoder("wordllama")


USED = """
import sys
from pyg_srgnn.text.encoder import open_encoder
encoder = open_encoder({name!r}, **{settings!r})
assert encoder.settings is not None
{then}
found = {{name.partition(".")[0] for name in sys.modules}}
print(*found & {{"torch", "wordllama", "transformers", "sentence_transformers", "tokenizers"}})
print(__import__("logging").getLogger().handlers)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings", "then", "loaded"),
    [
        ("hashed", {}, "encoder.encode(['a'])", set()),
        ("http", {"url": "https://example.org/v1", "model": "m"}, "", set()),
        ("wordllama", {}, "", set()),
        ("wordllama", {}, "encoder.encode(['a'])", {"wordllama", "tokenizers"}),
        ("llm", {"model": "model"}, "", set()),
        ("sentence_transformers", {"model": "model"}, "", set()),
    ],
)
def test_nothing_is_imported_before_it_is_used(
    name: str, settings: dict[str, str], then: str, loaded: set[str], tmp_path: Path
) -> None:
    """And a package that is does not set up logging."""
    package = {"llm": "transformers", "sentence_transformers": "sentence_transformers"}.get(name)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-c", USED.format(name=name, settings=settings, then=then)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    modules, handlers = done.stdout.splitlines()
    assert set(modules.split()) == loaded and handlers == "[]" and not done.stderr


def test_wordllama_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert open_encoder("wordllama").encode(SCARVES).shape == (3, 256)
