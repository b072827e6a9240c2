"""Checks every request (host, token, readiness, size of the body), and counts it."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from time import perf_counter

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyg_srgnn.serving.hosts import Hosts
from pyg_srgnn.serving.prometheus import Metrics

log = logging.getLogger("pyg_srgnn.serving.requests")

_OPEN = {"/health", "/ready"}  # without a token
_ALWAYS = {"/health", "/ready", "/metrics"}  # without a model
# The pages ask for the token, and wait for the model.
_PAGES = {"/", "/docs", "/docs/"}
_STATIC = "/static/"


class Guard:
    """The middleware that refuses requests.

    Args:
        app: The application that answers the other requests.
        metrics: Counts the requests.
        ready: Whether a model is loaded.
        hosts: The names that a Host may have, or None for any.
        token: The token of every request, or None.
        max_body: Largest number of bytes in a body.
        log_requests: Whether every request is logged.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        ready: Callable[[], bool],
        hosts: Hosts | None,
        token: str | None,
        max_body: int,
        log_requests: bool,
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.ready = ready
        self.hosts = hosts
        self.bearer = None if token is None else f"bearer {token}".encode()
        self.max_body = max_body
        self.log_requests = log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = perf_counter()
        status = 500  # if no answer begins

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, counted)
            else:
                await self.app(scope, self._bounded(receive), counted)
        finally:
            seconds = perf_counter() - start
            endpoint = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(endpoint, str(status)).inc()
            self.metrics.seconds.labels(endpoint).observe(seconds)
            if self.log_requests:
                asked = {"event": "request", "method": scope["method"], "endpoint": endpoint}
                asked |= {"status": status, "ms": round(1000 * seconds, 3)}
                log.info("request", extra=asked | scope.get("logged", {}))

    def _refusal(self, scope: Scope) -> Response | None:
        path = scope["path"]
        static = path in _PAGES or path.startswith(_STATIC)
        given, length = b"", b""
        host = origin = None
        for name, value in scope["headers"]:
            if name == b"host":
                if host is not None:
                    return problem(400, "a request has one Host, this one has more")
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"authorization":
                given = value
            elif name == b"content-length":
                length = value
        if not host and scope["http_version"] != "1.0":
            return problem(400, "a request has a Host, this one has none")
        if self.hosts is not None:
            asked = (host or b"localhost").decode("latin-1")
            if not self.hosts.allows(asked):
                return problem(403, _foreign("Host", asked))
            if origin is not None and self.bearer is None and not static and path not in _OPEN:
                page = origin.decode("latin-1")
                if not self.hosts.same_origin(page, asked):
                    return problem(403, _foreign("Origin", page))
        if self.bearer is not None and not static and path not in _OPEN:
            kind, _, token = given.partition(b" ")
            if not hmac.compare_digest(kind.lower() + b" " + token.strip(), self.bearer):
                return problem(401, "a token is needed", {"WWW-Authenticate": "Bearer"})
        if path not in _ALWAYS and not static and not self.ready():
            return problem(503, "no model is loaded yet", {"Retry-After": "1"})
        if length and int(length) > self.max_body:
            return problem(413, self._too_large())
        return None

    def _bounded(self, receive: Receive) -> Receive:
        """The messages of a body, up to the limit of its size."""
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.max_body:
                raise HTTPException(413, self._too_large())
            return message

        return bounded

    def _too_large(self) -> str:
        return f"a body may have {self.max_body} bytes"


def _foreign(header: str, value: str) -> str:
    return (
        f"{header}: {value[:100]} is not this service; the setting hosts lists its names other "
        f"than localhost"
    )


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error as a JSON answer."""
    return JSONResponse({"detail": detail}, status, headers)
