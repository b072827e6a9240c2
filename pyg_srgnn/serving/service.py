"""The service: a recommender over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

import pyg_srgnn
from pyg_srgnn.recommender import Recommender, UnknownItemWarning
from pyg_srgnn.serving import messages, page
from pyg_srgnn.serving.batching import Answer, Batcher, QueueFull, RawSession
from pyg_srgnn.serving.guard import Guard, problem
from pyg_srgnn.serving.metrics import CONTENT_TYPE, Metrics
from pyg_srgnn.serving.models import Models, Names
from pyg_srgnn.serving.settings import Settings

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)


class Service:
    """What the endpoints share: the model, who waits for it, and what is counted.

    Args:
        settings: Where the model is, and the limits.
        changed: Is told of every model that begins to serve. (default: nobody)
    """

    def __init__(
        self,
        settings: Settings,
        changed: Callable[[Recommender, Names | None], None] = lambda *_: None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.models = Models(settings.checkpoint, settings.names, self.metrics, changed)
        self.batcher = Batcher(
            self.models.current,
            self.metrics,
            settings.batch_size,
            settings.batch_wait_ms / 1000,
            settings.max_queue,
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
        self.metrics.unknown.inc(sum(answer.unknown for answer in answers))
        self.metrics.popular.inc(sum(answer.popular for answer in answers))
        return answers


def create_app(settings: Settings, failed: Callable[[Exception], None] | None = None) -> FastAPI:
    """Make the application; its model is loaded once it runs.

    Args:
        settings: Where the model is, and the limits.
        failed: Is told if the model cannot be loaded. (default: nobody, it is logged)
    """

    def changed(recommender: Recommender, names: Names | None) -> None:
        app.state.recommender, app.state.names = recommender, names

    service = Service(settings, changed)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Unknown items are counted, and told to who asks.
        warnings.simplefilter("ignore", UnknownItemWarning)
        work = asyncio.create_task(_serve_models(service, failed))
        try:
            yield
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
            service.batcher.close()

    app = FastAPI(
        title="pyg_srgnn",
        version=pyg_srgnn.__version__,
        description="The next items of sessions of clicks.",
        lifespan=lifespan,
    )
    app.state.service = service
    app.add_middleware(
        Guard,  # type: ignore[arg-type]
        metrics=service.metrics,
        ready=lambda: service.loaded,
        token=settings.token,
        max_body=settings.max_body,
        log_requests=settings.log_requests or settings.log_sessions,
    )
    app.add_exception_handler(RequestValidationError, _invalid)
    _add_state(app, service)
    _add_recommend(app, service)
    app.include_router(page.router)
    return app


async def _serve_models(service: Service, failed: Callable[[Exception], None] | None) -> None:
    """Load the model, and, where that is wished, those that come after it."""
    settings = service.settings
    try:
        await service.models.load()
    except Exception as error:
        if failed is None:
            log.error("%s", error, extra={"event": "load_failed"})
        else:
            failed(error)
        return
    log.info("ready", extra={"event": "ready"})
    if settings.reload_seconds:
        await service.models.watch(settings.reload_seconds)


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process is alive."""
        return {"status": "alive"}

    @app.get("/ready", responses={503: {"model": messages.Problem}})
    async def ready() -> Response:
        """Whether requests should come here: a model answers, and the service is not stopping."""
        if service.ready:
            return Response(b'{"status":"ready"}', media_type="application/json")
        return problem(503, "stopping" if service.stopping else "no model is loaded yet")

    @app.get("/metrics")
    async def metrics() -> Response:
        """Counters, as Prometheus reads them."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _add_recommend(app: FastAPI, service: Service) -> None:
    requests = messages.Requests(service.settings)

    @app.post("/recommend", **_described(requests.one, messages.Recommendations))
    async def recommend(request: Request) -> Response:
        """The next items of a session."""
        asked: Any = await read(request, requests.one)
        _logged(request, service, asked.items)
        (answer,) = await service.recommend([asked.items], asked.k, asked.exclude_seen)
        return _json(_answer(answer))

    @app.post("/recommend/batch", **_described(requests.many, messages.BatchRecommendations))
    async def recommend_batch(request: Request) -> Response:
        """The next items of many sessions."""
        asked: Any = await read(request, requests.many)
        _logged(request, service, asked.sessions)
        answers = await service.recommend(asked.sessions, asked.k, asked.exclude_seen)
        return _json({"results": [_answer(answer) for answer in answers]})


async def read(request: Request, model: type[M]) -> M:
    """A request's body, checked.

    Read from bytes into the model at once: FastAPI's own way, by Python objects, takes longer.

    Raises:
        HTTPException: If it is something else; says what was found where.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # which no form of a foreign page can send
        raise HTTPException(415, "expected a body of JSON, with Content-Type: application/json")
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise HTTPException(422, _told(error.errors(include_url=False)[0])) from None
    except ClientDisconnect:
        raise HTTPException(400, "the body is not whole") from None


def _told(error: Any) -> str:
    """What is wrong, without the value found: that may be large, or no text at all."""
    *place, last = ["", *map(str, error["loc"])]
    if last.startswith("constrained-"):  # one of the two things that an id may be
        return f"{'.'.join(place[1:])}: expected {messages.ITEM_ID}"
    where = ".".join([*place[1:], last])
    return f"{where}: {error['msg']}" if where else str(error["msg"])


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(422, _told(error.errors()[0]))


def _described(request: type[BaseModel], answer: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of an endpoint that reads its body itself."""
    schema = request.model_json_schema()
    body = {"content": {"application/json": {"schema": schema}}, "required": True}
    refusals: dict[int, Any] = {
        400: "The body is not whole.",
        401: "A token is needed.",
        413: "The body is too large.",
        415: "The body is not JSON.",
        422: "The body is not as expected.",
        503: "No model is loaded yet, or too many requests wait.",
    }
    return {
        "openapi_extra": {"requestBody": body},
        "responses": {200: {"model": answer}}
        | {
            status: {"model": messages.Problem, "description": text}
            for status, text in refusals.items()
        },
    }


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "items": [{"id": raw, "score": score} for raw, score in answer.items],
        "unknown": answer.unknown,
        "popular": answer.popular,
    }


def _json(content: Any) -> Response:
    return Response(
        json.dumps(content, separators=(",", ":")).encode(), media_type="application/json"
    )


def _logged(request: Request, service: Service, items: Any) -> None:
    """Have the log of requests say what was clicked, where that is wished."""
    if service.settings.log_sessions:
        request.scope["logged"] = {"items": items}
