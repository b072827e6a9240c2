"""The page to click through a catalogue, the page of all endpoints, and what they request."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, FailFast, Field, RootModel

from pyg_srgnn.inference.answer import Explanation
from pyg_srgnn.serving.bodies import described, read
from pyg_srgnn.serving.messages import SESSION_KEY, ClickType, ItemId, Message, SessionKey
from pyg_srgnn.serving.served import Served
from pyg_srgnn.serving.service import Service

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# Read once: no path of a request ever reaches the disk.
_FILES = {
    file.name: (file.read_bytes(), f"{_TYPES[file.suffix]}; charset=utf-8")
    for file in sorted(Path(__file__).with_name("static").iterdir())
    if file.suffix in _TYPES
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # revalidated, and answered with 304 if unchanged
}


class Item(BaseModel):
    """An item of the catalogue, or one that is unknown."""

    id: int | str
    name: str | None
    known: bool


class Items(RootModel[list[Item]]):
    """Items in the order in which they were found or requested."""


class Types(RootModel[list[str]]):
    """Types of clicks, none of a model that knows no types."""


_NAMED = 1000  # items, at most
_OTHERS = 100  # items, at most
_EXPLAINED = 200  # clicks, at most: each costs a scoring of the catalogue


class Wanted(Message):
    """Items whose names are requested."""

    ids: Annotated[list[ItemId], Field(max_length=_NAMED), FailFast()]


class Explained(Message):
    """A session, and the item whose score is explained."""

    items: Annotated[list[ItemId], Field(max_length=_EXPLAINED), FailFast()]
    types: (
        Annotated[list[ClickType | None], Field(max_length=_EXPLAINED, fail_fast=True)] | None
    ) = Field(None, description="the type of each click")
    item: ItemId | None = Field(None, description="null: the best one")
    session: SessionKey | None = Field(None, description=SESSION_KEY)
    others: Annotated[list[ItemId], Field(max_length=_OTHERS), FailFast()] = Field(
        [], description="further items whose origin is wanted"
    )


def page_routes(service: Service) -> APIRouter:
    """The pages with their files, and the endpoints that only the pages need."""
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    def index(request: Request) -> Response:
        """The page."""
        return _file(request, "index.html")

    @router.get("/docs", include_in_schema=False)
    def docs(request: Request) -> Response:
        """Every endpoint, to read about and to try."""
        return _file(request, "docs.html")

    @router.get("/docs/", include_in_schema=False)
    def docs_elsewhere() -> Response:
        """A redirect: the files of the page lie beside its name."""
        return RedirectResponse("../docs")

    @router.get("/static/{name}", include_in_schema=False)
    def static(request: Request, name: str) -> Response:
        """A file of the page."""
        return _file(request, name)

    @router.get("/items")
    def find_items(
        query: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=50)] = 10,
    ) -> Items:
        """Items whose id or name holds a text; the most popular ones where there is no text."""
        served = service.models.current()
        return _named(served, served.find(query, limit))

    @router.post("/items", **described(Items, Wanted))
    async def name_items(request: Request) -> Items:
        """The names of items, and whether the model knows them."""
        wanted = await read(request, Wanted)
        return _named(service.models.current(), wanted.ids)

    @router.get("/types")
    def types() -> Types:
        """The types of clicks that the model knows, the one of clicks without a type first."""
        return Types([*service.types_of(None)])

    @router.post("/explain", response_model=Explanation, **described(Explanation, Explained))
    async def explain(request: Request) -> Explanation | Response:
        """Why an item is recommended: graph, attention, what each click adds, and its origin."""
        asked = await read(request, Explained)
        clicks = service.marked(asked.session, asked.items, asked.types)
        try:
            found = await service.explain(
                clicks, asked.item, asked.others, request.is_disconnected, asked.session
            )
        except ValueError as error:  # no item is known
            raise HTTPException(422, str(error)) from error
        return Response(status_code=499) if found is None else found

    return router


def _file(request: Request, name: str) -> Response:
    if name not in _FILES:
        raise HTTPException(404, "there is no such file")
    content, kind = _FILES[name]
    headers = _HEADERS | {"ETag": f'"{sha256(content).hexdigest()[:16]}"'}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)


def _named(served: Served, ids: Sequence[int | str]) -> Items:
    vocabulary = served.recommender.vocabulary
    return Items([Item(id=raw, name=served.names.get(raw), known=raw in vocabulary) for raw in ids])
