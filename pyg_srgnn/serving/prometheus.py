"""The metrics of a service for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from pyg_srgnn.inference.choice import WAYS

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_SESSIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable of the environment that names prometheus_client's files of several processes."""


class Metrics:
    """The metrics of one service, or of one of its processes.

    Args:
        shared: Whether :meth:`text` has the sums over all processes that write to the same
            :data:`FOLDER`, which must be set before prometheus_client is imported.
            (default: False)
    """

    def __init__(self, shared: bool = False) -> None:
        self.shared = shared
        self._states: dict[Gauge, Callable[[], float]] = {}
        self.registry = of = CollectorRegistry()
        ProcessCollector(registry=of)
        self.requests = Counter(
            "srgnn_requests", "Requests answered.", ("endpoint", "status"), registry=of
        )
        self.seconds = Histogram(
            "srgnn_request_seconds",
            "From a request's head to the end of its answer.",
            ("endpoint",),
            buckets=_SECONDS,
            registry=of,
        )
        self.batch_size = Histogram(
            "srgnn_batch_sessions", "Sessions scored at once.", buckets=_SESSIONS, registry=of
        )
        self.queued = Gauge(
            "srgnn_queued_sessions", "Sessions that wait.", registry=of, multiprocess_mode="livesum"
        )
        self.ready = Gauge(
            "srgnn_ready", "Whether /ready says so.", registry=of, multiprocess_mode="livemax"
        )
        self.workers = Gauge(
            "srgnn_workers", "Processes that are ready.", registry=of, multiprocess_mode="livesum"
        )
        self.deaths = Counter(
            "srgnn_worker_deaths", "Workers that ended and were started again.", registry=of
        )
        self.unknown = Counter(
            "srgnn_unknown_items", "Clicks on items that the model does not know.", registry=of
        )
        self.popular = Counter(
            "srgnn_popular_answers",
            "Sessions without a known item, which got the most popular ones.",
            registry=of,
        )
        self.answers = Counter(
            "srgnn_answers",
            "Sessions answered, by the model: A, or the challenger B.",
            ("model",),
            registry=of,
        )
        self.reloads = Counter(
            "srgnn_reloads", "Attempts to load a new artifact.", ("result",), registry=of
        )
        self.added = Gauge(
            "srgnn_added_items",
            "Items added to the model that is served.",
            registry=of,
            multiprocess_mode="livemax",
        )
        self.searched = Gauge(
            "srgnn_catalogues",
            "Catalogues of items, by the precision in which they are searched.",
            ("model", "precision"),
            registry=of,
            multiprocess_mode="livemax",
        )
        self.store_errors = Counter(
            "srgnn_redis_errors", "Clicks that Redis did not take or give back.", registry=of
        )
        for result in ("ok", "failed"):
            self.reloads.labels(result)  # 0 rather than nothing

    def watch(
        self,
        searched: Mapping[str, Callable[[str], float]],
        queued: Callable[[], float],
        ready: Callable[[], float],
        added: Callable[[], float],
    ) -> None:
        """Read the state of the service whenever the metrics are read."""
        self._states = {
            self.queued: queued,
            self.ready: ready,
            self.workers: ready,
            self.added: added,
        }
        for model, count in searched.items():
            for precision in WAYS:
                gauge = self.searched.labels(model, precision)
                self._states[gauge] = partial(count, precision)

    def refresh(self) -> None:
        """Note the state of this process, for those that read the sums."""
        for gauge, state in self._states.items():
            gauge.set(state())

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        self.refresh()
        if not self.shared:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
