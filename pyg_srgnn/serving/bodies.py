"""Reads and validates the bodies of requests, and describes them for OpenAPI."""

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
    403: "The request is of a page, or to a name, that is not the service's, or needs a service "
    "with a token.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The request is not as expected.",
    503: "No model is loaded yet, too many requests wait, or an encoder does not answer.",
}


async def read(request: Request, model: type[M]) -> M:
    """Read and validate the body of a request.

    The bytes are parsed into the model directly, which is faster than FastAPI's way.

    Raises:
        HTTPException: If it is not such a body; names the place.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # a form of another site cannot send this type
        raise HTTPException(415, "expected a body of JSON, with Content-Type: application/json")
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise HTTPException(422, _message(error.errors(include_url=False)[0])) from None
    except ClientDisconnect:
        raise HTTPException(400, "the body is not whole") from None


async def invalid(request: Request, error: Exception) -> Response:
    """The answer to a request whose parameters are invalid."""
    assert isinstance(error, RequestValidationError)
    return problem(422, _message(error.errors()[0]))


def described(answer: type, request: type[BaseModel] | None = None) -> dict[str, Any]:
    """Arguments of a route for the OpenAPI schema of an endpoint that reads its body itself."""
    refusals = {
        status: {"model": messages.Problem, "description": text}
        for status, text in REFUSALS.items()
    }
    arguments: dict[str, Any] = {"responses": {200: {"model": answer}} | refusals}
    if request is not None:
        content = {"application/json": {"schema": request.model_json_schema()}}
        arguments["openapi_extra"] = {"requestBody": {"content": content, "required": True}}
    return arguments


def _message(error: Any) -> str:
    """Describe an error without the value found, which may be large or no valid text."""
    *place, last = ["", *map(str, error["loc"])]
    if last.startswith("constrained-"):  # one of the two types of an id
        return f"{'.'.join(place[1:])}: expected {messages.ITEM_ID}"
    where = ".".join([*place[1:], last])
    return f"{where}: {error['msg']}" if where else str(error["msg"])
