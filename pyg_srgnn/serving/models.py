"""Loads the model that is served, and reloads it when its files change."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi.concurrency import run_in_threadpool

from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.runs.find import find_run
from pyg_srgnn.serving.item_names import NAMES, load_names
from pyg_srgnn.serving.item_search import ItemSearch
from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.rules import NamedRules
from pyg_srgnn.serving.settings import Settings
from pyg_srgnn.serving.trial import answer_once, try_out

log = logging.getLogger(__name__)

LOADING = "loading a model"  # name of the thread


class Served:
    """A recommender, and how its items are named and found.

    Args:
        recommender: The recommender.
        names: Names of items; those of items that are added follow.
        rules: Rules of every request, and those that one may name. (default: none)
        read: The state of the file that the items' attributes were read from. (default: none was)
    """

    def __init__(
        self,
        recommender: Recommender,
        names: dict[int | str, str],
        rules: NamedRules | None = None,
        read: tuple[object, ...] = (),
    ) -> None:
        self.recommender = recommender
        self.names = names
        self.rules = rules or NamedRules()
        self.read = read
        self.added = 0  # items
        self._building = threading.Lock()
        self._adding = threading.Lock()

    def add(
        self,
        ids: Sequence[int | str],
        texts: Sequence[str] | None,
        vectors: Sequence[Sequence[float]] | None,
    ) -> None:
        """Add items; a text is the name of an item that has no other.

        Args:
            ids: Their raw ids.
            texts: A text of each, or None.
            vectors: A vector of each, or None.

        Raises:
            ValueError: See :meth:`pyg_srgnn.Recommender.add_items`.
        """
        given = vectors if texts is None else texts
        assert given is not None, "either texts or vectors are given"
        with self._adding:
            known = len(self.recommender.vocabulary)
            self.recommender.add_items(ids, given)
            with self._building:
                for raw, text in zip(ids, texts or (), strict=False):
                    self.names.setdefault(raw, " ".join(text.split()))
                search = self.__dict__.pop("_search", None)
                # One that was made meanwhile has the new items, but not their names.
                if search is not None and len(search.vocabulary) == known:
                    self._search = search.with_items(self.recommender.vocabulary, self.names)
            self.added += len(ids)

    def find(self, query: str, limit: int) -> list[int | str]:
        """Find items; see :class:`~pyg_srgnn.serving.item_search.ItemSearch`."""
        with self._building:
            search = self._search
        return search(query, limit)

    @cached_property
    def _search(self) -> ItemSearch:
        return ItemSearch(self.recommender.vocabulary, self.recommender.popularity, self.names)


class Models:
    """Loads the model, and loads it again when its files have changed.

    The old model serves until the new one has answered once; requests that are being scored finish
    with the model that they began with.

    Args:
        settings: Where the model and the names are, and how long a reload may take.
        metrics: Where reloads are counted.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.path = settings.checkpoint
        self.metrics = metrics
        self.served: Served | None = None
        self._loading = asyncio.Lock()
        self._seen: tuple[object, ...] = ()
        self._missed: list[tuple[Sequence[int | str], Mapping[str, Sequence[Any]]]] = []

    def current(self) -> Served:
        """The model that serves now."""
        assert self.served is not None, "asked before a model was loaded"
        return self.served

    def searched(self, precision: str) -> int:
        """How many catalogues of the model are searched in a precision."""
        choices = {} if self.served is None else self.served.recommender.choices
        return sum(choice.precision == precision for choice in choices.values())

    async def add(
        self,
        ids: Sequence[int | str],
        texts: Sequence[str] | None,
        vectors: Sequence[Sequence[float]] | None,
    ) -> int:
        """Add items to the model that serves when this ends; how many were added to it so far.

        Args:
            ids: See :meth:`Served.add`.
            texts: See there.
            vectors: See there.

        Raises:
            ValueError: See there; or if it would have more than it may.
        """
        while True:
            served = self.current()
            most = self.settings.max_added - served.added
            if len(ids) > most:
                raise ValueError(
                    f"ids: {most:,} more items may be added before the next model is loaded, "
                    f"max_added={self.settings.max_added} (got {len(ids):,})"
                )
            await run_in_threadpool(served.add, ids, texts, vectors)
            if served is self.served:  # else another one was loaded meanwhile
                log.info(
                    "%s items added", f"{len(ids):,}", extra={"event": "added", "items": len(ids)}
                )
                return served.added

    async def update_attributes(
        self, ids: Sequence[int | str], columns: Mapping[str, Sequence[Any]]
    ) -> None:
        """Replace attributes of items, of the model that serves and of one that is being loaded.

        Args:
            ids: See :meth:`pyg_srgnn.Recommender.update_attributes`.
            columns: See there.

        Raises:
            ValueError: See there.
        """
        served = self.current()
        if self._loading.locked():
            self._missed.append((ids, columns))
        await run_in_threadpool(served.recommender.update_attributes, ids, columns)
        extra = {"event": "attributes", "items": len(ids)}
        log.info("attributes of %s items replaced", f"{len(ids):,}", extra=extra)

    async def load(self) -> None:
        """Load the model, let it answer once, and serve it.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If a file is damaged or of another kind.
        """
        async with self._loading:
            self._seen, self._missed = self._state(), []
            await self._take()

    async def reload(self) -> None:
        """Try the model out, then load it; if that fails, the old one stays."""
        try:
            async with self._loading:
                self._seen, self._missed = self._state(), []
                await try_out(self.path, self.settings)
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

    def _state(self) -> tuple[object, ...]:
        """A state that changes with the files of the model, attributes and rules; empty if none."""
        others = [file for file in (self.settings.attributes, self.settings.rules) if file]
        model = _state(self.path)
        return (*model, *_states(others)) if model else ()

    async def _take(self) -> None:
        served = await _aside(self._load)
        while self._missed:  # what was put while it was loaded
            with suppress(ValueError):  # which the one who put it was told
                update = served.recommender.update_attributes
                await run_in_threadpool(update, *self._missed.pop(0))
        self.served = served
        # A garbage collection that visits the model would stop everything for 0.1 s; the previous
        # model, frozen until now, is garbage.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _load(self) -> Served:
        recommender = Recommender.load(self.path, self.settings.precision)
        file: str | Path | None = self.settings.names
        if file is None and (beside := find_run(self.path) / NAMES).is_file():
            file = beside
        names = {} if file is None else load_names(file, recommender.vocabulary)
        read = self._set_attributes(recommender)
        answer_once(recommender, self.path, self.settings.batch_size)
        rules = NamedRules()
        if self.settings.rules is not None:
            rules = NamedRules.load(self.settings.rules)
            rules.check(recommender, self.settings.rules)
        return Served(recommender, names, rules, read)

    def _set_attributes(self, recommender: Recommender) -> tuple[object, ...]:
        """Those of the file if it is new, else those that the served model has by now.

        Returns:
            The state of the file.
        """
        file, served = self.settings.attributes, self.served
        state = () if file is None else _states([file])
        if file is not None and (served is None or state != served.read):
            recommender.set_attributes(file)
        elif served is not None and served.recommender.attributes is not None:
            with suppress(ValueError):  # the new model has none of these items
                recommender.set_attributes(served.recommender.attributes)
        return state


async def _aside(work: Callable[[], Served]) -> Served:
    """Run in a daemon thread, for which the end of the process does not wait."""
    done: Future[Served] = Future()

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
    """A state that changes with the files of an artifact; empty if there are none."""
    try:
        folder = find_run(path)
    except (OSError, ValueError):
        return ()
    files = [folder]
    if folder.is_dir():
        files = [folder / "manifest.json", folder / "metrics.json"]
        files += sorted((folder / "checkpoints").glob("*.ckpt"))
    return _states(files)


def _states(files: Iterable[str | Path]) -> tuple[object, ...]:
    """The states of those files that are there."""
    found: list[object] = []
    for file in files:
        try:
            stat = os.stat(file)
        except OSError:
            continue
        found += [str(file), stat.st_ino, stat.st_mtime_ns, stat.st_size]
    return tuple(found)
