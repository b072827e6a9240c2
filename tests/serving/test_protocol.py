"""Bounds on connections: how many, how large a head, how long an answer may stay unread."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from tests.serving.running import eventually, in_thread
from tests.serving.shop import untrained

pytestmark = pytest.mark.slow

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = json.dumps({"sessions": [[100]] * 100, "k": 500}).encode()  # its answer has 2 MB


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("model"), list(range(100, 700)))


@pytest.fixture(scope="module")
def running(checkpoint):
    with in_thread(checkpoint) as running:
        yield running


def connect(running, address="127.0.0.1"):
    return socket.create_connection(running.address, 30, source_address=(address, 0))


def ask(client, request=HEALTH):
    """The status of one answer; 0 of a connection that the service has closed."""
    try:
        client.sendall(request)
        answer = client.recv(1 << 16)
    except ConnectionError:
        return 0
    return int(answer.split(b" ")[1]) if answer else 0


def busy(running):
    """Number of connections on which a request has begun."""
    known = running.server.config.http_protocol_class.open_connections
    return len(known._open) - len(known._idle)


@contextmanager
def connections(running, count, address="127.0.0.1"):
    with ExitStack() as stack:
        yield [stack.enter_context(connect(running, address)) for _ in range(count)]


# How many.


def test_idle_connections_do_not_lock_others_out(checkpoint):
    with in_thread(checkpoint, max_connections=20) as running:
        running.client.close()
        with connections(running, 60) as clients:
            assert [ask(client) for client in clients[40:]] == [200] * 20
        with connections(running, 20) as clients:
            assert [ask(client) for client in clients] == [200] * 20
            assert ask(clients[0]) == 200  # so that the second one has been idle longest
            with connect(running) as another:
                assert ask(another) == 200
                assert ask(clients[1]) == 0
                assert [ask(client) for client in (clients[0], clients[2])] == [200, 200]


def test_connections_that_are_busy_are_not_closed(checkpoint):
    with in_thread(checkpoint, max_connections=5) as running:
        running.client.close()
        with connections(running, 5) as clients:
            for client in clients:
                client.sendall(HEALTH[:-2])
            eventually(lambda: busy(running) == 5, "five requests have begun")
            with connect(running) as another:
                assert ask(another) == 503
            assert [ask(client, HEALTH[-2:]) for client in clients] == [200] * 5
            with connect(running) as another:
                assert ask(another) == 200


def test_an_address_has_its_own_limit(checkpoint):
    with in_thread(checkpoint, max_connections=20, max_per_address=5) as running:
        running.client.close()
        with connect(running) as other, connections(running, 5, "127.0.0.2") as clients:
            assert ask(other) == 200
            for client in clients:
                client.sendall(HEALTH[:-2])
            eventually(lambda: busy(running) == 5, "five requests have begun")
            with connect(running, "127.0.0.2") as another:
                assert ask(another) == 503
            assert ask(other) == 200
            assert [ask(client, HEALTH[-2:]) for client in clients] == [200] * 5
            with connect(running, "127.0.0.2") as another:
                assert ask(another) == 200  # in place of the one that has been idle longest
            assert ask(clients[0]) == 0 and ask(other) == 200


def test_an_address_may_have_no_limit_of_its_own(checkpoint):
    with (
        in_thread(checkpoint, max_connections=20, max_per_address=None) as running,
        connections(running, 15) as clients,
    ):
        assert [ask(client) for client in clients * 2] == [200] * 30


# How large a head.


def test_many_requests_in_one_send(running):
    count = 20_000
    with connect(running) as client:
        last = HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        client.settimeout(60)
        sending = threading.Thread(target=client.sendall, args=(HEALTH * (count - 1) + last,))
        sending.start()
        found = b"".join(iter(lambda: client.recv(1 << 20), b""))
        sending.join(60)
        assert found.count(b"HTTP/1.1 200 ") == count and b"HTTP/1.1 4" not in found


@pytest.mark.parametrize(("size", "status"), [(60_000, 200), (70_000, 431)])
@pytest.mark.parametrize("fields", [1, 50])
@pytest.mark.parametrize("sends", [1, 20])
def test_the_size_of_a_head(running, size, status, fields, sends):
    more = b"".join(b"X-%d: %s\r\n" % (i, b"x" * (size // fields)) for i in range(fields))
    request = HEALTH[:-2] + more + b"\r\n"
    with connect(running) as client:
        part = -(-len(request) // sends)
        for start in range(0, len(request), part):
            time.sleep(0.005)
            client.sendall(request[start : start + part])
        assert ask(client, b"") == status


# How long an answer may stay unread.


def unread(running, close=False):
    """A client that asks for more than a socket's buffer holds, and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(running.address)
    head = (
        b"POST /recommend/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    )
    request = b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE
    last = head + b"Connection: close\r\n" if close else head
    client.sendall((head + request) * 4 + last + request)
    return client


@pytest.mark.parametrize("close", [False, True])
def test_a_client_that_never_reads_is_let_go(checkpoint, close):
    with in_thread(checkpoint, request_timeout=0.5) as running, unread(running, close):
        connections = running.server.server_state.connections
        eventually(lambda: running.metric("srgnn_batch_sessions_sum") >= 100, "an answer")
        running.client.close()
        eventually(lambda: not connections, "the connection is let go")


def test_a_client_that_reads_late_gets_its_answer(checkpoint):
    with in_thread(checkpoint, request_timeout=5) as running, unread(running, True) as client:
        time.sleep(0.5)
        found = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert found.count(b"HTTP/1.1 200 ") == 5
    last = json.loads(found.rpartition(b"\r\n\r\n")[2])
    assert len(last["results"]) == 100
