"""Models of requests and answers; the OpenAPI schema is made from them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, create_model

from pyg_srgnn.serving.settings import Settings

_WHOLE = Annotated[int, Field(ge=-(2**63), lt=2**63)]
ItemId = _WHOLE | Annotated[str, Field(max_length=512)]
ITEM_ID = "an item's id: a whole number of 64 bits, or a text of at most 512 characters"


class Message(BaseModel):
    """A strict model: "17" is not the number 17, and unknown keys are errors."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Recommended(BaseModel):
    """An item with its score."""

    id: int | str
    score: float


class Recommendations(BaseModel):
    """The best items of a session, best first."""

    items: list[Recommended]
    unknown: int = Field(description="clicks on items that the model does not know")
    popular: bool = Field(description="no click was on a known item: the most popular items")
    log_probabilities: bool = Field(
        description="the scores are natural logarithms of probabilities; those of popular items "
        "are shares of all clicks, and those of other models only compare items of this answer"
    )


class BatchRecommendations(BaseModel):
    """The best items of every session."""

    results: list[Recommendations]


class SessionRecommendations(Recommendations):
    """The best items of a session that the service keeps."""

    clicks: int = Field(description="clicks of the session that were taken into account")
    kept: bool = Field(description="false where the store of sessions cannot be reached")


class Deleted(BaseModel):
    """Whether there was such a session."""

    deleted: bool


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


class Requests:
    """The models of requests, with the limits of a service.

    Args:
        settings: The service's settings.
    """

    def __init__(self, settings: Settings) -> None:
        session = Annotated[list[ItemId], Field(max_length=settings.max_clicks), FailFast()]
        many = Annotated[list[session], Field(max_length=settings.max_sessions), FailFast()]
        asked: dict[str, Any] = {
            "k": (Annotated[int, Field(ge=1, le=settings.max_k)], min(20, settings.max_k)),
            "exclude_seen": (bool, False),
        }
        self.one = create_model(
            "Session", __base__=Message, __doc__="A session.", items=(session, ...), **asked
        )
        self.many = create_model(
            "Sessions", __base__=Message, __doc__="Sessions.", sessions=(many, ...), **asked
        )
        self.click = create_model(
            "Click", __base__=Message, __doc__="A click.", item=(ItemId, ...), **asked
        )
