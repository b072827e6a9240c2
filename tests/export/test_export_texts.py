"""Exports of models whose items have texts, some of them cold."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_srgnn import Recommender
from pyg_srgnn.data import Vocabulary
from pyg_srgnn.export.write import export
from pyg_srgnn.inference.artifact import Artifact
from pyg_srgnn.inference.manifest import CARD
from pyg_srgnn.nn import ModelMixture, build_model
from tests.export.exports import checkpoint as without_texts
from tests.export.exports import topk
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
        values, items = topk(found, sessions(), TRAINED, exclude_seen=seen)
        expected = topk(wanted, sessions(), TRAINED, exclude_seen=seen)[0]
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


def changed(folder: Path, **scorer: Any) -> None:
    """Change the facts in the manifest; a dict is merged into what is there."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, value in scorer.items():
        if isinstance(value, dict):
            value = {**manifest["scorer"][name], **value}
        manifest["scorer"][name] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))


def table(*shape: int) -> dict[str, Any]:
    return {"dtype": "float32", "shape": list(shape)}


N = len(IDS)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "more trained than there are": ({"num_trained": N + 1}, f"num_trained must be <= {N}"),
    "none trained": ({"num_trained": 0}, "num_trained must be a whole number"),
    "a text for the number": ({"num_trained": "30"}, "num_trained must be a int"),
    "no length": ({"normalised": None}, "normalised must be a bool"),
    "fewer texts": ({"tables": {"text_vectors": table(N - 1, 16)}}, "text_vectors must be float32"),
    "another mean": ({"tables": {"text_mean": table(15)}}, r"text_mean must be float32 \[16\]"),
    "directions": ({"tables": {"text_directions": table(16)}}, "text_directions must be float32"),
    "another map": ({"tables": {"text_to_item": table(16, 9)}}, "text_to_item must be float32"),
}


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(checkpoint("sum"), tmp_path_factory.mktemp("sums") / "export")


@pytest.mark.parametrize("what", WRONG)
def test_facts_that_do_not_fit(sums: Path, tmp_path: Path, what: str) -> None:
    scorer, message = WRONG[what]
    folder = Path(shutil.copytree(sums, tmp_path / "copy"))
    changed(folder, **scorer)
    with pytest.raises(ValueError, match=message):
        Artifact.load(folder)


def test_cold_items_need_their_texts_or_clicked_vectors(sums: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sums, tmp_path / "copy"))
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in list(manifest["scorer"]["tables"]):
        if name.startswith("text_"):
            del manifest["scorer"]["tables"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"text_vectors must be .* \(got None\)"):
        Artifact.load(folder)
    folder = export(checkpoint("ids"), tmp_path / "ids")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["scorer"]["tables"]["clicked_vectors"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"clicked_vectors must be .* \(got None\)"):
        Artifact.load(folder)


TEXT = {
    "columns": (None, "text.columns must be a list"),
    "items": ("many", "text.items must be a int"),
    "dimensions": (1, "text.dimensions must be 16 .got 1."),
    "encoder": ("hashed", "text.encoder must be a dict"),
    "encoder.name": ([], "text.encoder.name must be a str"),
    "encoder.version": (None, "text.encoder.version must be a str"),
    "encoder.dimensions": (1 << 40, "text.encoder.dimensions must be 16"),
}


@pytest.mark.parametrize("what", TEXT)
def test_what_describes_texts_must_fit(sums: Path, tmp_path: Path, what: str) -> None:
    value, message = TEXT[what]
    folder = Path(shutil.copytree(sums, tmp_path / "copy"))
    manifest = json.loads((folder / "manifest.json").read_text())
    *within, key = what.split(".")
    changed = manifest["text"][within[0]] if within else manifest["text"]
    changed[key] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=message):
        Artifact.load(folder)


def test_an_export_of_version_2(tmp_path: Path) -> None:
    """Which had neither texts nor cold items, and nothing that says so."""
    folder = export(without_texts(), tmp_path / "export")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["version"] = 2
    del manifest["text"]
    for name in ("num_trained", "normalised", "extensible"):
        del manifest["scorer"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = Artifact.load(folder)
    wanted = without_texts().scorer.scores([[0, 1], [39]])
    torch.testing.assert_close(found.scorer.scores([[0, 1], [39]]), wanted, atol=1e-5, rtol=0)
    assert found.text is None and found.scorer.facts.first_cold == 40


@pytest.mark.parametrize("name", ["plain", "gru4rec"])
def test_a_plain_model_that_has_cold_items_and_no_texts(tmp_path: Path, name: str) -> None:
    """They are never among the best, however many are asked for."""
    before = without_texts(name)
    settings = {**before.settings, "num_items": 44, "num_trained": 40}
    model = build_model(settings).eval()
    states = before.model.state_dict()
    rows = torch.cat([states["embedding.weight"], torch.ones(4, 8)])
    model.load_state_dict({**states, "embedding.weight": rows})
    clicks = torch.cat([before.clicks, torch.zeros(4, dtype=torch.long)])
    ids = [*before.vocabulary.ids, *(f"cold {i}" for i in range(4))]
    trained = replace(
        before, model=model, settings=settings, vocabulary=Vocabulary(ids), clicks=clicks
    )
    scorer = Artifact.load(export(trained, tmp_path / "export")).scorer
    asked = [[0, 41, 3], [7], [43]]
    torch.testing.assert_close(scorer.scores(asked), trained.scorer.scores(asked))
    values, items = topk(scorer, asked, 44)
    assert (values.isinf().sum(dim=1) == 4).all()
    for row, value in zip(items, values, strict=True):
        assert sorted(row[value > -torch.inf].tolist()) == list(range(40))


def test_a_mixture_tells_of_the_texts_of_its_members(tmp_path: Path) -> None:
    first, second = checkpoint("sum"), checkpoint("ids")
    inner = {"name": "mixture", "members": [second.settings]}
    mixture = replace(
        first,
        model=ModelMixture([first.model, ModelMixture([second.model])]),
        settings={"name": "mixture", "members": [first.settings, inner]},
        text=None,
        member_texts=[first.text, [{**(second.text or {}), "source": "other.csv"}]],
    )
    folder = export(mixture, tmp_path / "export")
    assert Artifact.load(folder).text is None
    for name, source in (("member_1", "items.csv"), ("member_2/member_1", "other.csv")):
        text = Artifact.load(folder / name).text
        assert text is not None and text["source"] == source
        card = (folder / name / CARD).read_text(encoding="utf-8")
        assert f"- Text of 36 of 38 items, from `{source}`" in card
    card = (folder / CARD).read_text(encoding="utf-8")
    assert all(
        f"- Text of 36 of 38 items, from `{each}.csv`" in card for each in ("items", "other")
    )
    assert "Items cannot be added\n  to a mixture of models" in card and "prices or times" in card
