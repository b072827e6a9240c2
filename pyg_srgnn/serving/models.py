"""The model that is being served, and the one that comes after it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future

from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.runs.find import find_run
from pyg_srgnn.serving.item_names import load_names
from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.trial import answer_once, try_out

log = logging.getLogger(__name__)

LOADING = "loading a model"  # name of the threads that do

Names = dict[int | str, str]
Loaded = tuple[Recommender, Names | None]


class Models:
    """Loads a recommender, and another one when the files have changed.

    Whoever asks :attr:`recommender` gets the old one until the new one has answered; requests
    that are being scored finish with the one that they began with.

    Args:
        path: A run directory, checkpoint file or exported folder.
        names: A file of item names. (default: none)
        metrics: Where reloads are counted.
        batch_size: Sessions that are scored at once, at most.
        patience: Seconds that a new model has to be loaded and to answer.
        changed: Is told of every model that begins to serve. (default: nobody)
    """

    def __init__(
        self,
        path: str,
        names: str | None,
        metrics: Metrics,
        batch_size: int,
        patience: float,
        changed: Callable[[Recommender, Names | None], None] = lambda *_: None,
    ) -> None:
        self.path = path
        self.names = names
        self.metrics = metrics
        self.batch_size = batch_size
        self.patience = patience
        self.changed = changed
        self.recommender: Recommender | None = None
        self._loading = asyncio.Lock()
        self._seen: tuple[object, ...] = ()

    def current(self) -> Recommender:
        """What serves now."""
        assert self.recommender is not None, "asked before a model was loaded"
        return self.recommender

    async def load(self) -> None:
        """Load the model and let it answer once; then it serves.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If one does not hold what it should.
        """
        async with self._loading:
            self._seen = _state(self.path)
            await self._take()

    async def reload(self) -> None:
        """Load the model anew once it has been tried out; if that fails, the old one stays."""
        try:
            async with self._loading:
                self._seen = _state(self.path)
                await try_out(self.path, self.batch_size, self.patience)
                if _state(self.path) != self._seen:
                    raise ValueError(f"{self.path} has changed while it was tried out")
                await self._take()
        except Exception as error:
            self.metrics.reloads.labels("failed").inc()
            mendable = isinstance(error, OSError | ValueError)
            log.error(
                "the new artifact cannot be served, the old one goes on: %s",
                error,
                exc_info=None if mendable else error,
                extra={"event": "reload_failed"},
            )
        else:
            self.metrics.reloads.labels("ok").inc()
            log.info("a new artifact is being served", extra={"event": "reloaded"})

    async def watch(self, seconds: float) -> None:
        """Reload whenever the files have changed; looks every so many seconds, without end."""
        while True:
            await asyncio.sleep(seconds)
            state = _state(self.path)
            if state and state != self._seen:
                await self.reload()

    async def _take(self) -> None:
        recommender, names = await _aside(self._load)
        self.recommender = recommender
        self.changed(recommender, names)
        # What stays is not searched for garbage again: that would stop everything for 0.1 s.
        # What stayed until now may be garbage, though.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _load(self) -> Loaded:
        recommender = Recommender.load(self.path)
        names = None if self.names is None else load_names(self.names, recommender.vocabulary)
        answer_once(recommender, self.path, self.batch_size)
        return recommender, names


async def _aside(work: Callable[[], Loaded]) -> Loaded:
    """Do some work in a thread that the end of the process does not wait for."""
    done: Future[Loaded] = Future()

    def run() -> None:
        done.set_running_or_notify_cancel()
        try:
            result = work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(result)

    threading.Thread(target=run, name=LOADING, daemon=True).start()
    return await asyncio.wrap_future(done)


def _state(path: str) -> tuple[object, ...]:
    """What changes with an artifact's files; empty where there are none."""
    try:
        folder = find_run(path)
    except (OSError, ValueError):
        return ()
    files = [folder]
    if folder.is_dir():
        files = [folder / "manifest.json", folder / "metrics.json"]
        files += sorted((folder / "checkpoints").glob("*.ckpt"))
    found: list[object] = []
    for file in files:
        try:
            stat = os.stat(file)
        except OSError:
            continue
        found += [str(file), stat.st_ino, stat.st_mtime_ns, stat.st_size]
    return tuple(found)
