"""Calls between the processes of one service, over a socket that only they have."""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

_LENGTH = struct.Struct("<Q")


class Channel:
    """Calls functions of another process, and answers its calls.

    An exception of the function is raised where it was called.

    Args:
        functions: The functions that the other process may call, by name.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
        self.functions = functions
        self.closed = asyncio.Event()
        self._called: dict[int, asyncio.Future[Any]] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._count = 0
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, end: socket.socket) -> None:
        """Begin to answer; ``end`` is one end of a pair of sockets."""
        reader, self._writer = await asyncio.open_unix_connection(sock=end)
        self._reading = asyncio.create_task(self._read(reader))

    async def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the other process.

        Raises:
            ConnectionError: If the other process has ended, or does before it answers.
        """
        if self.closed.is_set():
            raise ConnectionError("the other process has ended")
        self._count += 1
        number, answer = self._count, asyncio.get_running_loop().create_future()
        self._called[number] = answer
        try:
            await self._send((number, name, arguments))
            return await answer
        finally:
            del self._called[number]

    async def close(self) -> None:
        """Close the channel; calls that wait end with an error."""
        assert self._writer is not None and self._reading is not None, "it was never opened"
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        await self._reading

    async def _send(self, message: tuple[Any, ...]) -> None:
        assert self._writer is not None, "it was never opened"
        data = pickle.dumps(message)
        self._writer.write(_LENGTH.pack(len(data)) + data)
        await self._writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                number, name, content = pickle.loads(await reader.readexactly(length))
                if name is not None:
                    task = asyncio.create_task(self._answer(number, name, content))
                    self._answers.add(task)  # else it could be garbage before it ends
                    task.add_done_callback(self._answers.discard)
                elif (answer := self._called.get(number)) is not None and not answer.done():
                    good, result = content
                    answer.set_result(result) if good else answer.set_exception(result)
        self.closed.set()
        for answer in self._called.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the other process has ended"))

    async def _answer(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        try:
            content = True, await self.functions[name](*arguments)
        except Exception as error:
            content = False, _portable(error)
        with suppress(ConnectionError):
            await self._send((number, None, content))


def _portable(error: Exception) -> Exception:
    """An exception that the other process can make again."""
    try:
        again = pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error if isinstance(again, Exception) else RuntimeError(str(error))
