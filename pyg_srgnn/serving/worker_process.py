"""A worker, as the process that has started it sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from multiprocessing import get_context
from typing import Any

from pyg_srgnn.serving.channel import Channel
from pyg_srgnn.serving.settings import Settings
from pyg_srgnn.serving.sockets import bind_too

# Workers are forked by a process that has imported most of what they need, and has no threads.
_FORKED = get_context("forkserver")
_FORKED.set_forkserver_preload(["pyg_srgnn.serving.worker", "uvloop"])


class WorkerProcess:
    """A worker, which may be started again.

    Args:
        number: Its number, from 1.
        settings: The settings of the service.
        listening: A socket of its own on the port.
        functions: What it may call.
    """

    def __init__(
        self,
        number: int,
        settings: Settings,
        listening: socket.socket,
        functions: Mapping[str, Callable[..., Awaitable[Any]]],
    ) -> None:
        self.number = number
        self.settings = settings
        self.functions = functions
        self.serves = False
        self._address = listening.getsockname()[:2]
        self._listening: socket.socket | None = listening
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process.pid is not None, "it was never started"
        return self._process.pid

    @property
    def facts(self) -> dict[str, int]:
        """For the log."""
        return {"worker": self.number, "pid": self.pid}

    async def start(self) -> None:
        """Start the process."""
        if self._listening is None:
            self._listening = bind_too(*self._address)
        ours, link = socket.socketpair()
        given = (self.settings, self.number, self._listening, link)
        self._process = _FORKED.Process(target=_work, args=given, daemon=True)
        await asyncio.to_thread(self._process.start)  # the first waits for what is imported
        link.close()
        self._ended.clear()
        self._channel = Channel(self.functions)
        await self._channel.open(ours)
        asyncio.get_running_loop().add_reader(self._process.sentinel, self._has_ended)

    async def ask(self, function: str, *given: Any, seconds: float | None = None) -> Any:
        """Call a function of the process.

        Raises:
            ConnectionError: If the process has ended.
            TimeoutError: If it has not answered within so many seconds.
        """
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._channel.call(function, *given)
        except ConnectionError:
            self.serves = False
            raise
        except TimeoutError as error:
            if not limit.expired():  # it is the function's own error
                raise
            raise TimeoutError(f"a worker has not answered within {seconds} seconds") from error

    async def ended(self) -> int | None:
        """Wait until the process has ended; its exit status."""
        await self._ended.wait()
        await self._channel.close()
        self._process.join()
        return self._process.exitcode

    def signal(self, number: int) -> None:
        """Send a signal; a process that does not serve yet is killed."""
        if not self._ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number if self.serves else signal.SIGKILL)

    def kill(self) -> None:
        """Kill the process, if it has not ended."""
        self.serves = False
        self.signal(signal.SIGKILL)

    def close(self) -> None:
        """Stop listening until it serves again, so that new connections go to others."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _has_ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self.serves = False
        self._ended.set()


def _work(settings: Settings, number: int, listening: socket.socket, link: socket.socket) -> None:
    """The whole life of the process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # The process that starts workers does without what they import.
    from pyg_srgnn.serving.logs import log_json
    from pyg_srgnn.serving.server import end
    from pyg_srgnn.serving.worker import Worker

    log_json(worker=number)
    Worker(settings, link).run(sockets=[listening])
    end()
