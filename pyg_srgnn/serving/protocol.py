"""HTTP for clients that are slow, or never come to an end."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = 64 << 10  # bytes of a request's line and headers


class Deadline(HttpToolsProtocol):
    """uvicorn's HTTP, with an end to every request: a deadline for its bytes, and a largest head.

    The time begins with the connection, and with the first byte of every later request; what is
    not whole then is answered with 408, and the connection closed. uvicorn itself waits for ever.
    """

    request_timeout: float = 10  # seconds

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._head = 0  # bytes of the head that is being read
        self._in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse it, unless the head has become too large."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > _HEAD:
                self._refuse(b"431 Request Header Fields Too Large")

    def eof_received(self) -> bool:  # type: ignore[override]
        """No more will come; whether the connection stays open for an answer that is due."""
        last = self.pipeline[0][0] if self.pipeline else self.cycle
        if last is None or last.response_complete or last.more_body or self._in_head:
            return False
        last.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head, self._in_head = 0, True
        if self._deadline is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._arrived()
        super().on_message_complete()
        if self.cycle.response_complete:  # it was refused before its body had come
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.request_timeout, self._late)

    def _arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        if self.pipeline:  # it is we who do not read on before the answer to the one before
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
