"""Rules of requests and of the service, and attributes that are replaced while it runs."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.serving.rules import NamedRules
from tests.serving.running import Running, in_thread
from tests.serving.shop import IDS, SHELVES, untrained

TOKEN = "open-sesame"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
COLUMNS: dict[str, list[Any]] = {
    "shelf": [f"shelf {n}" for n in range(len(SHELVES)) for _ in range(8)],
    "price": [5.0 + n for n in range(len(IDS))],
    "in_stock": [n % 7 != 3 for n in range(len(IDS))],
}
NAMED: dict[str, dict[str, Any]] = {
    "in stock": {"always": True, "where": {"in_stock": True}},
    "cheap": {"where": {"price": {"max": 20}}},
    "mixed": {"max_per": {"shelf": 1}, "diversify": 0.3},
}
SESSION = [IDS[0], IDS[9]]


def write_attributes(path: Path) -> Path:
    rows = zip(IDS, *COLUMNS.values(), strict=True)
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join([",".join(["id", *COLUMNS]), *lines]) + "\n")
    return path


def write_rules(path: Path, named: Any = NAMED) -> Path:
    path.write_text(json.dumps(named))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("shop")
    return {
        "checkpoint": untrained(folder, IDS),
        "attributes": str(write_attributes(folder / "items.csv")),
        "rules": str(write_rules(folder / "rules.json")),
        "token": TOKEN,
    }


@pytest.fixture
def running(files: dict[str, Any]) -> Any:
    with in_thread(**files, sessions="memory") as running:
        running.client.headers.update(BEARER)
        yield running


@pytest.fixture(scope="module")
def here(files: dict[str, Any]) -> Recommender:
    recommender = Recommender.load(files["checkpoint"])
    recommender.set_attributes(files["attributes"])
    return recommender


def ask(running: Running, *session: int, k: int = 60, **rules: Any) -> list[int]:
    answer = running.post("/recommend", {"items": session or SESSION, "k": k, **rules})
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def put(running: Running, ids: list[Any], **columns: list[Any]) -> Any:
    return running.ask("PUT", "/items/attributes", json={"ids": ids, "columns": columns})


ALWAYS = Rules(where={"in_stock": True})


@pytest.mark.slow
@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"where": {"shelf": ["shelf 1", "shelf 2"], "price": {"min": 15, "max": 25}}},
        {"allow": IDS[:20], "deny": IDS[:3], "exclude_seen": True},
        {"boost": {"shelf": {"shelf 3": 9}}, "diversify": 0.4, "max_per": {"shelf": 2}},
        {"diversify": 0.4, "diversify_by": "shelf", "max_per": {"price": 10**30}},
    ],
)
def test_as_in_python(running: Running, here: Recommender, rules: dict[str, Any]) -> None:
    (wanted,) = here.answer([SESSION], 7, [ALWAYS, Rules(**rules)])
    assert wanted.items
    assert ask(running, k=7, **rules) == [raw for raw, _ in wanted.items]
    body = {"sessions": [SESSION, SESSION], "k": 7, **rules}
    for answer in running.post("/recommend/batch", body).json()["results"]:
        assert [item["id"] for item in answer["items"]] == [raw for raw, _ in wanted.items]
        assert [item["score"] for item in answer["items"]] == pytest.approx(
            [score for _, score in wanted.items], abs=1e-5
        )
    for item in SESSION:
        answer = running.post("/sessions/abc/click", {"item": item, "k": 7, **rules}).json()
    assert [item["id"] for item in answer["items"]] == [raw for raw, _ in wanted.items]


@pytest.mark.slow
def test_named_rules(running: Running, here: Recommender) -> None:
    every = [raw for raw, there in zip(IDS, COLUMNS["in_stock"], strict=True) if there]
    assert sorted(ask(running)) == every
    cheap = [raw for raw in every if COLUMNS["price"][IDS.index(raw)] <= 20]
    assert sorted(ask(running, rules=["cheap"])) == cheap
    both = ask(running, k=4, rules=["cheap", "mixed"], where={"shelf": {"not": "shelf 0"}})
    rules = [ALWAYS, Rules(**NAMED["cheap"]), Rules(**NAMED["mixed"])]
    rules += [Rules(where={"shelf": {"not": "shelf 0"}})]
    assert both == [raw for raw, _ in here.answer([SESSION], 4, rules)[0].items]
    answer = running.post("/recommend", {"items": SESSION, "rules": ["dear"]})
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "rules: there is no rule 'dear'; the rules are 'in stock', 'cheap', 'mixed'"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"where": {"colour": "red"}}, "where.colour: .*items.csv: there is no column 'colour'"),
        ({"where": {"shelf": {"max": 3}}}, "where.shelf: only numbers have min and max"),
        ({"boost": {"shelf": {"shelf 1": -2}}}, "'boost.shelf.shelf 1' must be a number > 0"),
        ({"boost": {"shelf": {"shelf 1": "2"}}}, "boost.shelf.shelf 1: "),
        ({"max_per": {"shelf": 0}}, "'max_per.shelf' must be a whole number >= 1"),
        ({"diversify": 2}, "'diversify' must be a number >= 0 and < 1"),
        ({"where": {"price": 10**400}}, "'where.price' must be a value"),
        ({"where": []}, "where: "),
        ({"allow": ["x" * 513]}, "allow.0: expected an item's id"),
        ({"limit": 3}, "limit: "),
    ],
)
def test_wrong_rules(running: Running, rules: dict[str, Any], message: str) -> None:
    answer = running.post("/recommend", {"items": SESSION, **rules})
    assert answer.status_code == 422, answer.text
    assert re.search(message, answer.json()["detail"])


@pytest.mark.slow
def test_a_click_that_is_refused_is_not_kept(running: Running) -> None:
    """So that a client that sends it again has it once."""
    wrong: list[dict[str, Any]] = [
        *({"rules": ["dear"]}, {"where": {"colour": "red"}}, {"diversify": 2}),
        {"max_per": {"size": 1}},
    ]
    for rules in wrong:
        answer = running.post("/sessions/again/click", {"item": IDS[0], **rules})
        assert answer.status_code == 422, answer.text
    batcher = running.service.batcher
    batcher.queued = batcher.max_queue
    answer = running.post("/sessions/again/click", {"item": IDS[0]})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    batcher.queued -= batcher.max_queue
    assert batcher.queued == 0
    answer = running.post("/sessions/again/click", {"item": IDS[0], "where": {"shelf": "shelf 1"}})
    assert answer.json()["clicks"] == 1


@pytest.mark.slow
def test_a_filter_that_leaves_nothing_says_so(running: Running) -> None:
    answer = running.post("/recommend", {"items": SESSION, "where": {"shelf": "shelf 77"}}).json()
    assert answer["items"] == []
    assert answer["reason"].startswith("no item of the catalogue meets Rules(where={'in_stock': T")
    assert "reason" not in running.post("/recommend", {"items": SESSION}).json()


@pytest.mark.slow
def test_out_of_stock_within_a_second(running: Running) -> None:
    before = ask(running)
    start = time.monotonic()
    answer = put(running, [before[0], 77], in_stock=[False, True])
    assert answer.json() == {"updated": 2, "unknown": 1}
    assert ask(running) == before[1:]
    assert time.monotonic() - start < 1
    put(running, [before[0]], in_stock=[True], brand=["Acme"])
    assert ask(running) == before
    assert ask(running, where={"brand": "Acme"}) == before[:1]
    (column,) = [
        each
        for each in running.get("/items/attributes").json()["columns"]
        if each["name"] == "shelf"
    ]
    assert column == {
        **{"name": "shelf", "kind": "texts"},
        "values": [f"shelf {n}" for n in range(len(SHELVES))],
    }


@pytest.mark.slow
def test_attributes_are_put_to_both_models_of_a_comparison(files: dict[str, Any]) -> None:
    two = {"challenger": str(files["checkpoint"]), "share": 0.5}
    with in_thread(**files, **two) as running:
        running.client.headers.update(BEARER)
        (gone, *_) = ask(running)
        assert put(running, [gone], in_stock=[False]).json() == {"updated": 1, "unknown": 0}
        answered = set()
        for number in range(20):
            body = {"items": SESSION, "k": 60, "session": f"s{number}"}
            answer = running.post("/recommend", body).json()
            answered.add(answer["model"])
            assert gone not in {item["id"] for item in answer["items"]}
        assert len(answered) == 2


@pytest.mark.slow
def test_no_request_is_lost_while_attributes_are_put(running: Running) -> None:
    whole = set(ask(running))
    parts = [sorted(whole)[:10], sorted(whole)[10:]]
    done = threading.Event()

    def asking() -> int:
        asked = 0
        while not done.is_set() or not asked:
            assert set(ask(running, where={"shown": True})) in ({*parts[0]}, {*parts[1]})
            asked += 1
        return asked

    put(running, IDS, shown=[raw in parts[0] for raw in IDS])
    with ThreadPoolExecutor(3) as pool:
        work = [pool.submit(asking) for _ in range(3)]
        for number in range(12):
            shown = [raw in parts[number % 2] for raw in IDS]
            assert put(running, IDS, shown=shown).status_code == 200
        done.set()
        assert all(each.result() for each in work)


@pytest.mark.slow
def test_what_was_put_outlives_a_new_model(running: Running, files: dict[str, Any]) -> None:
    before = ask(running)
    put(running, before[:1], in_stock=[False])
    running.wait(running.service.models.load())
    assert ask(running) == before[1:]
    write_attributes(Path(files["attributes"]))  # a new file is taken as it is
    running.wait(running.service.models.load())
    assert ask(running) == before
    models = running.service.models
    load = models._load

    def held(*given: Any) -> Any:
        served = load(*given)
        answer = put(running, before[:1], in_stock=[False])  # while another model is loaded
        assert answer.status_code == 200
        return served

    models._load = held  # type: ignore[method-assign]
    running.wait(models.load())
    assert ask(running) == before[1:]


@pytest.mark.slow
def test_rules_that_do_not_fit_are_not_taken(files: dict[str, Any], tmp_path: Path) -> None:
    rules = write_rules(tmp_path / "rules.json")
    with in_thread(**(files | {"rules": str(rules)})) as running:
        running.client.headers.update(BEARER)
        before = ask(running)
        write_rules(rules, {"red": {"always": True, "where": {"colour": "red"}}})
        with pytest.raises(ValueError, match=r"rule 'red': where.colour: .* no column 'colour'"):
            running.wait(running.service.models.load())
        assert ask(running) == before
        write_rules(rules, {})
        running.wait(running.service.models.load())
        assert sorted(ask(running)) == IDS


@pytest.mark.slow
def test_what_cannot_be_put(running: Running) -> None:
    for ids, columns, message in (
        ([IDS[0], IDS[0]], {"price": [1, 2]}, "the id 1000 is given twice"),
        (IDS[:1], {"price": ["dear"]}, "the column 'price' holds numbers (got texts)"),
        (IDS[:1], {"price": [1, 2]}, "has 2 values, expected 1, one an id"),
        (IDS[:1], {"price": [{}]}, "columns.price.0"),
    ):
        answer = put(running, ids, **columns)
        assert answer.status_code == 422 and message in answer.json()["detail"]


@pytest.mark.slow
def test_only_with_a_token(files: dict[str, Any]) -> None:
    with in_thread(**(files | {"token": None})) as running:
        answer = put(running, IDS[:1], in_stock=[False])
        assert answer.status_code == 403 and "SRGNN_TOKEN" in answer.json()["detail"]
    with in_thread(**files) as running:
        assert put(running, IDS[:1], in_stock=[False]).status_code == 401


@pytest.mark.slow
def test_without_attributes(files: dict[str, Any]) -> None:
    with in_thread(files["checkpoint"], token=TOKEN) as running:
        running.client.headers.update(BEARER)
        assert running.get("/items/attributes").json() == {"columns": []}
        answer = running.post("/recommend", {"items": SESSION, "where": {"in_stock": True}})
        assert answer.status_code == 422 and "no attributes" in answer.json()["detail"]
        assert put(running, IDS[:3], in_stock=[True, False, None]).status_code == 200
        assert ask(running, where={"in_stock": True}) == IDS[:1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"rules.json: not JSON \("),
        ("[]", "rules.json: expected one object"),
        ('{"a": []}', "rules.json, rule 'a': expected an object of allow, deny, where"),
        ('{"a": {"always": 1}}', "rule 'a': always must be true or false"),
        ('{"a": {"were": {}}}', "rule 'a': there is no 'were'; expected allow, deny, where"),
        ('{"a": {"diversify": 3}}', "rule 'a': Rules: 'diversify' must be a number >= 0 and < 1"),
        ('{"a": {"deny": 3}}', "rule 'a': recommend: 'deny' must be a list of raw ids"),
    ],
)
def test_wrong_files_of_rules(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rules.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        NamedRules.load(path)


def test_rules_are_checked_with_the_attributes(here: Recommender, tmp_path: Path) -> None:
    path = write_rules(tmp_path / "rules.json", {"a": {"max_per": {"brand": 1}}})
    with pytest.raises(ValueError, match=r"rule 'a': max_per.brand: .*no column 'brand"):
        NamedRules.load(path).check(here, path)
    path = write_rules(tmp_path / "rules.json")
    rules = NamedRules.load(path)
    rules.check(here, path)
    alone = Recommender(here.scorer, here.vocabulary, here._catalogue.clicks)
    with pytest.raises(
        ValueError, match=r"in stock.*no attributes of .*; give them with attributes=FILE"
    ):
        rules.check(alone, path)
    assert rules.always == (ALWAYS,) and list(rules.named) == list(NAMED)
    assert isinstance(here.attributes, ItemAttributes)
