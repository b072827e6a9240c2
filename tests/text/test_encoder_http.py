"""The encoder that asks an endpoint, against one that behaves and misbehaves."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest

from pyg_srgnn.text import post
from pyg_srgnn.text.encoder import open_encoder
from pyg_srgnn.text.encoders.http import HTTPEncoder
from pyg_srgnn.utils.arguments import ArgumentError

KEY = "sk-Very_Secret-0123456789"
Reply = tuple[int, dict[str, str], Any]


def vectors(texts: list[str], dimensions: int = 3) -> list[list[float]]:
    return [[float(len(text)), *range(1, dimensions)] for text in texts]


def good(body: Any) -> Reply:
    """What an endpoint answers, in another order."""
    rows = vectors(body["input"], body.get("dimensions", 3))
    data = [{"index": index, "embedding": row} for index, row in enumerate(rows)]
    return 200, {}, {"object": "list", "data": data[::-1], "model": body["model"]}


def answering(status: int, content: Any = "", **headers: str) -> Callable[[Any], Reply]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda body: (status, named, content)


def saying(change: Callable[[Any], Any]) -> Callable[[Any], Reply]:
    """A good answer, changed."""
    return lambda body: (200, {}, change(good(body)[2]))


class Endpoint:
    """Answers each request with the next of its replies, and then with good ones."""

    def __init__(self) -> None:
        self.replies: list[Callable[[Any], Reply]] = []
        self.bodies: list[Any] = []
        self.headers: list[Any] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.bodies.append(body)
                endpoint.headers.append(self.headers)
                reply = endpoint.replies.pop(0) if endpoint.replies else good
                status, headers, content = reply(body)
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(raw))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            def do_GET(self) -> None:
                endpoint.bodies.append("GET")
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # not waited for
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/embeddings"
        self.thread = Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def encoder(self, **settings: Any) -> HTTPEncoder:
        return HTTPEncoder(self.url, "tiny", **settings)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are waited between tries, in no time."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    waited: list[float] = []
    monkeypatch.setattr(post, "_sleep", waited.append)
    return waited


def test_vectors_in_the_order_of_the_texts(endpoint: Endpoint) -> None:
    encoder = open_encoder("http", url=endpoint.url, model="tiny", batch_size=2)
    texts = ["a", "bb", "ccc", "dddd", "é" * 5]
    found = encoder.encode(texts)
    assert found.dtype == np.float32 and found.tolist() == vectors(texts)
    assert [body["input"] for body in endpoint.bodies] == [texts[:2], texts[2:4], texts[4:]]
    assert all(body.keys() == {"model", "input"} for body in endpoint.bodies)
    assert {headers["Authorization"] for headers in endpoint.headers} == {f"Bearer {KEY}"}
    assert encoder.settings == {"url": endpoint.url, "model": "tiny", "dimensions": None}
    assert encoder.encode([]).shape == (0, 3) and len(endpoint.bodies) == 3
    assert KEY not in repr(vars(encoder))


def test_dimensions_that_are_asked_for(endpoint: Endpoint) -> None:
    encoder = endpoint.encoder(dimensions=5)
    assert encoder.encode([]).shape == (0, 5)
    assert encoder.encode(["a"]).shape == (1, 5) and endpoint.bodies[0]["dimensions"] == 5


def test_without_a_key_none_is_sent(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", "other\n")
    endpoint.encoder(key_variable="OTHER_KEY").encode(["a"])
    endpoint.encoder(key_variable="NO_SUCH_KEY").encode(["a"])
    assert [headers["Authorization"] for headers in endpoint.headers] == ["Bearer other", None]
    endpoint.replies = [answering(401)]
    with pytest.raises(ValueError, match=r"401 Unauthorized.*; NO_SUCH_KEY is not set"):
        endpoint.encoder(key_variable="NO_SUCH_KEY").encode(["a"])


def test_busy_and_broken_endpoints_are_asked_again(
    endpoint: Endpoint, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.replies = [
        answering(429, {"error": {"message": "slow down"}}),
        answering(500),
        answering(503, b"<html>"),
        answering(200, b"cut off", Content_Length="1000"),
    ]
    with caplog.at_level(logging.WARNING):
        assert endpoint.encoder().encode(["a"]).tolist() == vectors(["a"])
    assert len(endpoint.bodies) == 5
    for wait, most in zip(waits, [1, 2, 4, 8], strict=True):
        assert most / 2 <= wait <= most
    assert "429 Too Many Requests: slow down; trying again in" in caplog.text


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7, 7),
        ("in 100 s", 60, 101),
        ("soon", 0.5, 1),
        ("-5", 0.5, 1),
        ("in 1970", 0.5, 1),
    ],
)
def test_an_endpoint_says_how_long_to_wait(
    value: str, least: float, most: float, endpoint: Endpoint, waits: list[float]
) -> None:
    dates = {"in 100 s": time.time() + 100, "in 1970": 0.0}
    if value in dates:
        value = formatdate(dates[value], usegmt=True)
    endpoint.replies = [answering(429, Retry_After=value)]
    endpoint.encoder().encode(["a"])
    assert len(waits) == 1 and least <= waits[0] <= most


def test_an_answer_without_end(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "_LARGEST", 20)
    with pytest.raises(ValueError, match="answers with more than 20 bytes"):
        endpoint.encoder().encode(["a"])


def test_a_wait_of_hours_is_an_error(endpoint: Endpoint, waits: list[float]) -> None:
    endpoint.replies = [answering(429, Retry_After="86400")]
    with pytest.raises(OSError, match=r"429 .*; it asks to wait 86,400 s"):
        endpoint.encoder().encode(["a"])
    assert not waits


def test_an_endpoint_that_keeps_failing(endpoint: Endpoint, waits: list[float]) -> None:
    endpoint.replies = [answering(500, {"error": {"message": "out of memory"}})] * 3
    with pytest.raises(
        OSError, match=r"500 Internal Server Error: out of memory \(tried 3 times\)"
    ):
        endpoint.encoder(retries=2).encode(["a"])
    assert len(endpoint.bodies) == 3 and len(waits) == 2


def test_waits_do_not_grow_without_end(endpoint: Endpoint, waits: list[float]) -> None:
    endpoint.replies = [answering(502)] * 10
    endpoint.encoder(retries=10).encode(["a"])
    assert 30 <= max(waits) <= 60


def test_a_slow_endpoint(endpoint: Endpoint, waits: list[float]) -> None:
    def slow(body: Any) -> Reply:
        time.sleep(0.5)
        return good(body)

    endpoint.replies = [slow]
    assert endpoint.encoder(timeout=0.1).encode(["a"]).tolist() == vectors(["a"])
    assert len(waits) == 1
    endpoint.replies = [slow]
    with pytest.raises(OSError, match=r"timed out \(tried 1 times\)"):
        endpoint.encoder(timeout=0.1, retries=0).encode(["a"])


def test_nobody_answers(waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(OSError, match=rf"127.0.0.1:{port}/v1: .*refused.* \(tried 2 times\)"):
        HTTPEncoder(f"http://127.0.0.1:{port}/v1", "tiny", retries=1).encode(["a"])
    assert len(waits) == 1


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            answering(400, {"error": {"message": "too  long\nby 3"}}),
            "400 Bad Request: too long by 3",
        ),
        (answering(401, {"error": f"no {KEY}"}), '401 .*"no \\*\\*\\*".*; OPENAI_API_KEY is wrong'),
        (answering(404, b"\xff<html>" + b"x" * 5000), "404 Not Found: .<html>x{100,300}$"),
        (answering(301, Location="/other"), "redirects are not followed"),
        (answering(307, Location="https://example.org/"), "redirects are not followed"),
        (answering(200, b"<html>busy</html>"), "expected JSON, found '<html>busy</html>'"),
        (answering(200, b"\xff\xfe\xff"), "expected JSON, found"),
        (answering(200, b"[" * 100_000), "expected JSON, found"),
        (answering(200, b""), "expected JSON, found ''"),
        (
            answering(200, {"error": f"no model for {KEY}"}),
            'found {"error": "no model for \\*\\*\\*"}',
        ),
        (answering(200, [1]), r'expected {"data": .*, found \[1\]'),
        (answering(200, {"data": [{"index": []}]}), r'expected {"data": '),
        (answering(200, {"data": {"a": 1}}), r'expected {"data": '),
        (saying(lambda told: {"data": told["data"][1:]}), r"index from 0 to 1, found \[0\]"),
        (saying(lambda told: {"data": told["data"] * 2}), r"index from 0 to 1, found \[1, 0\]"),
        (saying(lambda told: {"data": [row | {"index": 7} for row in told["data"]]}), r"\[7\]"),
        (saying(lambda told: with_vector(told, "AAAA")), "vectors of numbers, .*AAAA"),
        (saying(lambda told: with_vector(told, [])), "vectors of numbers"),
        (saying(lambda told: with_vector(told, [1, 2])), "all of one length"),
        (saying(lambda told: with_vector(told, [1, [2], 3])), "vectors of numbers"),
        (saying(lambda told: with_vector(told, [1, float("nan"), 3])), r"finite.*\[1, NaN, 3\]"),
        (saying(lambda told: with_vector(told, [1, None, 3])), "finite"),
        (saying(lambda told: with_vector(told, [1, 1e300, 3])), "finite"),
        (saying(lambda told: with_vector(told, [1, 10**400, 3])), "vectors of numbers"),
    ],
)
def test_an_answer_that_is_of_no_use(
    reply: Callable[[Any], Reply],
    said: str,
    endpoint: Endpoint,
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not asked for again, the error says what is wrong with it, and the key is nowhere."""
    endpoint.replies = [reply]
    with caplog.at_level(logging.DEBUG), pytest.raises(ValueError) as told:
        endpoint.encoder().encode(["a", "bb"])
    message = str(told.value)
    assert message.startswith(endpoint.url) and re.search(said, message), message
    assert len(message) < 700 and not waits and len(endpoint.bodies) == 1
    assert KEY not in "".join(traceback.format_exception(told.value)) + caplog.text
    assert "GET" not in endpoint.bodies


def with_vector(told: Any, vector: Any) -> Any:
    told["data"][0]["embedding"] = vector
    return told


def test_dimensions_that_are_not_those_asked_for_or_change(endpoint: Endpoint) -> None:
    endpoint.replies = [lambda body: good(body | {"dimensions": 4})]
    with pytest.raises(ValueError, match="expected vectors of 8 dimensions, found 4"):
        endpoint.encoder(dimensions=8).encode(["a"])
    encoder = endpoint.encoder()
    encoder.encode(["a"])
    endpoint.replies = [lambda body: good(body | {"dimensions": 4})]
    with pytest.raises(ValueError, match="expected vectors of 3 dimensions, found 4"):
        encoder.encode(["b"])


@pytest.mark.parametrize("key", [f"{KEY}\r\nX: y", f"{KEY}é", f"{KEY} b"])
def test_a_key_that_is_none_is_not_shown(
    key: str, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ValueError, match="OPENAI_API_KEY holds characters that no key has") as told:
        endpoint.encoder().encode(["a"])
    assert KEY not in "".join(traceback.format_exception(told.value)) and not endpoint.bodies


def test_a_proxy_does_not_see_what_is_for_this_machine(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert len(endpoint.encoder(retries=0).encode(["a"])) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.org/v1/embeddings",
        "http://localhost:8000/v1/embeddings",
        "http://127.1.2.3/v1",
        "http://[::1]:80/v1",
    ],
)
def test_addresses_that_keep_a_secret(url: str) -> None:
    HTTPEncoder(url, "tiny")


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.org/v1/embeddings",
        "http://localhost.example.org/v1",
        "http://10.0.0.1/v1",
        "ftp://localhost/v1",
        "file:///etc/passwd",
        "api.example.org/v1",
        "https:///v1",
        "https://example.org:port/v1",
        "https://[::1/v1",
        "",
        None,
        3,
        f"https://user:{KEY}@example.org/v1",
        f"https://example.org/v1?key={KEY}",
        f"https://user:{KEY}@exa]mple.org:x/v1",
    ],
)
def test_addresses_that_do_not(url: Any) -> None:
    with pytest.raises(ArgumentError, match=r"'url' must be https://HOST/PATH, or") as told:
        HTTPEncoder(url, "tiny")
    assert KEY not in str(told.value)


def test_every_argument_that_is_wrong_is_named() -> None:
    wrong = {"key_variable": "", "dimensions": 0, "batch_size": 0, "timeout": 0, "retries": -1}
    with pytest.raises(ArgumentError) as told:
        HTTPEncoder("https://example.org/v1", "", **wrong)  # type: ignore[arg-type]
    assert {"model", *wrong} == set(told.value.wrong)
