"""Several processes that answer behind one port, and the one that starts and keeps them.

A model is opened by a process that only lays it out in a file, which all workers map: its tables
are in memory once. What comes to one worker and concerns all (items, attributes, clicks of kept
sessions) goes to this process, which asks the others, one change after another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from pyg_srgnn.serving.experiment import CHALLENGER, CHAMPION
from pyg_srgnn.serving.logs import log_json
from pyg_srgnn.serving.prometheus import Metrics
from pyg_srgnn.serving.session_store import Store, open_store
from pyg_srgnn.serving.settings import Settings
from pyg_srgnn.serving.shared_model import SharedModel
from pyg_srgnn.serving.sockets import listen_together, url_of
from pyg_srgnn.serving.worker_process import WorkerProcess

log = logging.getLogger(__name__)

_TRIES = 5  # of a worker that does not come up again, one after another
_STEADY = 60.0  # seconds after which a worker that ends has been a good one
_LONGEST = 10.0  # seconds before a worker is started again
_GRACE = 5.0  # seconds beyond what a worker may take to stop


class Workers:
    """The workers of a service.

    Args:
        settings: The settings of the service.
        folder: For files that they share; nobody else may write to it.

    Raises:
        OSError: If the port is taken.
        ValueError: If the store of sessions cannot be what the settings say.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.metrics = Metrics(shared=True)
        self.store = open_store(settings, self.metrics) if settings.sessions == "memory" else None
        arms = {CHAMPION: settings}
        if settings.challenger is not None:
            arms[CHALLENGER] = replace(settings, checkpoint=settings.challenger)
        self.models = [
            SharedModel(own, self.metrics, arm, self._spread, folder) for arm, own in arms.items()
        ]
        functions = {"change": self._change} | ({} if self.store is None else _kept(self.store))
        sockets = listen_together(settings.host, settings.port, settings.workers)
        self.url = url_of(sockets[0])
        self.workers = [
            WorkerProcess(number, settings, listening, functions)
            for number, listening in enumerate(sockets, 1)
        ]
        self.failure: Exception | None = None
        self._proven = False  # that a worker could serve
        self._stopped = asyncio.Event()  # or about to be
        self._changing = asyncio.Lock()  # one change at a time, so that all make them in one order
        self._loading: asyncio.Task[None] | None = None
        self._reloading: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If a model cannot be loaded, or a worker does not start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        self._loading = asyncio.create_task(self._load())
        await asyncio.gather(*map(self._keep, self.workers))
        for task in (self._loading, *self._reloading):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self.failure is not None:
            raise self.failure

    async def _spread(self, model: SharedModel, file: Path) -> None:
        """Let all workers serve a model that is laid out in a file, or none.

        Raises:
            ConnectionError: If all of them have ended while they opened it.
            OSError: If a file cannot be read.
            TimeoutError: If a worker does not open it in time.
            ValueError: If a file does not fit the model.
        """
        async with self._changing:
            arm, asked = model.arm, self._serving()
            seconds = None if model.file is None else self.settings.reload_timeout
            given = arm, str(file), None
            answers = await asyncio.gather(
                *(worker.ask("prepare", *given, seconds=seconds) for worker in asked),
                return_exceptions=True,
            )
            errors = [answer for answer in answers if isinstance(answer, BaseException)]
            # A worker that has ended is started again, with the model that is served then.
            told = [error for error in errors if not isinstance(error, ConnectionError)]
            if told or len(errors) == len(asked) > 0:
                await self._all(asked, "forget", arm)
                raise (told or errors)[0]
            model.file = file
            self._proven = self._proven or bool(asked)
            await self._all(asked, "take", arm)

    async def _all(self, workers: Sequence[WorkerProcess], *asked: Any) -> None:
        """Call a function of those workers that have not ended; kill one that does not answer."""
        there = [worker for worker in workers if worker.serves]
        calls = [worker.ask(*asked, seconds=self.settings.reload_timeout) for worker in there]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for worker, answer in zip(there, answers, strict=True):
            if isinstance(answer, TimeoutError):
                worker.kill()

    async def _load(self) -> None:
        """Load the models, and watch their files if the settings ask for it."""
        try:
            for model in self.models:
                await model.load()
        except Exception as error:
            self._fail(error)
            return
        log.info("ready", extra={"event": "ready"})
        if seconds := self.settings.reload_seconds:
            await asyncio.gather(*(model.watch(seconds) for model in self.models))

    async def _keep(self, worker: WorkerProcess) -> None:
        """Start a worker, and start it again when it has ended."""
        failures = 0
        while not self._stopped.is_set():
            try:
                await worker.start()
            except OSError as error:
                self._fail(error)
                return
            log.info("a worker starts", extra={"event": "worker_started", **worker.facts})
            started, why = monotonic(), ""
            try:
                await self._bring_in(worker)
            except Exception as error:
                why = f": {error}"
                log.error("a worker cannot serve: %s", error, extra={"event": "worker_failed"})
                worker.kill()
                if not (self._proven or isinstance(error, ConnectionError | TimeoutError)):
                    self._fail(error)  # nor will it, or another one
            if self._stopped.is_set():  # before it could be told
                worker.kill()
            status = await worker.ended()
            mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
            if self._stopped.is_set():
                return
            facts = {"event": "worker_ended", "status": status, **worker.facts}
            log.error("a worker has ended", extra=facts)
            self.metrics.deaths.inc()
            failures = 0 if monotonic() - started >= _STEADY else failures + 1
            if not all(model.file for model in self.models) or failures >= _TRIES:
                told = "before a model was served" if failures < _TRIES else f"{failures} times"
                told = f"a worker has ended {told}, the last one with {status}{why}"
                self._fail(ValueError(told))
                return
            if self._serving():
                worker.close()
            if failures > 1:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), min(2.0**failures, _LONGEST))

    async def _bring_in(self, worker: WorkerProcess) -> None:
        """Give a new worker what the others have, and let it listen."""
        async with self._changing:
            for model in self.models:
                if model.file is not None:
                    state = await self._state(model)
                    given = model.arm, str(model.file), state
                    await worker.ask("prepare", *given, seconds=self.settings.reload_timeout)
                    await worker.ask("take", model.arm)
                    self._proven = True
            await worker.ask("listen")
            worker.serves = True

    async def _state(self, model: SharedModel) -> Any:
        """What a worker that serves has beside the model, or None if there is none."""
        for other in self._serving():
            with suppress(ConnectionError):
                return await other.ask("state", model.arm)
        return None

    async def _change(self, *given: Any) -> Any:
        """Make a change in all workers, or in none.

        The first one decides whether it can be made; one that then cannot is started again, with
        what the others have.
        """
        async with self._changing:
            while serving := self._serving():
                first, *others = serving
                try:
                    result = await first.ask("change", *given)
                except ConnectionError:
                    continue
                answers = await asyncio.gather(
                    *(other.ask("change", *given) for other in others), return_exceptions=True
                )
                for other, answer in zip(others, answers, strict=True):
                    if isinstance(answer, BaseException):
                        log.error(
                            "a worker could not follow: %s", answer, extra={"event": "worker_lags"}
                        )
                        other.kill()
                return result
            raise ConnectionError("there is no worker")

    def _serving(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.serves]

    def _hung_up(self) -> None:
        if self._loading is not None and all(model.file for model in self.models):
            task = asyncio.create_task(self._reload())
            self._reloading.add(task)
            task.add_done_callback(self._reloading.discard)

    async def _reload(self) -> None:
        for model in self.models:
            await model.reload()

    def _leave(self) -> None:
        """Stop listening as the workers do, else a client that comes then would wait for nobody."""
        for worker in self._serving():  # the socket of one that starts is being passed to it
            worker.close()

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self._stop(signal.SIGINT)

    def _stop(self, number: int) -> None:
        """Pass a signal on; a worker that does not stop in time is killed."""
        settings, later = self.settings, asyncio.get_running_loop().call_later
        for worker in self.workers:
            worker.signal(number)
        if not self._stopped.is_set():
            self._stopped.set()
            drained = 0 if number == signal.SIGINT else settings.drain_seconds
            later(drained, self._leave)
            for worker in self.workers:
                later(drained + settings.stop_seconds + _GRACE, worker.kill)
        if self._loading is not None:
            self._loading.cancel()


def serve(settings: Settings, folder: Path) -> None:
    """Serve with several processes until SIGTERM or SIGINT; logs are lines of JSON on stderr.

    Args:
        settings: The settings of the service.
        folder: Of the files of :data:`~pyg_srgnn.serving.prometheus.FOLDER`.

    Raises:
        OSError: If the port is taken, or a file cannot be read.
        ValueError: If the artifact does not hold a model.
    """
    asyncio.run(_serve(settings, folder))


async def _serve(settings: Settings, folder: Path) -> None:
    workers = Workers(settings, folder)
    log_json()
    cores = len(os.sched_getaffinity(0))
    if settings.workers > cores:
        told = "workers=%d are more than the %d cores of this process: they wait for each other"
        log.warning(told, settings.workers, cores, extra={"event": "few_cores"})
    log.info("listening", extra={"event": "listening", "url": workers.url})
    await workers.run()
    log.info("stopped", extra={"event": "stopped"})


def _kept(store: Store) -> dict[str, Any]:
    return {"append": store.append, "delete": store.delete}
