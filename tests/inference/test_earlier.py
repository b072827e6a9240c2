"""Sessions of known users: recommended for as trained, by run, export, command and service."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.commands import recommend
from pyg_srgnn.datasets import ClickLog
from pyg_srgnn.export.write import export
from pyg_srgnn.functional.earlier import EARLIER
from pyg_srgnn.inference.artifact import Artifact
from pyg_srgnn.inference.clicks import Clicks, known_clicks
from pyg_srgnn.nn import SRGNN
from tests.clicklog.test_users import RULES, log, write
from tests.commands import run
from tests.reference.names import randomise
from tests.reference.users import earlier_clicks
from tests.serving.running import in_thread

MOST = 5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ClickLog:
    root = tmp_path_factory.mktemp("earlier")
    rules = RULES | {"user_clicks": MOST}
    return ClickLog(root, "trainval", path=write(log(), root / "log.csv"), **rules)


@pytest.fixture(scope="module")
def checkpoint(dataset: ClickLog) -> Checkpoint:
    settings: dict[str, Any] = {"num_items": dataset.num_items, "channels": 8, "earlier": True}
    settings |= {"num_earlier": dataset.earlier_clicks, "scale": 12.0, "transitions": 5}
    model = randomise(SRGNN(**settings), 0, 0.5)
    model.set_training(dataset.sessions)
    return Checkpoint(
        *(model.eval(), {"name": "srgnn"} | settings, dataset.vocabulary),
        *(torch.ones(dataset.num_items).long(), {"name": "click_log"}, "trainval", "honest"),
        Path("nowhere/best.ckpt"),
        preparation=dataset.preparation.to_dict(),
    )


def live(dataset: ClickLog) -> list[Clicks]:
    """The raw clicks of each training session but its last one, and all earlier ones."""
    known = earlier_clicks(log(), RULES["test"], 10_000)[: len(dataset.sessions)]
    return [Clicks(items[:-1], earlier=["new", *earlier]) for items, earlier in known]


def test_a_live_session_has_the_graph_of_its_sample(
    dataset: ClickLog, checkpoint: Checkpoint
) -> None:
    """Of more earlier clicks than the model takes, it takes those of training."""
    rows = (dataset.sessions.offsets[1:] - torch.arange(len(dataset.sessions)) - 2).tolist()
    longer = 0
    for clicks, row in zip(live(dataset), rows, strict=True):
        indices = dataset.vocabulary.encode(clicks.items)
        known = known_clicks(clicks, indices, {}, dataset.vocabulary)
        graph = checkpoint.scorer._graphs([known]).get_example(0)
        for key in ("x", "edge_index", *EARLIER):
            assert torch.equal(graph[key], dataset[row][key]), key
        longer += len(clicks.earlier) > MOST
    assert longer > 5


@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
def test_an_export_is_equal_to_the_run(
    dataset: ClickLog, checkpoint: Checkpoint, tmp_path: Path, kind: str
) -> None:
    run, sessions = Recommender.of(checkpoint), live(dataset)
    folder = export(checkpoint, tmp_path / "export", kind)
    exported = Recommender.load(folder)
    plain: list[Any] = [clicks.items for clicks in sessions]
    answers = [run.recommend(given, 50) for given in (sessions, plain)]
    for given, wanted in zip((sessions, plain), answers, strict=True):
        for one, other in zip(exported.recommend(given, 50), wanted, strict=True):
            assert dict(one) == pytest.approx(dict(other), abs=1e-5)
    with_earlier = [bool(clicks.earlier[1:]) for clicks in sessions]
    differ = [one != other for one, other in zip(*answers, strict=True)]
    assert differ == with_earlier
    last = max(number for number, known in enumerate(with_earlier) if known)
    explained = run.explain(sessions[last], 105), run.explain(plain[last], 105)
    assert explained[0].nodes == explained[1].nodes
    assert explained[0].score != explained[1].score
    assert "user=who, user_clicks=5" in (folder / "model_card.md").read_text(encoding="utf-8")


def test_a_manifest_that_does_not_fit(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = export(checkpoint, tmp_path / "export", "torch_export")
    manifest = folder / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"num_earlier": 5', '"num_earlier": null'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"scorer\.older must name \[\] with num_earlier=None"):
        Artifact.load(folder)


@pytest.mark.slow
def test_the_command_and_the_service(
    dataset: ClickLog, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = export(checkpoint, tmp_path / "export", "torch_export")
    recommender, ids = Recommender.load(folder), dataset.vocabulary.ids
    items, earlier = ids[:2], ids[3:6]

    def best(*sessions: Any) -> list[list[Any]]:
        return [[raw for raw, _ in found] for found in recommender.recommend(sessions, 5)]

    known = Clicks(items, earlier=earlier)
    (wanted,), (plain,) = best(known), best(items)
    assert wanted != plain
    given = [f"items=[{items[0]},{items[1]}]", f"earlier=[{','.join(map(str, earlier))}]"]
    result = run(recommend.main, "srgnn-recommend", f"checkpoint={folder}", *given, "k=5")
    assert [int(line.split()[1]) for line in result.out.splitlines()] == wanted
    given = ["input=a.parquet", "output=b.parquet", "earlier=[1]"]
    refused = run(recommend.main, "srgnn-recommend", f"checkpoint={folder}", *given)
    assert "earlier=['1']: expected null with input=FILE" in refused.out

    def found(answer: Any) -> list[Any]:
        return [item["id"] for item in answer["items"]]

    with in_thread(folder, sessions="memory") as running:
        body = {"items": items, "earlier": earlier, "k": 5}
        assert found(running.post("/recommend", body).json()) == wanted
        many = {"sessions": [items, items], "earlier": [earlier, []], "k": 5}
        answers = running.post("/recommend/batch", many).json()["results"]
        assert [*map(found, answers)] == [wanted, plain]
        for item in items:
            click = {"item": item, "earlier": earlier, "k": 5}
            answer = running.post("/sessions/one/click", click).json()
        assert found(answer) == wanted
        short = {"sessions": [items], "earlier": []}
        detail = running.post("/recommend/batch", short).json()["detail"]
        assert detail == "earlier: expected a list for each of the 1 sessions"
        assert running.post("/recommend", body | {"earlier": [1.5]}).status_code == 422


def test_clicks_say_what_they_hold() -> None:
    assert repr(Clicks([1], earlier=[2])) == "Clicks([1], types=None, times=None, earlier=[2])"
    with pytest.raises(TypeError, match="Clicks: 'earlier' must be a list of raw ids"):
        Clicks([1], earlier="2")
    clicks = [Clicks([number], earlier=[number]) for number in range(3)]
    assert all(one.earlier != other.earlier for one, other in pairwise(clicks))
