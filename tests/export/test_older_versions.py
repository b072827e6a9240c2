"""Runs, checkpoints and exports of earlier versions open, and recommend what they recommended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyg_srgnn import Recommender

FIXTURES = Path(__file__).parents[1] / "fixtures"
VERSIONS = sorted(path.name for path in FIXTURES.iterdir())
FORMS = ("{}", "{}/checkpoints/best.ckpt", "{}-onnx", "{}-torch_export")


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", ["srgnn", "srgnn_plain", "gru4rec"])
def test_the_same_recommendations(version: str, model: str, form: str) -> None:
    folder = FIXTURES / version
    wanted = json.loads((folder / "scores.json").read_text())
    sessions, wanted = wanted["sessions"], wanted[model]
    recommender = Recommender.load(folder / form.format(model))
    rows = recommender.recommend(sessions, k=10)
    for found, row in zip(rows, wanted["recommended"], strict=True):
        assert [item for item, _ in found] == [item for item, _ in row]
        assert [score for _, score in found] == pytest.approx([score for _, score in row], abs=1e-5)
    for session, why in zip(sessions, wanted["explained"], strict=True):
        found = recommender.explain(session)
        for name in ("item", "clicks", "nodes", "log_probabilities"):
            assert getattr(found, name) == why[name]
        assert [list(edge) for edge in found.edges] == why["edges"]
        for name in ("score", "attention", "added", "weights", "weights_in"):
            value = getattr(found, name)
            # Added is a difference of two scores.
            assert value == (None if why[name] is None else pytest.approx(why[name], abs=2e-5))
