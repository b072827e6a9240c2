"""Types and times of clicks in requests: the answers are those of the recommender."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.export.write import export
from pyg_srgnn.inference.clicks import Clicks
from tests.inference.test_clicks import dataset, trained  # noqa: F401
from tests.serving.running import in_thread

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(dataset: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    return export(trained(dataset), tmp_path_factory.mktemp("served") / "export", "torch_export")


@pytest.fixture(scope="module")
def running(exported: Path) -> Iterator[Any]:
    with in_thread(exported, sessions="memory") as running:
        yield running


def test_requests_with_types_and_times(running: Any, exported: Path) -> None:
    recommender = Recommender.load(exported)
    items = recommender.vocabulary.ids[:3]
    types, times = ["view", "cart", "view"], [0, 30.5, 900]

    def best(*marks: Any) -> list[Any]:
        return [raw for raw, _ in recommender.recommend([Clicks(items, *marks)], 5)[0]]

    def ids(answer: Any) -> list[Any]:
        return [item["id"] for item in answer["items"]]

    body = {"items": items, "k": 5}
    answers = [running.post("/recommend", body | more).json() for more in ({}, {"types": types})]
    answers.append(running.post("/recommend", body | {"types": types, "times": times}).json())
    assert [*map(ids, answers)] == [best(), best(types), best(types, times)]
    assert len({*map(str, map(ids, answers))}) > 1
    many = {"sessions": [items, items], "types": [types, [None] * 3], "k": 5}
    assert [*map(ids, running.post("/recommend/batch", many).json()["results"])] == [
        best(types),
        best(),
    ]
    for at, (item, kind, time) in enumerate(zip(items, types, times, strict=True), 1):
        click = {"item": item, "type": kind, "time": time, "k": 5}
        answer = running.post("/sessions/one/click", click).json()
        assert answer["clicks"] == at
    assert ids(answer) == best(types, times)
    # Types of an earlier model, which this one does not know, are left out of a kept session.
    running.post("/sessions/two/click", {"item": items[0], "type": "cart", "k": 5})
    recommender = running.service.models.current().recommender
    known = recommender.types
    recommender.types = {"view": 0, "order": 1}
    try:
        answer = running.post("/sessions/two/click", {"item": items[1], "type": "view", "k": 5})
        assert answer.status_code == 200 and answer.json()["clicks"] == 2
    finally:
        recommender.types = known


@pytest.mark.parametrize(
    ("path", "more", "expected"),
    [
        ("/recommend", {"types": ["view"]}, "'types' must have one for each of the 2 clicks"),
        ("/recommend", {"types": ["view", "like"]}, "type 'like'; expected view, cart, purchase"),
        ("/recommend", {"times": [1]}, "'times' must have one for each of the 2 clicks"),
        ("/recommend", {"times": ["now", 2]}, "times"),
        ("/recommend/batch", {"types": []}, "types: expected a list for each of the 2 sessions"),
        ("/sessions/two/click", {"type": "like"}, "type 'like'; expected view, cart, purchase"),
    ],
)
def test_what_is_refused(running: Any, path: str, more: dict[str, Any], expected: str) -> None:
    bodies = {
        "/recommend": {"items": [1, 2]},
        "/recommend/batch": {"sessions": [[1], [2]]},
        "/sessions/two/click": {"item": 1},
    }
    response = running.post(path, bodies[path] | more)
    assert response.status_code == 422
    assert expected in response.json()["detail"]
