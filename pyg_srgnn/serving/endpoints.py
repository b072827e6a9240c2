"""The endpoints of a service, without those of the page."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request, Response
from starlette.responses import PlainTextResponse

from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.inference.answer import Answer
from pyg_srgnn.inference.clicks import Clicks
from pyg_srgnn.serving import messages
from pyg_srgnn.serving.bodies import described, read
from pyg_srgnn.serving.guard import problem
from pyg_srgnn.serving.prometheus import CONTENT_TYPE
from pyg_srgnn.serving.service import Service, unavailable
from pyg_srgnn.serving.session_store import Click, Items, MarkedClick, Store, Unreachable
from pyg_srgnn.serving.settings import SECRETS

_MOST = 50_000  # items of an answer: other requests wait while it is written
_FEW = 100  # values of a column that are shown

SessionId = Annotated[
    str,
    Path(pattern=r"^[A-Za-z0-9_.:\-]{1,128}$", description="letters, digits and _ . : -"),
]


def state_routes(service: Service) -> APIRouter:
    """Health, readiness and metrics."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process is alive."""
        return {"status": "alive"}

    @router.get("/ready", responses={503: {"model": messages.Problem}})
    async def ready() -> Response:
        """Whether to send requests: a model is loaded, and the service is not stopping."""
        if service.ready:
            return _json({"status": "ready"})
        return problem(503, "stopping" if service.stopping else "no model is loaded yet")

    @router.get("/experiment", response_model=messages.Experiment)
    async def experiment() -> Response:
        """The share of the sessions that the challenger answers."""
        settings = service.settings
        return _json({"share": None if settings.challenger is None else settings.share})

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Metrics in the text format of Prometheus."""
        return PlainTextResponse(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return router


def recommend_routes(service: Service) -> APIRouter:
    """Recommendations for sessions that the request holds."""
    router = APIRouter()
    requests = messages.Requests(service.settings)

    @router.post("/recommend", **described(messages.Recommendations, requests.one))
    async def recommend(request: Request) -> Response:
        """The next items of a session."""
        asked: Any = await read(request, requests.one)
        _log(request, service, asked.items)
        given = asked.items, asked.types, asked.times, asked.earlier
        session = service.marked(asked.session, *given)
        (answer,) = await service.recommend([session], asked, asked.session)
        return _json(_content(answer) | _model(service, asked.session))

    @router.post("/recommend/batch", **described(messages.BatchRecommendations, requests.many))
    async def recommend_batch(request: Request) -> Response:
        """The next items of many sessions."""
        asked: Any = await read(request, requests.many)
        if len(asked.sessions) * asked.k > _MOST:
            raise HTTPException(422, f"sessions times k: an answer holds at most {_MOST:,} items")
        _log(request, service, asked.sessions)
        sessions = _sessions(service, asked.sessions, asked.types, asked.times, asked.earlier)
        answers = await service.recommend(sessions, asked)
        return _json({"results": [_content(answer) for answer in answers]})

    return router


def item_routes(service: Service) -> APIRouter:
    """New items of the model, and the attributes of items."""
    router = APIRouter()
    requests = messages.Requests(service.settings)
    model = requests.new

    @router.post("/items/add", **described(messages.Added, model))
    async def add_items(request: Request) -> Response:
        """Add items that the model does not know, by their texts, until the next one is loaded.

        The next request recommends them. Only a service with a token takes them.
        """
        if service.settings.token is None:
            raise HTTPException(
                403, f"items can be added to a service with a token ({SECRETS['token']}) alone"
            )
        asked: Any = await read(request, model)
        if (asked.texts is None) == (asked.vectors is None):
            raise HTTPException(422, "expected either texts or vectors of the items")
        try:
            total = await service.add_items(asked.ids, asked.texts, asked.vectors)
        except (ValueError, FileNotFoundError) as error:
            raise HTTPException(422, str(error)) from error
        except OSError as error:  # of an encoder, such as files that cannot be read
            raise unavailable(f"{error}; vectors of the items are taken, too") from error
        until = "the next model is loaded"
        return _json({"added": len(asked.ids), "total": total, "kept_until": until})

    @router.put("/items/attributes", **described(messages.Updated, requests.attributes))
    async def update_attributes(request: Request) -> Response:
        """Replace the values of some items in some columns of their attributes; all others stay.

        The next request goes by them. Only a service with a token takes them.
        """
        if service.settings.token is None:
            raise HTTPException(
                403, f"attributes can be put to a service with a token ({SECRETS['token']}) alone"
            )
        asked: Any = await read(request, requests.attributes)
        try:
            unknown = await service.update_attributes(asked.ids, asked.columns)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return _json({"updated": len(asked.ids), "unknown": unknown})

    @router.get("/items/attributes", response_model=messages.Columns)
    def columns() -> Response:
        """The columns of the items' attributes, with their values where there are few."""
        attributes = service.models.current().recommender.attributes
        return _json({"columns": [] if attributes is None else _columns(attributes)})

    return router


def _columns(attributes: ItemAttributes) -> list[dict[str, Any]]:
    """Name, kind and values of every column."""
    found = []
    for name, column in attributes.columns.items():
        values = attributes.labels(name).values
        shown = sorted(values) if len(values) <= _FEW else None
        found.append({"name": name, "kind": column.kind, "values": shown})
    return found


def session_routes(service: Service, store: Store) -> APIRouter:
    """Sessions that the service keeps."""
    router = APIRouter()
    model = messages.Requests(service.settings).click

    @router.post("/sessions/{id}/click", **described(messages.SessionRecommendations, model))
    async def click(request: Request, id: SessionId) -> Response:
        """Add a click to a session, and recommend the next items.

        A click that is refused is not added, so that it can be sent again. While the store of
        sessions cannot be reached, the answer is to this click alone.
        """
        asked: Any = await read(request, model)
        _log(request, service, [asked.item])
        service.marked(id, [asked.item], [asked.type], [asked.time], asked.earlier)  # may refuse it
        clicked: Click = asked.item
        if asked.type is not None or asked.time is not None:
            clicked = MarkedClick(asked.item, asked.type, asked.time)
        await service.admit(asked, id)
        try:
            items, kept = await store.append(id, clicked), True
        except Unreachable:
            items, kept = [clicked], False
        session = _kept(service, id, items, asked.earlier)
        (answer,) = await service.recommend([session], asked, id, admitted=True)
        facts = {"clicks": len(items), "kept": kept}
        return _json(_content(answer) | _model(service, id) | facts)

    @router.delete("/sessions/{id}", **described(messages.Deleted))
    async def delete(id: SessionId) -> Response:
        """Forget a session."""
        try:
            return _json({"deleted": await store.delete(id)})
        except Unreachable:
            raise unavailable("the store of sessions cannot be reached") from None

    return router


def _model(service: Service, session: str | None) -> dict[str, str]:
    """The model that answers, where there are two."""
    return {"model": service.model_of(session)} if len(service.arms) > 1 else {}


def _kept(
    service: Service, key: str, clicks: Items, earlier: list[int | str] | None
) -> list[int | str] | Clicks:
    """A kept session, with types and times where a click has any, and the earlier clicks given.

    A type of an earlier model, which the present one does not know, is left out.
    """
    items, types, times = map(list, zip(*map(MarkedClick.of, clicks), strict=True))
    if not any(isinstance(click, MarkedClick) for click in clicks):
        return service.marked(key, items, None, None, earlier)
    known = service.types_of(key)
    types = [one if one in known else None for one in types]
    return service.marked(key, items, types, times, earlier)


def _sessions(service: Service, sessions: list[Any], *marks_of_all: list[Any] | None) -> list[Any]:
    """The same of many sessions."""
    for name, marks in zip(("types", "times", "earlier"), marks_of_all, strict=True):
        if marks is not None and len(marks) != len(sessions):
            raise HTTPException(
                422, f"{name}: expected a list for each of the {len(sessions)} sessions"
            )
    none = [None] * len(sessions)
    every = zip(sessions, *(marks or none for marks in marks_of_all), strict=True)
    return [service.marked(None, *each) for each in every]


def _content(answer: Answer) -> dict[str, Any]:
    why = {} if answer.reason is None else {"reason": answer.reason}
    return {
        "items": [
            {"id": raw, "score": score, "cold": True}
            if raw in answer.cold
            else {"id": raw, "score": score}
            for raw, score in answer.items
        ],
        "unknown": len(answer.unknown),
        "popular": answer.popular,
        "log_probabilities": answer.log_probabilities,
        **why,
    }


def _json(content: Any) -> Response:
    return Response(
        json.dumps(content, separators=(",", ":")).encode(), media_type="application/json"
    )


def _log(request: Request, service: Service, items: Any) -> None:
    """Add the clicks to the log of requests, if the settings ask for it."""
    if service.settings.log_sessions:
        request.scope["logged"] = {"items": items}
