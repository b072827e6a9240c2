"""Loads a model, and loads it again when its files have changed."""

from __future__ import annotations

import asyncio
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from pyg_srgnn.runs.find import find_run
from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.settings import Settings

log = logging.getLogger(__name__)


class Reloading(ABC):
    """What serves a model; the old one is served until the new one has answered once.

    Args:
        settings: Where the model is, and how long a reload may take.
        metrics: Where reloads are counted.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.path = settings.checkpoint
        self.metrics = metrics
        self._loading = asyncio.Lock()
        self._seen: tuple[object, ...] = ()

    async def load(self) -> None:
        """Load the model, let it answer once, and serve it.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If a file is damaged or of another kind.
        """
        async with self._loading:
            self._seen = self._state()
            await self._prepare(first=True)
            await self._take()

    async def reload(self) -> None:
        """Try the model out, then load it; if that fails, the old one stays."""
        try:
            async with self._loading:
                self._seen = self._state()
                await self._prepare(first=False)
                if self._state() != self._seen:
                    raise ValueError(f"{self.path} has changed while it was tried out")
                await self._take()
        except Exception as error:
            self.metrics.reloads.labels("failed").inc()
            mendable = isinstance(error, OSError | ValueError)
            log.error(
                "the new artifact cannot be served, the old one still is: %s",
                error,
                exc_info=None if mendable else error,
                extra={"event": "reload_failed"},
            )
        else:
            self.metrics.reloads.labels("ok").inc()
            log.info("a new artifact is being served", extra={"event": "reloaded"})

    async def watch(self, seconds: float) -> None:
        """Check the files every so many seconds, for ever, and reload when they have changed."""
        while True:
            await asyncio.sleep(seconds)
            state = self._state()
            if state and state != self._seen:
                await self.reload()

    @abstractmethod
    async def _prepare(self, first: bool) -> None:
        """What comes before a model is taken; ``first`` if none is served yet."""

    @abstractmethod
    async def _take(self) -> None:
        """Load the model, and serve it."""

    def _state(self) -> tuple[object, ...]:
        """A state that changes with the files of the model, attributes and rules; empty if none."""
        others = [file for file in (self.settings.attributes, self.settings.rules) if file]
        model = _state(self.path)
        return (*model, *states_of(others)) if model else ()


def states_of(files: Iterable[str | Path]) -> tuple[object, ...]:
    """The states of those files that are there."""
    found: list[object] = []
    for file in files:
        try:
            stat = os.stat(file)
        except OSError:
            continue
        found += [str(file), stat.st_ino, stat.st_mtime_ns, stat.st_size]
    return tuple(found)


def _state(path: str) -> tuple[object, ...]:
    """A state that changes with the files of an artifact; empty if there are none."""
    try:
        folder = find_run(path)
    except (OSError, ValueError):
        return ()
    files = [folder]
    if folder.is_dir():
        files = [folder / "manifest.json", folder / "metrics.json"]
        files += sorted((folder / "checkpoints").glob("*.ckpt"))
    return states_of(files)
