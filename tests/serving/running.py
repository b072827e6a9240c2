"""A whole service, in a thread of the test or in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from pyg_srgnn.serving.server import Server, listen
from pyg_srgnn.serving.service import Service
from pyg_srgnn.serving.settings import Settings


def eventually(true: Callable[[], Any], why: str, seconds: float = 60) -> Any:
    """Wait until something holds; what it gives."""
    until = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < until, f"waited in vain: {why}"
        time.sleep(0.01)
    return found


class Looping(Server):
    """A server that keeps its event loop for the test."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)


class Running:
    """A client of a service."""

    def __init__(self, url: str, server: Looping | None = None) -> None:
        self.url = url
        self.server = server
        self.client = requests.Session()
        self.client.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do some work where the service does its own."""
        assert self.server is not None
        return asyncio.run_coroutine_threadsafe(work, self.server.loop).result(60)

    @property
    def service(self) -> Service:
        assert self.server is not None, "of a process there is none here"
        return self.server.service

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.client.request(method, self.url + path, timeout=60, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any, **more: Any) -> requests.Response:
        return self.ask("POST", path, json=body, **more)

    def ready(self) -> bool:
        return self.get("/ready").status_code == 200

    def metric(self, name: str) -> float:
        """The value of one line of /metrics."""
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0


@contextmanager
def in_thread(
    checkpoint: Path,
    wait: bool = True,
    port: int = 0,
    wrap: Callable[[Any], Any] | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """Serve in a thread, which gets no signals; ``wrap`` makes another application of ours."""
    listening = listen("127.0.0.1", port)
    server = Looping(Settings(str(checkpoint), **settings))
    if wrap is not None:
        server.config.app = wrap(server.config.app)
    running = Running(f"http://127.0.0.1:{listening.getsockname()[1]}", server)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        if wait:
            eventually(running.ready, "the service is not ready")
        yield running
    finally:
        running.client.close()
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


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
        await asyncio.to_thread(self.go.wait, 60)
        messages = iter([body])

        async def replay() -> Any:
            return next(messages, None) or await receive()

        try:
            await self.app(scope, replay, send)
        finally:
            self.answered.set()


class Process(Running):
    """A service of its own, as a user starts it; its log as it comes."""

    def __init__(self, checkpoint: Path, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "pyg_srgnn.serving", str(checkpoint), "--port=0"]
        self.process = subprocess.Popen(
            [*command, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        )
        self.log: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        super().__init__(self.event("listening")["url"])
        eventually(self.ready, "the service is not ready")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            self.log.append(json.loads(line))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in list(self.log) if line.get("event") == name]

    def event(self, name: str) -> dict[str, Any]:
        """The first event of a name, once it has come."""

        def told() -> list[dict[str, Any]]:
            assert self.process.poll() is None or not self._reader.is_alive()
            assert self._reader.is_alive() or self.events(name), self.lines
            return self.events(name)

        return eventually(told, name)[0]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait until it has ended by itself; its exit status."""
        status = self.process.wait(60)
        self._reader.join(60)
        return status


@contextmanager
def in_process(checkpoint: Path, *arguments: str, **environment: str) -> Iterator[Process]:
    process = Process(checkpoint, "--drain-seconds=0", *arguments, **environment)
    try:
        yield process
    finally:
        process.client.close()
        if process.process.poll() is None:
            process.signal(signal.SIGKILL)
            process.end()
