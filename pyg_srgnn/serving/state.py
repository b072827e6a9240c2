"""What the endpoints share: the model, who waits for it, sessions, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import HTTPException

from pyg_srgnn.inference.answer import Answer
from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.serving.batching import Batcher, QueueFull, RawSession
from pyg_srgnn.serving.models import Models, Names
from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.session_store import Store, open_store
from pyg_srgnn.serving.settings import Settings


class Service:
    """A model that answers requests.

    Args:
        settings: Where the model is, and the limits.
        changed: Is told of every model that begins to serve. (default: nobody)

    Raises:
        ValueError: If the store of sessions cannot be what the settings say.
    """

    def __init__(
        self,
        settings: Settings,
        changed: Callable[[Recommender, Names | None], None] = lambda *_: None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.models = Models(
            settings.checkpoint,
            settings.names,
            self.metrics,
            settings.batch_size,
            settings.reload_timeout,
            changed,
        )
        self.batcher = Batcher(
            self.models.current,
            self.metrics,
            settings.batch_size,
            settings.batch_wait_ms / 1000,
            settings.max_queue,
        )
        self.store: Store | None = None
        if settings.sessions is not None:
            self.store = open_store(
                settings.sessions,
                settings.session_ttl,
                settings.max_clicks,
                settings.max_kept,
                self.metrics,
                settings.redis_password,
            )
        self.stopping = False
        self.metrics.watch(lambda: self.batcher.queued, lambda: self.ready)

    @property
    def loaded(self) -> bool:
        """Whether a model answers."""
        return self.models.recommender is not None

    @property
    def ready(self) -> bool:
        """Whether new requests should come here."""
        return self.loaded and not self.stopping

    async def recommend(
        self, sessions: Sequence[RawSession], k: int, exclude_seen: bool
    ) -> list[Answer]:
        """Answers to sessions, counted.

        Raises:
            HTTPException: 503, if too many sessions wait already.
        """
        try:
            answers = await self.batcher.recommend(sessions, k, exclude_seen)
        except QueueFull:
            raise HTTPException(503, "too many requests wait", {"Retry-After": "1"}) from None
        self.metrics.unknown.inc(sum(len(answer.unknown) for answer in answers))
        self.metrics.popular.inc(sum(answer.popular for answer in answers))
        return answers

    async def close(self) -> None:
        """Wait for what is being scored, and let go of the sessions."""
        self.batcher.close()
        if self.store is not None:
            await self.store.close()
