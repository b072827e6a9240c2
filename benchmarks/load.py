"""An open-loop load generator: requests are sent when they are due, answered or not before.

Times are fixed beforehand, and a latency counts from the moment a request was due: what waits for a
slow server, or for a free connection, is part of it. A generator that waits for answers before it
asks again measures a slow server at a lower rate than was asked for, and hides the wait
("coordinated omission").

Plain sockets and ``select``: it waits to the microsecond, and takes little of the processor that it
shares with the server.
"""

from __future__ import annotations

import json
import select
import socket
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TIMEOUT = 10.0
_BYTES = 1 << 16


@dataclass
class Load:
    """The outcome of the requests.

    Args:
        milliseconds: Latencies of those answered with 200, from the moment each was due.
        late: Milliseconds from that moment until the generator saw to it; no fault of the server.
        errors: How many of the others there were of each kind: a status, ``"timeout"``,
            ``"closed"`` or ``"refused"``.
        seconds: From the first request due to the last answer.
        cpu: Share of a core that the generator itself took.
    """

    milliseconds: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu: float = 0.0

    def summary(self) -> dict[str, Any]:
        """The figures for a table and for JSON."""
        return {
            "answered": len(self.milliseconds),
            "errors": dict(self.errors),
            "seconds": self.seconds,
            "rate": len(self.milliseconds) / self.seconds,
            "ms": percentiles(self.milliseconds),
            "late_ms": percentiles(self.late),
            "generator_cpu": self.cpu,
        }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99 and the greatest."""
    if not values:
        return dict.fromkeys(("p50", "p90", "p99", "max"), float("nan"))
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "max": float(max(values))}


def arrivals(rate: float, seconds: float, seed: int = 0) -> NDArray[np.float64]:
    """Seconds at which requests are due: a Poisson process, as independent users make it.

    Args:
        rate: Requests a second, on average.
        seconds: For how long.
        seed: Of the random numbers. (default: 0)
    """
    generator = np.random.default_rng(seed)
    gaps = generator.exponential(1 / rate, size=int(rate * seconds))
    return np.cumsum(gaps)


def request(path: str, body: Mapping[str, Any], host: str = "127.0.0.1") -> bytes:
    """A POST of JSON, as it goes over the wire."""
    content = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def send(
    address: tuple[str, int],
    requests: Sequence[bytes],
    due: Sequence[float] | NDArray[np.float64],
    connections: int = 64,
    timeout: float = _TIMEOUT,
    each_second: Callable[[Load], None] | None = None,
) -> Load:
    """Send requests when they are due, over connections that are kept open.

    Args:
        address: Host and port.
        requests: What is sent, over and over, in order.
        due: Seconds from now at which each request is due, ascending; all 0 for as many as the
            connections take.
        connections: How many; a request that finds none free waits for one. (default: 64)
        timeout: Seconds after which an answer is given up. (default: 10)
        each_second: Called with the progress about once a second. (default: none)

    Returns:
        Their outcome.

    Raises:
        OSError: If no connection can be had in the beginning.
    """
    load = Load()
    free = [_Connection(address) for _ in range(connections)]
    busy: dict[int, _Connection] = {}
    waiting: deque[float] = deque()
    times = [float(time) for time in due]
    started, cpu = perf_counter(), process_time()
    sent = next_due = 0
    reported = 1.0
    now = 0.0
    while next_due < len(times) or waiting or busy:
        now = perf_counter() - started
        while next_due < len(times) and times[next_due] <= now:
            waiting.append(times[next_due])
            load.late.append(1000 * (now - times[next_due]))
            next_due += 1
        while waiting and free:
            connection = free.pop()
            error = connection.ask(requests[sent % len(requests)], waiting.popleft(), now)
            sent += 1
            if error is None:
                busy[connection.fileno()] = connection
            else:
                load.errors[error] += 1
                free.insert(0, connection)
        for descriptor in _answering(busy, times, next_due, started, now):
            connection = busy[descriptor]
            status = connection.hear()
            if status is None:
                continue
            del busy[descriptor]
            free.append(connection)
            if status == "200":
                load.milliseconds.append(1000 * (perf_counter() - started - connection.due))
            else:
                load.errors[status] += 1
        if now >= reported:
            reported = now + 1.0
            for descriptor in [key for key, one in busy.items() if now - one.asked > timeout]:
                connection = busy.pop(descriptor)
                connection.close()
                free.insert(0, connection)
                load.errors["timeout"] += 1
            if each_second is not None:
                each_second(load)
    load.seconds = perf_counter() - started
    load.cpu = (process_time() - cpu) / load.seconds
    for connection in free:
        connection.close()
    return load


def _answering(
    busy: Mapping[int, _Connection],
    times: Sequence[float],
    next_due: int,
    started: float,
    now: float,
) -> list[int]:
    """Connections with something to read; waits for one until the next request is due."""
    wait = 0.5
    if next_due < len(times):
        wait = min(wait, max(0.0, times[next_due] - (perf_counter() - started)))
    return select.select(list(busy), [], [], wait)[0]


class _Connection:
    """One connection, which is opened anew once it has been closed."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.due = self.asked = 0.0
        self._answer = b""
        self._socket: socket.socket | None = self._connect()

    def fileno(self) -> int:
        assert self._socket is not None
        return self._socket.fileno()

    def ask(self, content: bytes, due: float, now: float) -> str | None:
        """Send a request; what went wrong, or None."""
        self.due, self.asked, self._answer = due, now, b""
        if self._socket is not None and select.select([self._socket], [], [], 0)[0]:
            self.close()  # the service has closed what was idle, as it may
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.sendall(content)
        except OSError as error:
            self.close()
            return "refused" if isinstance(error, ConnectionRefusedError) else "closed"
        return None

    def hear(self) -> str | None:
        """Read what has come: the status once the answer is whole, ``"closed"``, or None."""
        assert self._socket is not None
        try:
            part = self._socket.recv(_BYTES)
        except OSError:
            part = b""
        if not part:
            self.close()
            return "closed"
        self._answer += part
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if not blank or len(body) < _content_length(head):
            return None
        if b"\r\nconnection: close" in head.lower():
            self.close()
        return head[9:12].decode("latin-1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        opened = socket.create_connection(self.address, timeout=_TIMEOUT)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0
