"""One of several processes that answer behind one port; see :mod:`pyg_srgnn.serving.workers`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pyg_srgnn.serving.channel import Channel
from pyg_srgnn.serving.served import State
from pyg_srgnn.serving.server import Server
from pyg_srgnn.serving.settings import Settings


class Worker(Server):
    """A server whose models come from another process, which decides when it listens, too.

    Args:
        settings: The settings of the service.
        link: Its end of a pair of sockets, whose other end that process has.
    """

    def __init__(self, settings: Settings, link: socket.socket) -> None:
        functions: dict[str, Callable[..., Awaitable[Any]]] = {
            "prepare": self._prepare,
            "take": self._take,
            "forget": self._forget,
            "state": self._state,
            "change": self._change,
            "listen": self._listen,
        }
        self.link = link
        self.parent = Channel(functions)
        self._listens = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        super().__init__(settings, self.parent)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve once it is told to."""
        await self.parent.open(self.link)
        self._following = asyncio.create_task(self._follow())
        await self._listens.wait()
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop; called ten times a second."""
        self.service.metrics.refresh()
        return await super().on_tick(counter)

    async def _follow(self) -> None:
        """Stop when the process that has started this one has ended."""
        await self.parent.closed.wait()
        if not self._listens.is_set():
            os._exit(1)
        self.handle_exit(signal.SIGTERM, None)

    async def _prepare(self, arm: str, file: str, state: State | None) -> None:
        await self.service.arms[arm][0].prepare(Path(file), state)

    async def _take(self, arm: str) -> None:
        self.service.arms[arm][0].take()
        self.service.metrics.refresh()
        if self.service.loaded:
            self.service.log_choices()

    async def _forget(self, arm: str) -> None:
        self.service.arms[arm][0].forget()

    async def _state(self, arm: str) -> State:
        return State.of(self.service.arms[arm][0].current())

    async def _change(self, what: str, *given: object) -> object:
        return await self.service.change(what, *given)

    async def _listen(self) -> None:
        self._listens.set()

    def _hung_up(self) -> None:
        """The other process is told as well, and loads what is new for all."""
