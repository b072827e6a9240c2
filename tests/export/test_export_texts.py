"""Exports of models whose items have texts, some of them cold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pyg_srgnn import Recommender
from pyg_srgnn.export.write import export
from pyg_srgnn.inference.artifact import Artifact
from tests.export.texts import COLD, ENCODER, IDS, TRAINED, checkpoint, sessions, text_vectors

pytestmark = pytest.mark.slow

KNOWN = TRAINED + 3


@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
@pytest.mark.parametrize("name", ["mixture", "sum", "text"])
def test_the_scores_of_the_checkpoint(tmp_path: Path, name: str, kind: str) -> None:
    artifact = Artifact.load(export(checkpoint(name), tmp_path / "export", kind))
    wanted, found = checkpoint(name).scorer, artifact.scorer
    scores = wanted.scores(sessions())
    torch.testing.assert_close(found.scores(sessions()), scores, atol=1e-5, rtol=0)
    for seen in (False, True):
        values, items = found.topk(sessions(), TRAINED, exclude_seen=seen)
        expected = wanted.topk(sessions(), TRAINED, exclude_seen=seen)[0]
        torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)
        there = values > -torch.inf
        assert torch.allclose(scores.gather(1, items)[there], values[there], atol=1e-5)
    assert artifact.text == {**(checkpoint(name).text or {}), "source": "items.csv"}
    assert (artifact.scorer.facts.num_trained, len(artifact.vocabulary)) == (TRAINED, len(IDS))


@pytest.mark.parametrize("name", ["mixture", "sum", "text"])
def test_new_items_of_an_export(tmp_path: Path, name: str) -> None:
    small = export(checkpoint(name, cold=3), tmp_path / "export", precision="int8")
    found = Recommender.load(small)
    found.add_items(IDS[KNOWN:], text_vectors()[KNOWN:])
    scores = checkpoint(name).scorer.scores(sessions())
    torch.testing.assert_close(found.scorer.scores(sessions()), scores, atol=1e-5, rtol=0)
    assert len(found.cold) == COLD


def test_no_path_is_in_the_manifest(tmp_path: Path) -> None:
    folder = export(checkpoint("sum"), tmp_path / "export")
    text = (folder / "manifest.json").read_text()
    assert "/where/it/lies" not in text and json.loads(text)["text"]["encoder"] == ENCODER
