"""The model that is served, in this process."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from fastapi.concurrency import run_in_threadpool

from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.inference.shared import map_shared
from pyg_srgnn.runs.find import find_run
from pyg_srgnn.serving.item_names import NAMES, load_names
from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.reloading import Reloading, states_of
from pyg_srgnn.serving.rules import NamedRules
from pyg_srgnn.serving.served import Served, State
from pyg_srgnn.serving.settings import Settings
from pyg_srgnn.serving.trial import answer_once, try_out

log = logging.getLogger(__name__)

LOADING = "loading a model"  # name of the thread


class Models(Reloading):
    """The model of this process; requests in progress finish with the one that they began with.

    Args:
        settings: Where the model and the names are, and how long a reload may take.
        metrics: Where reloads are counted.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__(settings, metrics)
        self.served: Served | None = None
        self._prepared: Served | None = None
        self._preparing: object = None  # which of several calls prepares
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

    async def _prepare(self, first: bool) -> None:
        self._missed = []
        if not first:
            await try_out(self.path, self.settings)

    async def _take(self) -> None:
        load = partial(Recommender.load, self.path, self.settings.precision)
        served = await _aside(partial(self._load, load))
        while self._missed:  # what was put while it was loaded
            with suppress(ValueError):  # which the one who put it was told
                update = served.recommender.update_attributes
                await run_in_threadpool(update, *self._missed.pop(0))
        self._serve(served)

    async def prepare(self, file: Path, state: State | None) -> None:
        """Open a model that another process has laid out, to serve it once it is to be taken.

        Args:
            file: What :func:`~pyg_srgnn.inference.shared.write_shared` wrote.
            state: What another worker has beside the model, or None to read it from the files.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If a file does not fit the model.
        """

        def load() -> Recommender:
            return Recommender.of(map_shared(file))

        def load_as_other() -> Served:
            assert state is not None, "there is another to take over from"
            return state.applied(load())

        self._preparing = wanted = object()
        prepared = await _aside(partial(self._load, load) if state is None else load_as_other)
        if self._preparing is wanted:  # else it was forgotten meanwhile
            self._prepared = prepared

    def take(self) -> None:
        """Serve what was prepared."""
        assert self._prepared is not None, "nothing was prepared"
        self._serve(self._prepared)
        self.forget()

    def forget(self) -> None:
        """Let go of what was prepared, or is being prepared."""
        self._prepared = self._preparing = None

    def _serve(self, served: Served) -> None:
        self.served = served
        # A garbage collection that visits the model would stop everything for 0.1 s; the previous
        # model, frozen until now, is garbage.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _load(self, load: Callable[[], Recommender]) -> Served:
        recommender = load()
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
        state = () if file is None else states_of([file])
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
