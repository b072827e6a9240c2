"""Exports with an index: their recall is measured, written down, and reached."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("faiss", reason="faiss is not installed: pip install '.[index]'")

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.export.held_out import held_out_vectors
from pyg_srgnn.export.write import export
from pyg_srgnn.inference.artifact import Artifact
from pyg_srgnn.inference.index import Index
from pyg_srgnn.nn import build_model
from pyg_srgnn.training import train
from tests.export.exports import checkpoint, topk
from tests.inference.test_index import _shop
from tests.tiny import tiny_config


@pytest.fixture(scope="module")
def shop() -> Checkpoint:
    """A model whose items lie in clusters, as those of a trained one do."""
    vectors, _ = _shop()
    settings = {"name": "srgnn", "num_items": len(vectors), "channels": vectors.size(1)}
    torch.manual_seed(0)
    model = build_model(settings).eval()
    with torch.no_grad():
        model.embedding.weight.copy_(vectors)
    return replace(
        checkpoint("plain"),
        model=model,
        settings=settings,
        vocabulary=Vocabulary(range(len(vectors))),
        clicks=torch.ones(len(vectors), dtype=torch.long),
    )


@pytest.mark.slow
def test_an_export_with_an_index(shop: Checkpoint, tmp_path: Path) -> None:
    folder = export(shop, tmp_path / "export", "torch_export", index_above=1_000)
    facts = json.loads((folder / "manifest.json").read_text())["index"]
    assert facts["recall"] >= 0.98 and facts["queried_with"] == "items"  # there is no dataset
    card = (folder / "model_card.md").read_text()
    assert f"recall@20 is {facts['recall']:.4f} beside exact search" in card
    scorer = Artifact.load(folder).scorer
    assert isinstance(scorer.catalogue, Index)
    sessions = [[i, i + 1, i] for i in range(0, 5_000, 50)]
    values, items = topk(scorer, sessions, 20)
    scores = shop.scorer.scores(sessions)
    assert torch.allclose(values, scores.gather(1, items), atol=1e-5)
    assert torch.allclose(scorer.scores(sessions), scores, atol=1e-5)  # of all items, exact


@pytest.mark.slow
def test_a_smaller_catalogue_has_none(shop: Checkpoint, tmp_path: Path) -> None:
    folder = export(shop, tmp_path / "export", "torch_export", index_above=6_000)
    assert "index" not in json.loads((folder / "manifest.json").read_text())
    assert not (folder / "index.safetensors").exists()


@pytest.mark.slow
def test_a_damaged_index_is_refused(shop: Checkpoint, tmp_path: Path) -> None:
    folder = export(shop, tmp_path / "export", "torch_export", index_above=1_000)
    index = folder / "index.safetensors"
    index.write_bytes(index.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"index\.safetensors is not the file that was exported"):
        Artifact.load(folder)


@pytest.mark.parametrize(
    ("model", "mixes"),
    [
        ("mixture", "whole models"),
        ("encoders", r"several softmaxes \(model, sequence, softmax_2\)"),
    ],
)
def test_models_of_several_softmaxes_have_none(model: str, mixes: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"index_above=10: this model mixes {mixes}"):
        export(checkpoint(model), tmp_path / "export", index_above=10)
    assert not (tmp_path / "export").exists()


@pytest.mark.slow
def test_a_mixture_with_an_index(shop: Checkpoint, tmp_path: Path) -> None:
    settings = {**shop.settings, "scale": 6.0, "repeat": True, "transitions": 6}
    torch.manual_seed(0)
    model = build_model(settings).eval()
    with torch.no_grad():
        model.embedding.weight.copy_(shop.model.embedding.weight)
    draw = torch.Generator().manual_seed(1)
    clicked = torch.randint(shop.clicks.numel(), (400, 8), generator=draw)
    model.set_training(Sessions.from_lists(clicked.tolist()))
    mixture = replace(shop, model=model, settings=settings)
    folder = export(mixture, tmp_path / "export", "torch_export", index_above=1_000)
    facts = json.loads((folder / "manifest.json").read_text())["index"]
    assert facts["recall"] >= 0.98 and facts["log_sum_off"][0] < 0.01
    card = (folder / "model_card.md").read_text()
    assert f"recall@20 is {facts['recall']:.4f}" in card and "softmax's sum is an estimate" in card
    scorer = Artifact.load(folder).scorer
    assert isinstance(scorer.catalogue, Index)
    sessions = clicked[:200, :5].tolist()
    values, items = topk(scorer, sessions, 20)
    scores = mixture.scorer.scores(sessions)
    found, best = scores.gather(1, items), scores.topk(20)
    assert torch.allclose(values, found, atol=0.1)
    hits = (items.unsqueeze(2) == best.indices.unsqueeze(1)).any(dim=2).double().mean()
    assert hits >= 0.97  # of random sessions, which the recall was not measured with
    assert torch.allclose(scorer.scores(sessions), scores, atol=1e-5)  # of all items, exact


def test_sessions_that_the_model_has_not_learned_from(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "data", "model=srgnn_plain", "baselines=[]")
    train(config, tmp_path / "run")
    trained = Checkpoint.load(tmp_path / "run")
    valid = open_dataset(config.dataset, "valid")
    found = held_out_vectors(trained, most=7)
    assert found is not None and len(found) == 7
    last = trained.model(valid.batch([len(valid) - 1]))
    assert torch.allclose(found[-1:], last, atol=1e-6)
    later = replace(trained, split="trainval")  # has seen these, so the test part's are taken
    test = open_dataset(config.dataset, "test")
    found = held_out_vectors(later, most=10_000)
    assert found is not None and len(found) == len(test)
    assert torch.allclose(found[:1], later.model(test.batch([0])), atol=1e-6)
    gone = replace(trained, dataset={"name": "click_log", "path": str(tmp_path / "gone.csv")})
    assert held_out_vectors(gone) is None
