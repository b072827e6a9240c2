"""Items that are added to a running service: they are recommended, and nothing is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.export.write import export
from pyg_srgnn.text.encoders.hashed import HashedEncoder
from tests.export.exports import IDS as UNTOLD
from tests.export.exports import checkpoint as without_texts
from tests.export.texts import CHANNELS, ENCODER, IDS, TRAINED, checkpoint, text_vectors
from tests.serving.running import eventually, in_thread

pytestmark = pytest.mark.slow

TOKEN = "open-sesame"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
KEPT = "the next model is loaded"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An export of a model that knows texts; eight of its items are cold."""
    return export(checkpoint("mixture of sums"), tmp_path_factory.mktemp("texts") / "export")


@pytest.fixture
def running(folder):
    with in_thread(folder, token=TOKEN) as running:
        running.client.headers.update(BEARER)
        yield running


def add(running, ids, texts=None, vectors=None, **more):
    body = {"ids": ids, "texts": texts, "vectors": vectors}
    given = {key: value for key, value in body.items() if value is not None}
    return running.post("/items/add", given, **more)


def recommended(running, *session, k=100):
    answer = running.post("/recommend", {"items": list(session), "k": k})
    assert answer.status_code == 200, answer.text
    return {item.pop("id"): item for item in answer.json()["items"]}


def test_they_are_recommended_within_a_second(running, folder):
    before = recommended(running, IDS[0])
    cold = {raw for raw in IDS[TRAINED:] if raw in before}
    assert cold and {raw for raw, item in before.items() if item.get("cold")} == cold
    assert all(item["cold"] is True for item in before.values() if "cold" in item)
    start = time.monotonic()
    answer = add(running, ["chair"], ["red  blue thing 0"])
    assert answer.status_code == 200
    assert answer.json() == {"added": 1, "total": 1, "kept_until": KEPT}
    after = recommended(running, IDS[0])
    assert time.monotonic() - start < 1
    assert after["chair"]["cold"] is True
    assert {raw for raw, item in after.items() if item.get("cold")} == cold | {"chair"}
    assert recommended(running, "chair", IDS[1])  # and may be clicked
    named = running.post("/items", {"ids": ["chair"]}).json()
    assert named == [{"id": "chair", "name": "red blue thing 0", "known": True}]
    here = Recommender.load(folder)
    here.add_items(["chair"], ["red blue thing 0"])
    (wanted,) = here.recommend([[IDS[0]]], 100)
    assert list(after) == [raw for raw, _ in wanted]
    assert [item["score"] for item in after.values()] == pytest.approx(
        [score for _, score in wanted], abs=1e-5
    )


def test_vectors_in_place_of_texts(running):
    vectors = text_vectors()[[0, 4]].tolist()
    assert add(running, ["chair", "table"], vectors=vectors).json()["added"] == 2
    assert {"chair", "table"} <= set(recommended(running, IDS[1]))
    named = running.post("/items", {"ids": ["chair"]}).json()
    assert named == [{"id": "chair", "name": None, "known": True}]


def test_they_are_found_and_explained(running):
    assert running.get("/items", params={"query": "wool"}).json() == []  # the search is made
    for number in range(3):
        assert add(running, [f"new {number}"], [f"red wool {number}"]).status_code == 200
        found = running.get("/items", params={"query": "wool"}).json()
        assert [item["id"] for item in found] == [f"new {n}" for n in range(number + 1)]
    why = running.post("/explain", {"items": [IDS[0]], "others": ["new 0"]}).json()
    origin = why["origins"][1]
    assert origin["item"] == "new 0" and sum(origin["shares"].values()) == pytest.approx(1)
    assert len(origin["similarity"]) == 1
    items = running.get("/items", params={"limit": 50}).json()  # the most popular ones
    assert [item["id"] for item in items][-3:] == ["new 0", "new 1", "new 2"]


def test_names_of_the_file_stay(folder, tmp_path):
    names = tmp_path / "names.csv"
    names.write_text("id,name\nitem 0,First\nchair,Armchair\n")
    with in_thread(folder, token=TOKEN, names=str(names)) as running:
        running.client.headers.update(BEARER)
        assert add(running, ["chair", "table"], ["a red chair", "a table"]).status_code == 200
        found = running.post("/items", {"ids": ["chair", "table"]}).json()
        assert [item["name"] for item in found] == ["Armchair", "a table"]


BAD = {
    "known": ({"ids": ["x", IDS[4]], "texts": ["a", "b"]}, "already: 'item 4'"),
    "twice": ({"ids": ["x", "x"], "texts": ["a", "b"]}, "more than once: 'x'"),
    "another type": ({"ids": [7], "texts": ["a"]}, "must be of the type str"),
    "neither": ({"ids": ["x"]}, "either texts or vectors"),
    "both": ({"ids": ["x"], "texts": ["a"], "vectors": [[1.0] * CHANNELS]}, "either texts or"),
    "fewer texts": ({"ids": ["x", "y"], "texts": ["a"]}, "expected 2 texts"),
    "fewer vectors": ({"ids": ["x", "y"], "vectors": [[1.0] * CHANNELS]}, "(got [1, 16])"),
    "no text": ({"ids": ["x"], "texts": [" "]}, "without a text"),
    "no word": ({"ids": ["x"], "texts": ["!"]}, "zeros"),
    "no vectors": ({"ids": ["x"], "vectors": [[]]}, "(got [1, 0])"),
    "dimensions": ({"ids": ["x"], "vectors": [[1.0, 2.0]]}, "(got [1, 2])"),
    "lengths": ({"ids": ["x", "y"], "vectors": [[1.0], [1.0, 2.0]]}, "vectors of numbers"),
    "zeros": ({"ids": ["x"], "vectors": [[0.0] * CHANNELS]}, "zeros"),
    "beyond float32": ({"ids": ["x"], "vectors": [[1e300] * CHANNELS]}, "infinity"),
    "text for a number": ({"ids": ["x"], "vectors": [["1"]]}, "vectors.0.0"),
    "a long text": ({"ids": ["x"], "texts": ["a" * 10_001]}, "texts.0"),
    "a long id": ({"ids": ["x" * 513], "texts": ["a"]}, "ids.0"),
    "an unknown key": ({"ids": ["x"], "texts": ["a"], "names": ["a"]}, "names"),
    "no ids": ({"texts": ["a"]}, "ids"),
}


@pytest.fixture(scope="module")
def unchanged(folder):
    with in_thread(folder, token=TOKEN, max_added=3) as running:
        running.client.headers.update(BEARER)
        yield running
        assert running.metric("srgnn_added_items") == 0
        assert len(running.service.models.current().recommender.vocabulary) == len(IDS)


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_as_a_whole(unchanged, name):
    body, told = BAD[name]
    answer = unchanged.post("/items/add", body)
    assert answer.status_code == 422 and told in answer.json()["detail"]
    assert unchanged.post("/items", {"ids": ["x", "y"]}).json() == [
        {"id": raw, "name": None, "known": False} for raw in ("x", "y")
    ]


def test_nothing_to_add(unchanged):
    answer = add(unchanged, [], [])
    assert answer.json() == {"added": 0, "total": 0, "kept_until": KEPT}


def test_numbers_that_are_none(unchanged):
    headers = {"Content-Type": "application/json"}
    for number in (b"NaN", b"Infinity", b"1e999", b"9" * 5000):
        data = b'{"ids": ["x"], "vectors": [[' + number + b"]]}"
        answer = unchanged.ask("POST", "/items/add", data=data, headers=headers)
        assert answer.status_code == 422, number


def test_how_many_there_may_be(folder):
    with in_thread(folder, token=TOKEN, max_added=3) as running:
        running.client.headers.update(BEARER)
        assert "at most 3" in add(running, list("abcd"), ["red"] * 4).json()["detail"]
        assert add(running, ["a", "b"], ["red", "blue"]).json()["total"] == 2
        answer = add(running, ["c", "d"], ["red", "blue"])
        assert answer.status_code == 422
        assert "1 more items may be added before the next model" in answer.json()["detail"]
        assert add(running, ["c"], ["red"]).json()["total"] == 3
        assert running.metric("srgnn_added_items") == 3


def test_only_with_a_token(folder):
    with in_thread(folder) as running:
        answer = add(running, ["chair"], ["red"])
        assert answer.status_code == 403 and "SRGNN_TOKEN" in answer.json()["detail"]
        assert "chair" not in recommended(running, IDS[0])
    with in_thread(folder, token=TOKEN) as running:
        for headers in ({}, {"Authorization": "Bearer close-sesame"}):
            assert add(running, ["chair"], ["red"], headers=headers).status_code == 401
        assert add(running, ["chair"], ["red"], headers=BEARER).status_code == 200


def test_a_model_without_texts(tmp_path):
    with in_thread(export(without_texts(), tmp_path / "export"), token=TOKEN) as running:
        running.client.headers.update(BEARER)
        answer = add(running, ["chair"], ["red"])
        assert answer.status_code == 422 and "trained without texts" in answer.json()["detail"]
        assert recommended(running, UNTOLD[0])


def test_an_encoder_that_is_not_installed(tmp_path):
    there = checkpoint()
    elsewhere = {**there.text, "encoder": {**ENCODER, "name": "babel"}}
    folder = export(replace(there, text=elsewhere), tmp_path / "export")
    with in_thread(folder, token=TOKEN) as running:
        running.client.headers.update(BEARER)
        answer = add(running, ["chair"], ["red"])
        assert answer.status_code == 422
        for told in ("babel", "ready-made vectors"):
            assert told in answer.json()["detail"]
        vectors = text_vectors()[:1].tolist()
        assert add(running, ["chair"], vectors=vectors).status_code == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [(ConnectionError("no answer"), 503), (FileNotFoundError("there is no such model"), 422)],
)
def test_an_encoder_that_cannot_be_asked(running, monkeypatch, error, status):
    def encode(self, texts):
        raise error

    monkeypatch.setattr(HashedEncoder, "encode", encode)
    answer = add(running, ["chair"], ["red"])
    assert answer.status_code == status and str(error) in answer.json()["detail"]
    assert running.post("/items", {"ids": ["chair"]}).json()[0]["name"] is None
    assert recommended(running, IDS[0])


# At the same time.


def test_many_at_once_and_no_request_is_lost(running):
    base = len(running.service.models.current().recommender.vocabulary)
    done = threading.Event()

    def ask(worker):
        asked = 0
        while not done.is_set() or not asked:
            best = recommended(running, IDS[worker], IDS[asked % TRAINED])
            assert len(best) >= base - 1  # all but the cold one without a text
            running.get("/items", params={"query": "wool"}).raise_for_status()
            asked += 1
        return asked

    with ThreadPoolExecutor(4) as asking, ThreadPoolExecutor(4) as adding:
        asked = [asking.submit(ask, worker) for worker in range(4)]
        answers = [adding.submit(add, running, [f"new {n}"], [f"red wool {n}"]) for n in range(24)]
        totals = [answer.result().json()["total"] for answer in answers]
        done.set()
        assert all(each.result() for each in asked)
    assert sorted(totals) == list(range(1, 25))
    wanted = {f"new {n}" for n in range(24)}
    assert wanted <= set(recommended(running, IDS[0]))
    found = running.get("/items", params={"query": "wool", "limit": 50}).json()
    assert {item["id"] for item in found} == wanted
    assert running.metric("srgnn_added_items") == 24


def test_the_same_item_twice_at_once(running):
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda _: add(running, ["chair", "table"], ["red", "oak"]), range(8))]
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 7
    assert running.metric("srgnn_added_items") == 2


def test_too_many_wait(running):
    service = running.service
    served = service.models.current()
    go, add_to_model = threading.Event(), served.add

    def held(*arguments):
        assert go.wait(30)
        add_to_model(*arguments)

    served.add = held
    with ThreadPoolExecutor(33) as pool:
        answers = [pool.submit(add, running, [f"new {n}"], ["red"]) for n in range(33)]
        eventually(lambda: service.additions == 33, "all wait")
        answer = add(running, ["chair"], ["red"])
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert recommended(running, IDS[0])  # meanwhile
        go.set()
        assert {answer.result().status_code for answer in answers} == {200}
    assert running.metric("srgnn_added_items") == 33


def test_a_new_model_has_none_of_them(running):
    assert add(running, ["chair"], ["red wool"]).status_code == 200
    running.wait(running.service.models.reload())
    assert running.metric('srgnn_reloads_total{result="ok"}') == 1
    assert running.metric("srgnn_added_items") == 0
    assert "chair" not in recommended(running, IDS[0])
    assert running.get("/items", params={"query": "wool"}).json() == []
    assert add(running, ["chair"], ["red wool"]).json()["total"] == 1


def test_an_addition_while_another_model_is_loaded(running):
    """It is made to the model that serves when it is answered."""
    models = running.service.models
    old = models.current()
    caught, go, add_to_model = threading.Event(), threading.Event(), old.add

    def held(*arguments):
        caught.set()
        assert go.wait(60)
        add_to_model(*arguments)

    old.add = held
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(add, running, ["chair"], ["red"])
        assert caught.wait(30)
        running.wait(models.reload())  # does not wait for the addition
        assert models.current() is not old and not answer.done()
        go.set()
        assert answer.result().json() == {"added": 1, "total": 1, "kept_until": KEPT}
    assert "chair" in recommended(running, IDS[0])
    assert running.metric("srgnn_added_items") == 1


def test_additions_and_requests_during_reloads(running):
    done, numbers = threading.Event(), count()

    def ask():
        while not done.is_set():
            assert recommended(running, IDS[0], IDS[1])

    def adding():
        while not done.is_set():
            assert add(running, [f"new {next(numbers)}"], ["red wool"]).status_code == 200

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(each) for each in (ask, ask, adding, adding)]
        for _ in range(2):
            running.wait(running.service.models.reload())
        done.set()
        for each in work:
            each.result()
    served = running.service.models.current()
    assert running.metric('srgnn_reloads_total{result="ok"}') == 2
    new = set(served.recommender.vocabulary.ids[len(IDS) :])
    assert len(new) == served.added == running.metric("srgnn_added_items")
    assert {raw for raw in recommended(running, IDS[0]) if raw.startswith("new")} <= new
