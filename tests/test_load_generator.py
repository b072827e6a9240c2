"""The load generator: waiting counts from the moment a request was due, and errors are counted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest

from benchmarks.load import Load, arrivals, percentiles, request, send

_SERVICE = 0.05  # seconds that a request takes, one after the other


class _Server:
    """Answers one request at a time, as the request's path says."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.connections = 0
        self._turn = asyncio.Lock()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.seen.append(head + await reader.readexactly(length))
                kind = head.split(b" ")[1]
                async with self._turn:
                    await asyncio.sleep(_SERVICE if kind == b"/slow" else 0)
                if kind == b"/never":
                    continue
                if kind == b"/close":
                    break
                status = b"503 Busy" if kind == b"/busy" else b"200 OK"
                last = b"Connection: close\r\n" if kind == b"/last" else b""
                for part in (
                    b"HTTP/1.1 " + status + b"\r\n" + last + b"Content-Le",
                    b"ngth: 20000\r\n\r\n" + 10_000 * b"x",
                    10_000 * b"x",
                ):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.001)
                if last:
                    break
        writer.close()


@contextmanager
def _serving() -> Iterator[tuple[_Server, tuple[str, int]]]:
    loop = asyncio.new_event_loop()
    server = _Server()
    listening = loop.run_until_complete(asyncio.start_server(server.handle, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server, listening.sockets[0].getsockname()
    finally:
        loop.call_soon_threadsafe(listening.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.mark.parametrize("connections", [1, 10])
def test_latency_counts_from_when_a_request_was_due(connections: int) -> None:
    """Ten at once, each 50 ms: the last has waited for 500 ms, in the server or before it."""
    with _serving() as (_, address):
        load = send(address, [request("/slow", {})], np.zeros(10), connections)
    waited = sorted(load.milliseconds)
    assert len(waited) == 10
    for place, milliseconds in enumerate(waited, 1):
        assert milliseconds >= 1000 * _SERVICE * place - 1
    assert load.seconds >= 10 * _SERVICE


def test_nothing_goes_out_before_it_is_due() -> None:
    due = [0.0, 0.1, 0.3]
    with _serving() as (_, address):
        load = send(address, [request("/", {})], due)
    assert load.seconds >= 0.3
    assert len(load.milliseconds) == len(load.late) == 3
    assert min(load.late) >= 0


def test_requests_in_turn_and_connections_kept() -> None:
    bodies: list[dict[str, Any]] = [{"items": [1]}, {"items": [2, "b"]}]
    requests = [request("/recommend", body) for body in bodies]
    with _serving() as (server, address):
        load = send(address, requests, [0.0, 0.05, 0.1, 0.15], connections=2)
        assert server.seen == [*requests, *requests]
        assert server.connections == 2
    assert len(load.milliseconds) == 4 and not load.errors


def test_errors_are_counted_by_kind_and_the_rest_goes_on() -> None:
    paths = ["/", "/busy", "/close", "/last", "/", "/busy"]
    with _serving() as (_, address):
        load = send(address, [request(path, {}) for path in paths], np.arange(6) / 50, 1)
    assert load.errors == {"503": 2, "closed": 1}
    assert len(load.milliseconds) == 3


def test_what_is_never_answered_is_given_up() -> None:
    told: list[int] = []
    with _serving() as (_, address):
        load = send(
            address,
            [request("/never", {}), request("/", {})],
            [0.0, 0.0],
            timeout=0.3,
            each_second=lambda so_far: told.append(len(so_far.milliseconds)),
        )
    assert load.errors == {"timeout": 1}
    assert len(load.milliseconds) == 1
    assert told and told[-1] == 1


def test_a_server_that_goes_away() -> None:
    with _serving() as (_, address):
        pass
    with pytest.raises(ConnectionRefusedError):
        send(address, [request("/", {})], [0.0])


def test_arrivals_are_a_poisson_process() -> None:
    due = arrivals(rate=1000, seconds=10, seed=1)
    gaps = np.diff(due)
    assert len(due) == 10_000
    assert due[-1] == pytest.approx(10, rel=0.05)
    assert gaps.min() >= 0
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert np.array_equal(due, arrivals(1000, 10, seed=1))
    assert not np.array_equal(due, arrivals(1000, 10, seed=2))


def test_the_summary() -> None:
    load = Load([float(n) for n in range(1, 101)], [0.5], seconds=4.0)
    load.errors["503"] += 3
    summary = load.summary()
    assert summary["answered"] == 100
    assert summary["rate"] == 25
    assert summary["errors"] == {"503": 3}
    assert summary["ms"] == {
        "p50": 50.5,
        "p90": pytest.approx(90.1),
        "p99": pytest.approx(99.01),
        "max": 100,
    }
    assert all(np.isnan(value) for value in percentiles([]).values())
