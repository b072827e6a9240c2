"""The process of a service: socket, signals and graceful shutdown."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from time import monotonic
from types import FrameType

import uvicorn

from pyg_srgnn.serving.app import create_app
from pyg_srgnn.serving.channel import Channel
from pyg_srgnn.serving.logs import log_json
from pyg_srgnn.serving.models import LOADING
from pyg_srgnn.serving.protocol import Bounded, Connections
from pyg_srgnn.serving.service import Service
from pyg_srgnn.serving.settings import Settings
from pyg_srgnn.serving.sockets import listen, url_of

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server with a reload on SIGHUP and a drain on SIGTERM.

    Args:
        settings: The settings of the service.
        parent: The process that loads the models, of a worker. (default: none, it is loaded here)
    """

    def __init__(self, settings: Settings, parent: Channel | None = None) -> None:
        app = create_app(settings, self._failed, parent)
        self.service: Service = app.state.service
        self.failure: Exception | None = None
        self._leaves_at: float | None = None
        self._reload: asyncio.Task[None] | None = None
        bounds = {
            "request_timeout": settings.request_timeout,
            "open_connections": Connections(settings.max_connections, settings.max_per_address),
        }
        super().__init__(
            uvicorn.Config(
                app,
                http=type("Protocol", (Bounded,), bounds),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=75,  # longer than the 60 s of common load balancers
                timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve."""
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hung_up)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop; called ten times a second."""
        if self._leaves_at is not None and monotonic() >= self._leaves_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop: on SIGINT or a second signal at once, on SIGTERM after ``drain_seconds``."""
        if self._leaves_at is not None:  # asked again
            super().handle_exit(sig, frame)
            return
        self.service.stopping = True
        drained = 0 if sig == signal.SIGINT else self.service.settings.drain_seconds
        self._leaves_at = monotonic() + drained

    def _hung_up(self) -> None:
        self._reload = asyncio.create_task(self.service.reload())

    def _failed(self, error: Exception) -> None:
        self.failure = error
        self.should_exit = True


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; logs are lines of JSON on stderr.

    Raises:
        OSError: If the port is taken, or a file cannot be read.
        ValueError: If the artifact does not hold a model.
    """
    listening = listen(settings.host, settings.port)
    log_json()
    server = Server(settings)
    log.info("listening", extra={"event": "listening", "url": url_of(listening)})
    server.run(sockets=[listening])
    if server.failure is not None:
        raise server.failure
    log.info("stopped", extra={"event": "stopped"})
    end()


def end() -> None:
    """End the process, if a load that may never finish would keep it."""
    if any(thread.name == LOADING for thread in threading.enumerate()):
        os._exit(0)
