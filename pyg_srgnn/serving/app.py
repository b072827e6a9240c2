"""The service: a recommender over HTTP, as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import torch
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from pyg_srgnn.serving import endpoints, page
from pyg_srgnn.serving.bodies import REFUSALS, invalid
from pyg_srgnn.serving.channel import Channel
from pyg_srgnn.serving.guard import Guard
from pyg_srgnn.serving.hosts import Hosts, is_loopback
from pyg_srgnn.serving.messages import Problem
from pyg_srgnn.serving.service import Service
from pyg_srgnn.serving.settings import Settings
from pyg_srgnn.version import __version__

log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    failed: Callable[[Exception], None] | None = None,
    parent: Channel | None = None,
) -> FastAPI:
    """Make the application; its model is loaded once it runs.

    ``app.state.service`` is the :class:`~pyg_srgnn.serving.service.Service` behind it.

    Args:
        settings: Where the model is, and the limits.
        failed: Called if the model cannot be loaded. (default: the error is logged)
        parent: The process that loads the models, of a worker. (default: none, it is loaded here)

    Raises:
        ValueError: If the store of sessions cannot be what the settings say.
    """
    service = Service(settings, parent)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        work = None if parent else asyncio.create_task(_serve_models(service, failed))
        try:
            yield
        finally:
            if work is not None:
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
            await service.close()

    app = FastAPI(
        title="pyg_srgnn",
        version=__version__,
        description="The next items of sessions of clicks.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere; page.py has another
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to any Host
        responses={422: {"model": Problem, "description": REFUSALS[422]}},
    )
    app.state.service = service
    app.add_middleware(
        Guard,
        metrics=service.metrics,
        ready=lambda: service.loaded,
        hosts=_hosts(settings),
        token=settings.token,
        max_body=settings.max_body,
        log_requests=settings.log_requests or settings.log_sessions,
    )
    app.add_exception_handler(RequestValidationError, invalid)
    app.include_router(endpoints.recommend_routes(service))
    if service.store is not None:
        app.include_router(endpoints.session_routes(service, service.store))
    app.include_router(endpoints.item_routes(service))
    app.include_router(page.page_routes(service))
    app.include_router(endpoints.state_routes(service))
    return app


def _hosts(settings: Settings) -> Hosts | None:
    """The names that a Host may have; None for any, where requests bear a token."""
    if settings.token is not None and settings.hosts is None:
        return None
    return Hosts(settings.hosts or (), addresses=not is_loopback(settings.host))


async def _serve_models(service: Service, failed: Callable[[Exception], None] | None) -> None:
    """Load the model, and watch its files if the settings ask for it."""
    try:
        await service.load()
    except Exception as error:
        if failed is None:
            log.error("%s", error, extra={"event": "load_failed"})
        else:
            failed(error)
        return
    log.info("ready", extra={"event": "ready"})
    if service.settings.reload_seconds:
        await service.watch(service.settings.reload_seconds)
