"""A service on a free port of this machine, run beside the test and stopped behind it."""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    """Serve an application that has a /ready; gives its address once it is."""
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until = time.monotonic() + 30
        while not (server.started and _ready(url := _address(server))):
            assert thread.is_alive() and time.monotonic() < until, "the service does not start"
            time.sleep(0.01)
        yield url
    finally:
        server.should_exit = True
        thread.join(30)


def _address(server: uvicorn.Server) -> str:
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=10):
            return True
    except urllib.error.HTTPError as error:
        assert error.code == 503
        return False


class Held:
    """Lets a test hold back the answer to one request for recommendations."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.wanted = False
        self.caught, self.answered = threading.Event(), threading.Event()
        self.go = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not (self.wanted and scope.get("path") == "/recommend"):
            return await self.app(scope, receive, send)
        self.wanted = False
        body = await receive()
        self.caught.set()
        while not self.go.is_set():
            await asyncio.sleep(0.01)
        messages = iter([body])

        async def replay() -> Any:
            return next(messages, None) or await receive()

        try:
            await self.app(scope, replay, send)
        finally:
            self.answered.set()
