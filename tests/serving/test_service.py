"""The service over HTTP, against the recommender behind it."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.serving.settings import Settings
from tests.serving.running import eventually, in_process, in_thread
from tests.serving.shop import untrained

pytestmark = pytest.mark.slow

IDS = [100 + 7 * i for i in range(60)]
TEXTS = [f"Artikel {i} – Größe ½ 🥾" for i in range(30)]
LIMITS = {"max_clicks": 30, "max_k": 100, "max_sessions": 20, "max_body": 5000}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("int"), IDS)


@pytest.fixture(scope="module")
def recommender(checkpoint):
    return Recommender.load(checkpoint)


@pytest.fixture(scope="module")
def running(checkpoint):
    with in_thread(checkpoint, **LIMITS) as running:
        yield running


def wanted(recommender, session, k=20, exclude_seen=False):
    return recommender.answer([session], k, [Rules(exclude_seen=exclude_seen)])[0].items


def same(answer, best):
    assert [item["id"] for item in answer["items"]] == [raw for raw, _ in best]
    scores = [item["score"] for item in answer["items"]]
    assert scores == pytest.approx([score for _, score in best], abs=1e-5)


SESSIONS = {
    "one click": [IDS[3]],
    "repeats": [IDS[3], IDS[7], IDS[3], IDS[3], IDS[9]],
    "unknown among known": [IDS[3], 5, "who?", IDS[4]],
    "all unknown": [1, "2", -3],
    "nothing": [],
}


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("name", SESSIONS)
def test_a_session(running, recommender, name, exclude_seen):
    session = SESSIONS[name]
    response = running.post("/recommend", {"items": session, "k": 7, "exclude_seen": exclude_seen})
    assert response.status_code == 200 and response.headers["content-type"] == "application/json"
    answer = response.json()
    same(answer, wanted(recommender, session, 7, exclude_seen))
    known = [raw for raw in session if raw in IDS]
    assert answer["unknown"] == len(session) - len(known)
    assert answer["popular"] is (not known)


def test_sessions_at_once(running, recommender):
    sessions = list(SESSIONS.values())
    answers = running.post("/recommend/batch", {"sessions": sessions, "k": 4}).json()["results"]
    for session, answer in zip(sessions, answers, strict=True):
        same(answer, wanted(recommender, session, 4))
    assert [answer["unknown"] for answer in answers] == [0, 0, 2, 3, 0]
    assert running.post("/recommend/batch", {"sessions": []}).json() == {"results": []}


def test_what_is_left_out_has_its_default_and_k_is_capped(running):
    assert len(running.post("/recommend", {"items": [IDS[0]]}).json()["items"]) == 20
    assert len(running.post("/recommend", {"items": [IDS[0]], "k": 100}).json()["items"]) == 60


def test_ids_of_a_text_are_no_numbers(running):
    answer = running.post("/recommend", {"items": [str(IDS[0])]}).json()
    assert answer["unknown"] == 1 and answer["popular"]


def test_ids_in_any_script(tmp_path):
    path = untrained(tmp_path, TEXTS)
    with in_thread(path) as running:
        answer = running.post("/recommend", {"items": [TEXTS[3], TEXTS[8]], "k": 5}).json()
    same(answer, wanted(Recommender.load(path), [TEXTS[3], TEXTS[8]], 5))
    assert answer["unknown"] == 0


def test_the_same_from_many_clients(running, recommender):
    draw = random.Random(0)
    asked = [
        {
            "items": draw.choices(IDS, k=draw.randint(1, 9)),
            "k": draw.randint(1, 12),
            "exclude_seen": draw.random() < 0.5,
        }
        for _ in range(200)
    ]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: running.post("/recommend", body).json(), asked))
    for body, answer in zip(asked, answers, strict=True):
        same(answer, wanted(recommender, body["items"], body["k"], body["exclude_seen"]))


# What is refused.

DEEP = b"[" * 2000 + b"]" * 2000
BAD = {
    "not JSON": (b"items", 422, "Invalid JSON"),
    "nothing": (b"", 422, "Invalid JSON"),
    "half of it": (b'{"items":[107', 422, "Invalid JSON"),
    "a list": (b"[107]", 422, "object"),
    "no items": (b"{}", 422, "items: Field required"),
    "another key": (b'{"items":[107],"excludeSeen":true}', 422, "excludeSeen: Extra inputs"),
    "items are a number": (b'{"items":107}', 422, "items: Input should be a valid array"),
    "a fraction": (b'{"items":[107,1.5]}', 422, "items.1: expected an item's id"),
    "a whole fraction": (b'{"items":[107.0]}', 422, "items.0: expected an item's id"),
    "a flag": (b'{"items":[true]}', 422, "items.0: expected an item's id"),
    "null": (b'{"items":[null]}', 422, "items.0: expected an item's id"),
    "NaN": (b'{"items":[NaN]}', 422, "items.0: expected an item's id"),
    "infinity": (b'{"items":[107],"k":1e999}', 422, "k: Input should be a valid integer"),
    "a huge number": (b'{"items":[%s]}' % (b"9" * 4900), 422, ""),
    "65 bits": (b'{"items":[18446744073709551616]}', 422, "items.0: expected an item's id"),
    "a long text": (b'{"items":["%s"]}' % (b"x" * 513), 422, "items.0: expected an item's id"),
    "half a surrogate pair": (b'{"items":["\\ud83d"]}', 422, "Invalid JSON"),
    "not UTF-8": (b'{"items":["\xff\xfe"]}', 422, "Invalid JSON"),
    "UTF-16": ('{"items":[107]}'.encode("utf-16"), 422, "Invalid JSON"),
    "nested": (b'{"items":%s}' % DEEP, 422, ""),
    "k is 0": (b'{"items":[107],"k":0}', 422, "k: Input should be greater than or equal to 1"),
    "k is less": (b'{"items":[107],"k":-1}', 422, "k: Input should be greater than or equal"),
    "k is a text": (b'{"items":[107],"k":"5"}', 422, "k: Input should be a valid integer"),
    "k is large": (b'{"items":[107],"k":101}', 422, "k: Input should be less than or equal to"),
    "a long session": (
        b'{"items":[%s1]}' % (b"1," * 30),
        422,
        "items: List should have at most",
    ),
    "a large body": (b'{"items":[107]}' + b" " * 5000, 413, "5000 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_body_that_is_refused(running, name):
    body, status, told = BAD[name]
    headers = {"Content-Type": "application/json"}
    response = running.ask("POST", "/recommend", data=body, headers=headers)
    assert response.status_code == status
    detail = response.json()["detail"]
    assert told in detail and len(detail) < 200
    assert running.post("/recommend", {"items": [IDS[0]]}).status_code == 200


def test_a_large_body_of_unknown_length(running):
    def parts():
        for _ in range(100):
            yield b" " * 1000

    headers = {"Content-Type": "application/json"}
    assert running.ask("POST", "/recommend", data=parts(), headers=headers).status_code == 413


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_a_foreign_page_could_send(running, kind):
    response = running.ask(
        "POST", "/recommend", data=b'{"items":[107]}', headers={"Content-Type": kind}
    )
    assert response.status_code == 415 and "application/json" in response.json()["detail"]


def test_the_limits_of_a_batch(running):
    assert running.post("/recommend/batch", {"sessions": [[1]] * 20}).status_code == 200
    detail = running.post("/recommend/batch", {"sessions": [[1]] * 21}).json()["detail"]
    assert detail.startswith("sessions: List should have at most 20")
    assert running.post("/recommend/batch", {"sessions": [[1] * 31]}).status_code == 422


def test_the_items_of_an_answer_are_limited(checkpoint):
    with in_thread(checkpoint) as running:
        body = {"sessions": [[1]] * 51, "k": 1000}
        response = running.post("/recommend/batch", body)
        assert response.status_code == 422 and "at most 50,000 items" in response.json()["detail"]
        assert running.post("/recommend/batch", body | {"k": 900}).status_code == 200


def test_what_there_is_not(running):
    assert running.get("/recommend").status_code == 405
    assert running.get("/nothing").status_code == 404
    assert running.post("/sessions/a/click", {"item": IDS[0]}).status_code == 404  # none are kept


@pytest.mark.parametrize(
    "path",
    ["/../settings.py", "/static/../page.py", "/static/..%2f..%2fservice.py", "//etc/passwd",
     "/static/%2e%2e/page.py", "/static/%2fetc%2fpasswd", "/sessions/..%2f..%2fa/click"],
)  # fmt: skip
def test_no_path_leads_to_a_file(running, path):
    raw = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert exchange(running, raw.encode()).split(b" ")[1] == b"404"


def exchange(running, request):
    """What the service answers to raw bytes; a client would tidy the path up."""
    with socket.create_connection(running.address, 30) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


# Its state.


def test_what_it_counts(checkpoint):
    with in_thread(checkpoint) as running:
        for body in ({"items": [IDS[0], 1]}, {"items": [2]}, {"items": True}):
            running.post("/recommend", body)
        running.post("/recommend/batch", {"sessions": [[IDS[0]]] * 5})
        running.get("/nothing")
        counted = 'srgnn_requests_total{endpoint="%s",status="%d"}'
        assert running.metric(counted % ("/recommend", 200)) == 2
        assert running.metric(counted % ("/recommend", 422)) == 1
        assert running.metric(counted % ("other", 404)) == 1
        assert running.metric('srgnn_request_seconds_count{endpoint="/recommend"}') == 3
        assert running.metric("srgnn_batch_sessions_count") == 3
        assert running.metric("srgnn_batch_sessions_sum") == 7
        assert running.metric("srgnn_unknown_items_total") == 2
        assert running.metric("srgnn_popular_answers_total") == 1
        assert running.metric("srgnn_queued_sessions") == 0
        assert running.metric("srgnn_ready") == 1
        assert running.metric("process_resident_memory_bytes") > 1e7


def test_it_is_alive_before_it_is_ready(checkpoint, tmp_path):
    names = tmp_path / "names.json"
    os.mkfifo(names)  # reading it waits for somebody who writes
    with in_thread(checkpoint, wait=False, names=str(names)) as running:
        try:
            eventually(lambda: running.get("/health").status_code == 200, "alive")
            assert running.get("/ready").status_code == 503
            response = running.post("/recommend", {"items": [IDS[0]]})
            assert response.status_code == 503 and response.headers["retry-after"] == "1"
            assert running.metric("srgnn_ready") == 0
        finally:
            names.write_text(json.dumps({IDS[0]: "Shoe"}))
        eventually(running.ready, "ready")
        assert running.post("/recommend", {"items": [IDS[0]]}).status_code == 200
        found = running.get("/items", params={"query": "shoe"}).json()
        assert [item["id"] for item in found] == [IDS[0]]


def test_not_ready_while_it_stops(checkpoint):
    with in_thread(checkpoint) as running:
        running.service.stopping = True
        assert running.get("/ready").status_code == 503
        assert running.get("/health").status_code == 200
        assert running.post("/recommend", {"items": [IDS[0]]}).status_code == 200


def test_its_description(running):
    described = running.get("/openapi.json").json()
    assert {"/recommend", "/recommend/batch", "/health", "/ready", "/metrics", "/explain"} <= set(
        described["paths"]
    )
    body = described["paths"]["/recommend"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["properties"]["items"]["maxItems"] == 30
    assert body["schema"]["properties"]["k"]["maximum"] == 100


def test_a_token(checkpoint):
    with in_thread(checkpoint, token="correct-horse", wait=False) as running:
        eventually(running.ready, "ready, without a token")
        assert running.get("/health").status_code == 200
        body = {"items": [IDS[0]]}
        for header in (
            None,
            "Bearer wrong-horse",
            "Basic correct-horse",
            "correct-horse",
            "Bearer",
        ):
            headers = {} if header is None else {"Authorization": header}
            response = running.post("/recommend", body, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert running.get("/metrics", headers=headers).status_code == 401
        for header in ("Bearer correct-horse", "bearer correct-horse"):
            headers = {"Authorization": header}
            assert running.post("/recommend", body, headers=headers).status_code == 200


# Its logs.


@pytest.mark.parametrize("sessions", [False, True])
def test_logs_hold_no_clicks_unless_that_is_wished(checkpoint, caplog, sessions):
    caplog.set_level(logging.INFO)
    with in_thread(checkpoint, log_requests=True, log_sessions=sessions) as running:
        running.post("/recommend", {"items": [424242, IDS[5]], "k": 1})
        running.post("/recommend", {"items": [424242.5]})
    lines = [vars(record) for record in caplog.records]
    told = [line for line in lines if line.get("endpoint") == "/recommend"]
    assert [line["status"] for line in told] == [200, 422]
    assert all(line["ms"] > 0 and line["method"] == "POST" for line in told)
    assert ("424242" in json.dumps(lines, default=str)) is sessions
    if sessions:
        assert told[0]["items"] == [424242, IDS[5]]


def test_ids_cannot_forge_lines_of_the_log(tmp_path):
    ids = ["shoe\n{}", 'hat", "level": "error', "sock\r\x1b[31m\u2028\x00"]
    arguments = ("--log-sessions", "--sessions=memory")
    with in_process(untrained(tmp_path, ids), *arguments) as process:
        for item in (*ids, "unknown\n{}"):
            assert process.post("/sessions/a/click", {"item": item}).status_code == 200
        assert process.post("/explain", {"items": ids}).status_code == 200
        process.signal(signal.SIGTERM)
        assert process.end() == 0
        told = process.events("request")
    assert [line["items"] for line in told if "items" in line] == [
        [i] for i in (*ids, "unknown\n{}")
    ]
    assert all(
        json.loads(line) == one for line, one in zip(process.lines, process.log, strict=True)
    )
    assert all(line["level"] == "info" for line in process.log)
    text = "".join(process.lines)
    assert len(text.splitlines()) == len(process.log)
    assert not set(text) & {"\r", "\x1b", "\u2028", "\x00"}


def test_no_request_is_logged_by_default(checkpoint, caplog):
    caplog.set_level(logging.INFO)
    with in_thread(checkpoint) as running:
        running.post("/recommend", {"items": [424242]})
    assert not any(getattr(record, "endpoint", None) for record in caplog.records)
    assert "424242" not in caplog.text


# Settings.


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"port": 70000}, "'port' must be a whole number from 0 to 65535"),
        ({"max_k": 0}, "'max_k' must be a whole number >= 1"),
        ({"max_clicks": True}, "'max_clicks' must be a whole number"),
        ({"batch_wait_ms": -1}, "'batch_wait_ms' must be a number >= 0"),
        ({"request_timeout": 0}, "'request_timeout' must be a number > 0"),
        ({"session_ttl": float("nan")}, "'session_ttl' must be a number > 0"),
        ({"threads": 0}, "'threads' must be a whole number >= 1, or None"),
        ({"sessions": "disk"}, "'sessions' must be memory, a URL such as redis://"),
        ({"open": "yes"}, "'open' must be True or False"),
        ({"names": ""}, "'names' must be a text, or None"),
        ({"hosts": ["http://a"]}, "'hosts' must be names such as [shop.example]"),
        ({"hosts": "shop.example"}, "'hosts' must be names"),
        ({"hosts": ["shop.example:80"]}, "'hosts' must be names"),
        ({"hosts": []}, "'hosts' must be names"),
        ({"max_per_address": 0}, "'max_per_address' must be a whole number >= 1, or None"),
        ({"token": "short"}, "'token' must be at least 8 characters"),
        ({"host": "0.0.0.0"}, "environment variable SRGNN_TOKEN"),
        ({"host": "192.0.2.7"}, "say open=true"),
        ({"host": "::"}, "say open=true"),
        ({"host": "example.org"}, "say open=true"),
    ],
)
def test_settings_that_are_refused(settings, told):
    with pytest.raises(ValueError) as error:
        Settings("model", **settings)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"host": "localhost"},
        {"host": "::1"},
        {"host": "127.0.0.2"},
        {"host": "0.0.0.0", "token": "correct-horse"},
        {"host": "0.0.0.0", "open": True},
    ],
)
def test_settings_that_are_taken(settings):
    assert "correct-horse" not in repr(Settings("model", **settings))
