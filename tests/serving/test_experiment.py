"""An A/B test by the service: who answers whom, the metrics, and the log."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.evaluation.answers import compare_models, read_answers
from pyg_srgnn.serving.experiment import model_of
from pyg_srgnn.serving.settings import Settings
from tests.serving.running import in_thread
from tests.serving.shop import untrained

IDS = [100 + 7 * i for i in range(60)]


def model(folder: Path, ids: list[int]) -> Path:
    folder.mkdir()
    return untrained(folder, ids)


def test_the_share_of_the_sessions() -> None:
    """Sticky, near the share, nested in a greater share, and others in another test."""
    keys = [f"session {i}" for i in range(20_000)]
    some = {key for key in keys if model_of(key, 0.1, "one") == "B"}
    assert some == {key for key in keys if model_of(key, 0.1, "one") == "B"}
    assert len(some) / len(keys) == pytest.approx(0.1, abs=0.01)
    assert some < {key for key in keys if model_of(key, 0.2, "one") == "B"}
    other = {key for key in keys if model_of(key, 0.1, "another") == "B"}
    assert len(some & other) / len(keys) == pytest.approx(0.01, abs=0.004)
    assert {model_of(key, 0, "one") for key in keys} == {"A"}
    assert {model_of(key, 1, "one") for key in keys} == {"B"}
    assert model_of(None, 1, "one") == "A"


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"share": "half"}, {"challenger": ""}])
def test_settings_that_are_wrong(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings("run", **wrong)


@pytest.mark.slow
def test_two_models_answer(tmp_path: Path) -> None:
    one = model(tmp_path / "a", IDS)
    other = model(tmp_path / "b", IDS[::-1])
    log = tmp_path / "answers.jsonl"
    log.write_text('{"time": "2026-01-01T00:0')  # of a service that was killed
    models = {"A": Recommender.load(one), "B": Recommender.load(other)}
    settings = {"challenger": str(other), "share": 0.5, "answers": str(log), "sessions": "memory"}
    with in_thread(one, **settings) as running:
        assert running.get("/experiment").json() == {"share": 0.5}
        counted: Counter[str] = Counter()
        of_session = {}
        for number in range(30):
            key = f"visitor-{number}"
            for clicks in ([IDS[number]], [IDS[number], IDS[3]]):
                answer = running.post(
                    "/recommend", {"items": clicks, "k": 5, "session": key}
                ).json()
                name = answer["model"]
                assert of_session.setdefault(key, name) == name, "the session has changed sides"
                best = models[name].recommend([clicks], k=5)[0]
                assert [item["id"] for item in answer["items"]] == [raw for raw, _ in best]
                counted[name] += 1
            kept = running.post(f"/sessions/{key}/click", {"item": IDS[5]}).json()
            assert kept["model"] == of_session[key], "the same by the service's own sessions"
            counted[kept["model"]] += 1
        assert running.post("/recommend", {"items": [IDS[0]]}).json()["model"] == "A"
        counted["A"] += 1
        assert min(counted.values()) > 15
        for name, count in counted.items():
            assert running.metric(f'srgnn_answers_total{{model="{name}"}}') == count
        for bad in ("", "a b", "x" * 129, 7):
            refused = running.post("/recommend", {"items": [], "session": bad})
            assert refused.status_code == 422 and "session" in refused.json()["detail"]
        # Moved away, as by logrotate: the next answer begins it anew.
        log.rename(tmp_path / "answers.1")
        running.post("/recommend", {"items": [IDS[0]], "session": "late"})
    lines = (tmp_path / "answers.1").read_text().splitlines()[1:]
    assert len(lines) == sum(counted.values()) and len(log.read_text().splitlines()) == 1
    first = json.loads(lines[0])
    assert first.keys() == {"time", "session", "model", "items", "recommended"}
    assert first["items"] == [IDS[0]] and len(first["recommended"]) == 5
    found = compare_models(read_answers(tmp_path / "answers.1"), resamples=50)
    assert {name: of["sessions"] for name, of in found["models"].items()} == {
        name: list(of_session.values()).count(name) for name in "AB"
    }


@pytest.mark.slow
def test_a_single_model_says_nothing_of_a_test(tmp_path: Path) -> None:
    one = model(tmp_path / "a", IDS)
    with in_thread(one) as running:
        assert running.get("/experiment").json() == {"share": None}
        answer = running.post("/recommend", {"items": [IDS[0]], "session": "x"}).json()
        assert "model" not in answer
        assert running.metric('srgnn_answers_total{model="A"}') == 1
    with (
        pytest.raises(OSError, match="nowhere"),
        in_thread(one, answers=str(tmp_path / "nowhere/x")),
    ):
        pass
