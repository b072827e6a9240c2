"""Requests' bodies, read and checked, and what OpenAPI says of them."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from pyg_srgnn.serving import messages
from pyg_srgnn.serving.guard import problem

M = TypeVar("M", bound=BaseModel)

REFUSALS = {
    400: "The body is not whole.",
    401: "A token is needed.",
    403: "The request is of a page, or to a name, that is not the service's.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The request is not as expected.",
    503: "No model is loaded yet, or too many requests wait.",
}


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


async def invalid(request: Request, error: Exception) -> Response:
    """The answer to a request that FastAPI has checked, and refused."""
    assert isinstance(error, RequestValidationError)
    return problem(422, _told(error.errors()[0]))


def described(answer: type, request: type[BaseModel] | None = None) -> dict[str, Any]:
    """What OpenAPI says of an endpoint that reads its body itself."""
    refusals = {
        status: {"model": messages.Problem, "description": text}
        for status, text in REFUSALS.items()
    }
    arguments: dict[str, Any] = {"responses": {200: {"model": answer}} | refusals}
    if request is not None:
        content = {"application/json": {"schema": request.model_json_schema()}}
        arguments["openapi_extra"] = {"requestBody": {"content": content, "required": True}}
    return arguments


def _told(error: Any) -> str:
    """What is wrong, without the value found: that may be large, or no text at all."""
    *place, last = ["", *map(str, error["loc"])]
    if last.startswith("constrained-"):  # one of the two things that an id may be
        return f"{'.'.join(place[1:])}: expected {messages.ITEM_ID}"
    where = ".".join([*place[1:], last])
    return f"{where}: {error['msg']}" if where else str(error["msg"])
