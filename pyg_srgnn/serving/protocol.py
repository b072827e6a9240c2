"""Bounds HTTP connections: their number, the size of a head, and the time of a request."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pyg_srgnn.serving.guard import problem

_HEAD = 64 << 10  # bytes of a request's line and headers
_TOO_LARGE = problem(
    431, f"a request's line and headers may have {_HEAD} bytes", {"Connection": "close"}
)


class Connections:
    """The open connections of a service; an idle one is closed for a new one.

    Args:
        most: Largest number of connections.
        per_address: Largest number of connections from one address. (default: None, no limit)
    """

    def __init__(self, most: int, per_address: int | None = None) -> None:
        self.most = most
        self.per_address = per_address
        self._open: dict[Bounded, str | None] = {}  # and their addresses
        self._of_address: Counter[str | None] = Counter()
        self._idle: dict[Bounded, None] = {}  # the longest idle one first

    def admit(self, connection: Bounded) -> bool:
        """Add a new connection, which is idle; False if there is no room for it."""
        address = connection.client[0] if connection.client else None
        if self.per_address is not None and self._of_address[address] >= self.per_address:
            alike = (one for one in self._idle if self._open[one] == address)
            if not self._close(next(alike, None)):
                return False
        if len(self._open) >= self.most and not self._close(next(iter(self._idle), None)):
            return False
        self._open[connection] = address
        self._of_address[address] += 1
        self._idle[connection] = None
        return True

    def busy(self, connection: Bounded) -> None:
        """A request begins."""
        self._idle.pop(connection, None)

    def idle(self, connection: Bounded) -> None:
        """Every request of a connection has been answered."""
        if connection in self._open:
            self._idle[connection] = None

    def closed(self, connection: Bounded) -> None:
        """A connection is closed."""
        self._idle.pop(connection, None)
        if connection in self._open:
            address = self._open.pop(connection)
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _close(self, connection: Bounded | None) -> bool:
        if connection is None:
            return False
        self.closed(connection)
        connection.transport.abort()  # an answer that is not read would keep it open
        return True


class Bounded(HttpToolsProtocol):
    """uvicorn's HTTP protocol with bounds on time, size of a head and connections.

    A request must be complete within ``request_timeout`` seconds from its first byte (the first
    request: from the connection); else it is answered with 408. A client that does not read its
    answer for as long is disconnected. uvicorn itself waits for ever.
    """

    request_timeout: float  # seconds
    open_connections: Connections

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._in_head = False
        self._begun = False  # whether the head has begun in the bytes that are being parsed
        self._head = 0  # bytes of a head that is not whole, without those it began with

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        if self.open_connections.admit(self):
            self._wait()
        else:
            self._refuse(b"503 Service Unavailable")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is lost."""
        self.open_connections.closed(self)
        self._arrived()
        self._read()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data, unless the head has become too large."""
        self._begun = False
        super().data_received(data)
        # The bytes in which a head begins may belong to another request as well and are not
        # counted. They are few, and a complete head is measured exactly.
        if self._in_head and not self._begun:
            self._head += len(data)
            if self._head > _HEAD:
                self._refuse(b"431 Request Header Fields Too Large")

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more; whether the connection stays open for an answer that is due."""
        last = self.pipeline[0][0] if self.pipeline else self.cycle
        if last is None or last.response_complete or last.more_body or self._in_head:
            return False
        last.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._limit_reading()

    def resume_writing(self) -> None:
        """The client has read."""
        self._read()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for long."""
        self.transport.abort()  # close() would wait until the last answer is read

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self.open_connections.busy(self)
        self._head, self._in_head, self._begun = 0, True, True
        if self._deadline is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > _HEAD:
            self.app = _TOO_LARGE
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._arrived()
        super().on_message_complete()
        if self.cycle.response_complete:  # refused before the body arrived
            self.open_connections.idle(self)
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """The answer is complete; the next request follows."""
        if not self.pipeline and not self._in_head and not self.cycle.more_body:
            self.open_connections.idle(self)
        super().on_response_complete()
        if self.transport.is_closing():
            self._limit_reading()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.request_timeout, self._late)

    def _arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _limit_reading(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(self.request_timeout, self.transport.abort)

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _late(self) -> None:
        if self.pipeline:  # it waits for the answer to the request before
            self._wait()
        else:
            self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not self._in_head and self.cycle.response_started
        if not answering:
            head = b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status
            self.transport.write(head)
        self.transport.close()
        self._limit_reading()
