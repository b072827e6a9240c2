"""The service behind the endpoints: the model, its queue, the kept sessions and the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import HTTPException
from fastapi.concurrency import run_in_threadpool

from pyg_srgnn.inference.answer import Answer, Explanation
from pyg_srgnn.inference.rules import RuleError
from pyg_srgnn.serving.batching import Batcher, QueueFull, RawSession
from pyg_srgnn.serving.models import Models
from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.session_store import open_store
from pyg_srgnn.serving.settings import Settings

_WAITING = 32  # explanations, or additions, that wait for the one being made, at most


def unavailable(detail: str) -> HTTPException:
    """The error 503, which asks the client to try again after a second."""
    return HTTPException(503, detail, {"Retry-After": "1"})


class Service:
    """A model that answers requests.

    Args:
        settings: Where the model is, and the limits.

    Raises:
        ValueError: If the store of sessions cannot be what the settings say.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.models = Models(settings, self.metrics)
        self.batcher = Batcher(
            lambda: self.models.current().recommender,
            self.metrics,
            settings.batch_size,
            settings.batch_wait_ms / 1000,
            settings.max_queue,
        )
        self.store = open_store(settings, self.metrics)
        self.stopping = False
        self.explanations = 0  # running or waiting
        self.additions = 0  # running or waiting
        self._explaining, self._adding = asyncio.Semaphore(), asyncio.Semaphore()
        self.metrics.watch(
            lambda: self.batcher.queued,
            lambda: self.ready,
            lambda: self.models.served.added if self.models.served is not None else 0,
        )

    @property
    def loaded(self) -> bool:
        """Whether a model answers."""
        return self.models.served is not None

    @property
    def ready(self) -> bool:
        """Whether new requests should come here."""
        return self.loaded and not self.stopping

    async def recommend(self, sessions: Sequence[RawSession], asked: Any) -> list[Answer]:
        """Answer sessions, and count the answers.

        Args:
            sessions: The sessions.
            asked: The request, with k and its rules.

        Raises:
            HTTPException: 503, if too many sessions wait already; 422, if a rule is not allowed or
                does not fit the items' attributes.
        """
        try:
            rules = self.models.current().rules.asked(asked)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        try:
            answers = await self.batcher.recommend(sessions, asked.k, rules)
        except QueueFull:
            raise unavailable("too many requests wait") from None
        except RuleError as error:
            raise HTTPException(422, str(error)) from error
        self.metrics.unknown.inc(sum(len(answer.unknown) for answer in answers))
        self.metrics.popular.inc(sum(answer.popular for answer in answers))
        return answers

    async def add_items(
        self,
        ids: Sequence[int | str],
        texts: Sequence[str] | None,
        vectors: Sequence[Sequence[float]] | None,
    ) -> int:
        """Add items to the model; how many it got so far.

        Raises:
            HTTPException: 503, if too many additions wait already.
            ValueError: See :meth:`~pyg_srgnn.serving.models.Models.add`.
        """
        if self.additions > _WAITING:
            raise unavailable("too many additions wait")
        self.additions += 1
        try:
            async with self._adding:
                return await self.models.add(ids, texts, vectors)
        finally:
            self.additions -= 1

    async def update_attributes(
        self, ids: Sequence[int | str], columns: Mapping[str, Sequence[Any]]
    ) -> int:
        """Replace attributes of items; how many of the ids are not in the catalogue.

        Raises:
            HTTPException: 503, if too many additions and updates wait already.
            ValueError: See :meth:`pyg_srgnn.Recommender.update_attributes`.
        """
        if self.additions > _WAITING:
            raise unavailable("too many updates wait")
        self.additions += 1
        try:
            async with self._adding:
                await self.models.update_attributes(ids, columns)
        finally:
            self.additions -= 1
        vocabulary = self.models.current().recommender.vocabulary
        return sum(raw not in vocabulary for raw in vocabulary.like(ids))

    async def explain(
        self,
        session: RawSession,
        item: int | str | None,
        others: Sequence[int | str],
        gone: Callable[[], Awaitable[bool]],
    ) -> Explanation | None:
        """Explain an item; None if the client has gone before it was its turn.

        Raises:
            HTTPException: 503, if too many explanations wait already.
            ValueError: See :meth:`pyg_srgnn.Recommender.explain`.
        """
        if self.explanations > _WAITING:
            raise unavailable("too many explanations wait")
        self.explanations += 1
        try:
            async with self._explaining:  # one at a time: recommendations go first
                if await gone():
                    return None
                recommender = self.models.current().recommender
                return await run_in_threadpool(recommender.explain, session, item, others)
        finally:
            self.explanations -= 1

    async def close(self) -> None:
        """Wait for the batch that is being scored, and close the store of sessions."""
        self.batcher.close()
        if self.store is not None:
            await self.store.close()
