"""By which names a service may be asked, and by pages of which origin."""

from __future__ import annotations

import socket

import pytest

from pyg_srgnn.serving.hosts import Hosts
from tests.serving.running import in_thread
from tests.serving.shop import untrained

pytestmark = pytest.mark.slow

TOKEN = "correct-horse"
BODY = b'{"items": [100], "k": 1}'


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("model"), list(range(100, 130)))


@pytest.fixture(scope="module")
def running(checkpoint):
    with in_thread(checkpoint, sessions="memory") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(checkpoint):
    with in_thread(checkpoint, token=TOKEN) as running:
        yield running


def ask(running, *headers, line="POST /recommend HTTP/1.1", token=None):
    """Head and body of the answer to a request with just these headers."""
    lines = [line, *headers, "Connection: close"]
    lines += [] if token is None else [f"Authorization: Bearer {token}"]
    if line.startswith("POST"):
        lines += ["Content-Type: application/json", f"Content-Length: {len(BODY)}"]
    with socket.create_connection(running.address, 30) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode() + BODY * line.startswith("POST"))
        found = b"".join(iter(lambda: client.recv(1 << 16), b"")).decode()
    head, _, body = found.partition("\r\n\r\n")
    return int(head.split(" ")[1]), head, body


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8000",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.8.9.10:80",
        "[::1]",
        "[::1]:80",
    ],
)
def test_names_of_loopback(running, host):
    assert ask(running, f"Host: {host}")[0] == 200


FOREIGN = ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"]
FOREIGN += ["127.1", "192.0.2.7", "0.0.0.0", "[::2]", "[::1", "localhost:8000:1", "localhost@evil"]


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_are_refused_without_a_token(running, host):
    for line in (
        *("POST /recommend HTTP/1.1", "POST /sessions/a/click HTTP/1.1", "GET /items HTTP/1.1"),
        *("DELETE /sessions/a HTTP/1.1", "GET /metrics HTTP/1.1", "GET / HTTP/1.1"),
    ):
        status, _, body = ask(running, f"Host: {host}", line=line)
        assert status == 403 and "hosts" in body, line
    assert len(running.service.store) == 0


@pytest.mark.parametrize("line", ["GET /health HTTP/1.1", "POST /recommend HTTP/1.1"])
@pytest.mark.parametrize("headers", [(), ("Host:",), ("Host: localhost", "Host: localhost")])
def test_a_request_has_one_host(running, guarded, line, headers):
    assert ask(running, *headers, line=line)[0] == 400
    assert ask(guarded, *headers, line=line, token=TOKEN)[0] == 400


def test_a_request_of_http_1_0_needs_none(running):
    assert ask(running, line="GET /health HTTP/1.0")[0] == 200


ORIGINS = {
    "http://localhost:8000": 200,
    "HTTP://LOCALHOST:8000": 200,
    "http://localhost": 403,
    "http://127.0.0.1:8000": 403,
    "http://localhost:3000": 403,
    "http://evil.example": 403,
    "null": 403,
    "": 403,
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_pages_of_other_origins_are_refused_without_a_token(running, origin):
    headers = ("Host: localhost:8000", f"Origin: {origin}")
    for line in ("POST /recommend HTTP/1.1", "GET /items HTTP/1.1", "DELETE /sessions/a HTTP/1.1"):
        assert ask(running, *headers, line=line)[0] == ORIGINS[origin]
    for line in ("GET /health HTTP/1.1", "GET / HTTP/1.1", "GET /static/page.js HTTP/1.1"):
        assert ask(running, *headers, line=line)[0] == 200


def test_names_of_a_proxy(checkpoint):
    with in_thread(checkpoint, hosts=["Shop.example", "api"]) as running:
        for host in ("shop.example", "SHOP.example:443", "api:8000", "localhost"):
            assert ask(running, f"Host: {host}")[0] == 200
            assert ask(running, f"Host: {host}", f"Origin: https://{host}")[0] == 200
        # Where it asks by another name than the browser.
        assert ask(running, "Host: localhost:8000", "Origin: https://shop.example")[0] == 200
        for host in ("evil.example", "shop.example.evil.example", "xshop.example", "shopxexample"):
            assert ask(running, f"Host: {host}")[0] == 403
            assert ask(running, "Host: api", f"Origin: https://{host}")[0] == 403


def test_with_a_token_names_count_where_they_are_given(checkpoint, guarded):
    foreign = ("Host: evil.example", "Origin: http://elsewhere.example")
    assert ask(guarded, *foreign, token=TOKEN)[0] == 200
    assert ask(guarded, *foreign)[0] == 401
    with in_thread(checkpoint, token=TOKEN, hosts=["shop.example"]) as running:
        assert ask(running, "Host: evil.example", token=TOKEN)[0] == 403
        assert ask(running, "Host: shop.example", token=TOKEN)[0] == 200
        other = "Origin: http://elsewhere.example"  # which cannot know the token
        assert ask(running, "Host: shop.example", other, token=TOKEN)[0] == 200


def test_a_service_for_others_is_asked_by_its_addresses():
    """No name can be rebound to an address."""
    hosts = Hosts(["shop.example"], addresses=True)
    for host in ("192.0.2.7:8000", "[2001:db8::1]:8000", "shop.example", "localhost"):
        assert hosts.allows(host)
    for host in ("evil.example", "192.0.2.7.evil.example"):
        assert not hosts.allows(host)


@pytest.mark.parametrize("path", ["/docs/", "/recommend/", "/items/", "//docs", "/static/"])
def test_no_redirect_leads_to_another_host(guarded, path):
    line = f"GET {path} HTTP/1.1"
    status, head, body = ask(guarded, "Host: evil.example", line=line, token=TOKEN)
    assert "evil.example" not in head + body
    if path == "/docs/":
        assert status == 307 and "location: ../docs\r\n" in head.lower() + "\r\n"
    else:
        assert status == 404
