"""The service behind the endpoints: the model, its queue, the kept sessions and the metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import HTTPException
from fastapi.concurrency import run_in_threadpool

from pyg_srgnn.inference.answer import Answer, Explanation
from pyg_srgnn.inference.clicks import Clicks, UnknownType, check_types
from pyg_srgnn.inference.rules import RuleError
from pyg_srgnn.serving.batching import Batcher, QueueFull, RawSession
from pyg_srgnn.serving.channel import Channel
from pyg_srgnn.serving.experiment import CHALLENGER, CHAMPION, AnswerLog, model_of
from pyg_srgnn.serving.models import Models
from pyg_srgnn.serving.parent_memory import ParentMemory
from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.session_store import Store, open_store
from pyg_srgnn.serving.settings import Settings

log = logging.getLogger(__name__)

_WAITING = 32  # explanations, or additions, that wait for the one being made, at most


def unavailable(detail: str) -> HTTPException:
    """The error 503, which asks the client to try again after a second."""
    return HTTPException(503, detail, {"Retry-After": "1"})


@contextmanager
def _refusing() -> Iterator[None]:
    """Answer what is wrong with a request, or that there is no room for it, with a status."""
    try:
        yield
    except QueueFull:
        raise unavailable("too many requests wait") from None
    except (RuleError, UnknownType) as error:
        raise HTTPException(422, str(error)) from error


class Service:
    """A model that answers requests.

    Args:
        settings: Where the model is, and the limits.
        parent: The process that started this one and its siblings; what is changed in one of them
            it changes in all. (default: none, this one is alone)

    Raises:
        ValueError: If the store of sessions cannot be what the settings say.
    """

    def __init__(self, settings: Settings, parent: Channel | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics(shared=parent is not None)
        self.models, self.batcher = self._arm(settings)
        self.arms = {CHAMPION: (self.models, self.batcher)}
        if settings.challenger is not None:
            other = replace(settings, checkpoint=settings.challenger)
            self.arms[CHALLENGER] = self._arm(other)
        self.answers = None if settings.answers is None else AnswerLog(settings.answers)
        self.store: Store | None
        if parent is not None and settings.sessions == "memory":
            self.store = ParentMemory(parent)
        else:
            self.store = open_store(settings, self.metrics)
        self._everywhere = self.change if parent is None else partial(parent.call, "change")
        self.stopping = False
        self.explanations = 0  # running or waiting
        self.additions = 0  # running or waiting
        self._explaining, self._adding = asyncio.Semaphore(), asyncio.Semaphore()
        self.metrics.watch(
            {name: models.searched for name, (models, _) in self.arms.items()},
            lambda: sum(batcher.queued for _, batcher in self.arms.values()),
            lambda: self.ready,
            lambda: self.models.served.added if self.models.served is not None else 0,
        )

    @property
    def loaded(self) -> bool:
        """Whether every model answers."""
        return all(models.served is not None for models, _ in self.arms.values())

    @property
    def ready(self) -> bool:
        """Whether new requests should come here."""
        return self.loaded and not self.stopping

    def _arm(self, settings: Settings) -> tuple[Models, Batcher]:
        """A model, and the queue of its requests."""
        models = Models(settings, self.metrics)
        wait = settings.batch_wait_ms / 1000
        size, most = settings.batch_size, settings.max_queue
        return models, Batcher(lambda: models.current().recommender, self.metrics, size, wait, most)

    def model_of(self, session: str | None) -> str:
        """The name of the model that answers a session, by its key."""
        if len(self.arms) == 1:
            return CHAMPION
        return model_of(session, self.settings.share, str(self.settings.challenger))

    def types_of(self, key: str | None) -> Mapping[str, int]:
        """The types of clicks that the model of a session knows."""
        models, _ = self.arms[self.model_of(key)]
        return models.current().recommender.types

    def marked(
        self,
        key: str | None,
        items: list[int | str],
        types: list[str | None] | None,
        times: list[float | None] | None = None,
        earlier: list[int | str] | None = None,
    ) -> list[int | str] | Clicks:
        """A session with types and times of its clicks, and earlier ones, where a request has any.

        Raises:
            HTTPException: 422, if there are not as many as clicks, or a type is unknown.
        """
        if types is None and times is None and not earlier:
            return items
        try:
            clicks = Clicks(items, types, times, earlier or ())
            check_types(clicks, self.types_of(key))
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return clicks

    async def recommend(
        self,
        sessions: Sequence[RawSession],
        asked: Any,
        key: str | None = None,
        admitted: bool = False,
    ) -> list[Answer]:
        """Answer sessions, count the answers, and log them if the settings ask for it.

        Args:
            sessions: The sessions.
            asked: The request, with k and its rules.
            key: The key of the session, by which its model is chosen. (default: None)
            admitted: Whether :meth:`admit` has let it in. (default: False)

        Raises:
            HTTPException: 503, if too many sessions wait already; 422, if a rule is not allowed or
                does not fit the items' attributes, or the model knows no clicks of a type.
        """
        name = self.model_of(key)
        models, batcher = self.arms[name]
        with _refusing():
            rules = models.current().rules.asked(asked)
            answers = await batcher.recommend(sessions, asked.k, rules, admitted)
        self.metrics.unknown.inc(sum(len(answer.unknown) for answer in answers))
        self.metrics.popular.inc(sum(answer.popular for answer in answers))
        self.metrics.answers.labels(name).inc(len(answers))
        if self.answers is not None:
            for session, answer in zip(sessions, answers, strict=True):
                self.answers.write(key, name, session, answer)
        return answers

    async def admit(self, asked: Any, key: str) -> None:
        """Refuse a session that :meth:`recommend` would refuse, before anything of it is kept.

        Args:
            asked: See there.
            key: See there.

        Raises:
            HTTPException: See there.
        """
        models, batcher = self.arms[self.model_of(key)]
        with _refusing():
            batcher.need_room(1)
            served = models.current()
            rules = served.rules.asked(asked)
            if rules and rules[-1] not in served.rules.named.values():  # others were tried before
                await run_in_threadpool(served.recommender.answer, [], rules=rules)

    async def load(self) -> None:
        """Load every model."""
        for models, _ in self.arms.values():
            await models.load()
        self.log_choices()

    async def reload(self) -> None:
        """Load every model again, as far as that is possible."""
        for models, _ in self.arms.values():
            await models.reload()
        self.log_choices()

    def log_choices(self) -> None:
        """Log how the items of every model are searched."""
        for name, (models, _) in self.arms.items():
            for of, choice in models.current().recommender.choices.items():
                extra = {"event": "precision", "model": name}
                log.info("%s are searched in %s", of, choice, extra=extra)

    async def watch(self, seconds: float) -> None:
        """Check the files of every model every so many seconds, for ever."""
        await asyncio.gather(*(models.watch(seconds) for models, _ in self.arms.values()))

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
        if len(self.arms) > 1:
            raise ValueError("ids: items are added to a single model, and challenger=… is another")
        if self.additions > _WAITING:
            raise unavailable("too many additions wait")
        self.additions += 1
        try:
            async with self._adding:
                return int(await self._everywhere("items", ids, texts, vectors))
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
                await self._everywhere("attributes", ids, columns)
        finally:
            self.additions -= 1
        vocabulary = self.models.current().recommender.vocabulary
        return sum(raw not in vocabulary for raw in vocabulary.like(ids))

    async def change(self, what: str, *given: Any) -> Any:
        """Make a change to the models of this process.

        Args:
            what: ``"items"`` that are added, or their ``"attributes"``.
            *given: See :meth:`~pyg_srgnn.serving.models.Models.add` and
                :meth:`~pyg_srgnn.serving.models.Models.update_attributes`.

        Raises:
            ValueError: See there.
        """
        if what == "items":
            return await self.models.add(*given)
        for models, _ in self.arms.values():
            await models.update_attributes(*given)

    async def explain(
        self,
        session: RawSession,
        item: int | str | None,
        others: Sequence[int | str],
        gone: Callable[[], Awaitable[bool]],
        key: str | None = None,
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
                recommender = self.arms[self.model_of(key)][0].current().recommender
                return await run_in_threadpool(recommender.explain, session, item, others)
        finally:
            self.explanations -= 1

    async def close(self) -> None:
        """Wait for the batch that is being scored, and close the store of sessions."""
        for _, batcher in self.arms.values():
            batcher.close()
        if self.answers is not None:
            self.answers.close()
        if self.store is not None:
            await self.store.close()
