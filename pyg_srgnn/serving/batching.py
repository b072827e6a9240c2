"""Scores the sessions of concurrent requests in batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyg_srgnn.inference.answer import Answer
from pyg_srgnn.inference.answering import Asked
from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.serving.prometheus import Metrics

RawSession = Sequence[int | str]

_CHOSEN = 2_000  # items of lists that are chosen one after another, before others get a turn


class QueueFull(Exception):
    """The queue has no room for these sessions."""


@dataclass(slots=True)
class _Waiting:
    """Sessions of one request."""

    sessions: Sequence[RawSession]
    asked: Asked
    answers: asyncio.Future[list[Answer]]


class Batcher:
    """Scores the sessions of many requests at once, in one thread.

    Requests that arrive while a batch is scored make the next batch, whatever their rules: its size
    follows the load, and a single request never waits for others.

    Args:
        current: Returns the recommender; called for every batch.
        metrics: Counts the batches.
        size: Largest number of sessions in a batch.
        wait: Seconds that the first request of a batch waits for others.
        max_queue: Largest number of sessions that wait.
    """

    def __init__(
        self,
        current: Callable[[], Recommender],
        metrics: Metrics,
        size: int,
        wait: float,
        max_queue: int,
    ) -> None:
        self.current = current
        self.metrics = metrics
        self.size = size
        self.wait = wait
        self.max_queue = max_queue
        self.queued = 0  # sessions
        self._queue: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._running: asyncio.Task[None] | None = None

    async def recommend(
        self,
        sessions: Sequence[RawSession],
        k: int,
        rules: tuple[Rules, ...] = (),
        admitted: bool = False,
    ) -> list[Answer]:
        """The k best items of every session, by rules that hold together.

        Args:
            sessions: The sessions.
            k: Number of items.
            rules: The rules. (default: none)
            admitted: Whether there was room for them a moment ago, so that they are not refused.
                (default: False)

        Raises:
            QueueFull: If too many sessions wait already.
        """
        answers: list[Answer] = []
        size = self.size
        if any(one.chooses for one in rules):
            size = max(1, min(size, _CHOSEN // k))
        for start in range(0, len(sessions), size):  # others get a turn between the parts
            answers += await self._put(sessions[start : start + size], k, rules, admitted)
        return answers

    def need_room(self, sessions: int) -> None:
        """Refuse sessions that the queue has no room for.

        Raises:
            QueueFull: If too many sessions wait already.
        """
        if self.queued + sessions > max(self.max_queue, sessions):
            raise QueueFull

    def close(self) -> None:
        """Wait until the current batch is scored."""
        self._thread.shutdown()

    def _put(
        self, sessions: Sequence[RawSession], k: int, rules: tuple[Rules, ...], admitted: bool
    ) -> asyncio.Future[list[Answer]]:
        if not admitted:
            self.need_room(len(sessions))
        loop = asyncio.get_running_loop()
        waiting = _Waiting(sessions, Asked(sessions, k, rules), loop.create_future())
        self._queue.append(waiting)
        self.queued += len(sessions)
        if self._running is None:
            self._running = loop.create_task(self._run())
        return waiting.answers

    async def _run(self) -> None:
        """Score batches until the queue is empty."""
        try:
            if self.wait:
                await asyncio.sleep(self.wait)
            while self._queue:
                await self._score(self._next())
        finally:
            self._running = None

    async def _score(self, batch: list[_Waiting]) -> None:
        """Answer a batch; if it fails, answer its halves."""
        loop = asyncio.get_running_loop()
        try:
            self.metrics.batch_size.observe(sum(len(waiting.sessions) for waiting in batch))
            answer = self.current().answer_together
            asked = [waiting.asked for waiting in batch]
            answers = await loop.run_in_executor(self._thread, answer, asked)
        except Exception as error:
            if len(batch) == 1:
                if not batch[0].answers.done():
                    batch[0].answers.set_exception(error)
                return
            half = len(batch) // 2
            await self._score(batch[:half])
            await self._score(batch[half:])
        else:
            for waiting, own in zip(batch, answers, strict=True):
                if not waiting.answers.done():  # cancelled, where the client has gone
                    waiting.answers.set_result(own)

    def _next(self) -> list[_Waiting]:
        """The oldest request, and the later ones that fit into its batch, in order."""
        batch: list[_Waiting] = []
        left: deque[_Waiting] = deque()
        room = self.size
        while self._queue and room > 0:
            waiting = self._queue.popleft()
            if len(waiting.sessions) <= room:
                batch.append(waiting)
                room -= len(waiting.sessions)
            else:
                left.append(waiting)
        self._queue.extendleft(reversed(left))
        self.queued -= self.size - room
        return batch
