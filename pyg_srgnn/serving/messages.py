"""Models of requests and answers; the OpenAPI schema is made from them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, FiniteFloat, create_model

from pyg_srgnn.serving.settings import Settings

_WHOLE = Annotated[int, Field(ge=-(2**63), lt=2**63)]
ItemId = _WHOLE | Annotated[str, Field(max_length=512)]
ClickType = Annotated[str, Field(max_length=512)]
_Time = Annotated[FiniteFloat, Field(ge=-1e12, le=1e12)]
_TIMES = "when each click was, in seconds since any instant"
_EARLIER = "items of the user's earlier sessions, the last one at the end"
_TEXT = 10_000  # characters of an item's text
_DIMENSIONS = 16_384  # of a vector
_Cell = bool | FiniteFloat | str | list[str] | None  # a value of an item
SessionKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:\-]{1,128}$")]
SESSION_KEY = "a key of the session, the same with every click: one model answers it (A/B test)"
ITEM_ID = "an item's id: a whole number of 64 bits, or a text of at most 512 characters"
_MOST_RULES = 100  # that a request may name


class Message(BaseModel):
    """A strict model: "17" is not the number 17, and unknown keys are errors."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Recommended(BaseModel):
    """An item with its score."""

    id: int | str
    score: float
    cold: bool = Field(
        False, description="true of an item without a click in training; absent of the others"
    )


class Recommendations(BaseModel):
    """The best items of a session, best first."""

    items: list[Recommended]
    unknown: int = Field(description="clicks on items that the model does not know")
    popular: bool = Field(description="no click was on a known item: the most popular items")
    model: str | None = Field(
        None, description="which model answers, A or B; absent without a challenger"
    )
    reason: str | None = Field(
        None, description="why there are no items; absent where there are some"
    )
    log_probabilities: bool = Field(
        description="the scores are natural logarithms of probabilities; those of popular items "
        "are shares of all clicks, and those of other models only compare items of this answer"
    )


class Experiment(BaseModel):
    """An A/B test of the service."""

    share: float | None = Field(
        description="share of the sessions that model B answers; null without a challenger"
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


class Updated(BaseModel):
    """Whose attributes were replaced."""

    updated: int
    unknown: int = Field(description="ids that are not in the catalogue, kept for later ones")


class Column(BaseModel):
    """A column of the items' attributes."""

    name: str
    kind: str = Field(description="numbers, texts, truth values or lists of texts")
    values: list[str | bool | float] | None = Field(
        description="the different values, where there are few"
    )


class Columns(BaseModel):
    """The columns of the items' attributes."""

    columns: list[Column]


class Added(BaseModel):
    """How many items were added."""

    added: int
    total: int = Field(description="items added to the model that is served")
    kept_until: str = Field(description="what ends their stay")


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
            **self._rules(),
        }
        size = Field(max_length=settings.max_clicks, fail_fast=True)
        types: Any = Annotated[list[ClickType | None], size]
        times: Any = Annotated[list[_Time | None], size]
        sessions = Field(max_length=settings.max_sessions, fail_fast=True)
        all_types: Any = Annotated[list[types], sessions]
        all_times: Any = Annotated[list[times], sessions]
        # FailFast cannot be a part of a union.
        earlier: Any = Annotated[list[ItemId], size]
        all_earlier: Any = Annotated[list[earlier], sessions]
        of_user = Field(None, description=_EARLIER)
        self.one = create_model(
            "Session",
            __base__=Message,
            __doc__="A session.",
            items=(session, ...),
            session=(SessionKey | None, Field(None, description=SESSION_KEY)),
            types=(types | None, Field(None, description="the type of each click")),
            times=(times | None, Field(None, description=_TIMES)),
            earlier=(earlier | None, of_user),
            **asked,
        )
        self.many = create_model(
            "Sessions",
            __base__=Message,
            __doc__="Sessions.",
            sessions=(many, ...),
            types=(all_types | None, Field(None, description="the type of each click")),
            times=(all_times | None, Field(None, description=_TIMES)),
            earlier=(all_earlier | None, of_user),
            **asked,
        )
        most = Field(max_length=settings.max_added, fail_fast=True)
        dimensions = Field(max_length=_DIMENSIONS, fail_fast=True)
        ids = Annotated[list[ItemId], most]
        texts = Annotated[list[Annotated[str, Field(max_length=_TEXT)]], most]
        vectors = Annotated[list[Annotated[list[FiniteFloat], dimensions]], most]
        self.new = create_model(
            "NewItems",
            __base__=Message,
            __doc__="Items that the model does not know, with either texts or vectors.",
            ids=(ids, ...),
            texts=(
                texts | None,
                Field(
                    None,
                    description="a text of each, for the encoder of the model's texts",
                    examples=[["a title. a brand"]],
                ),
            ),
            vectors=(
                vectors | None,
                Field(None, description="what that encoder makes of each text"),
            ),
        )
        cells = Annotated[list[_Cell], Field(fail_fast=True)]
        self.attributes = create_model(
            "Attributes",
            __base__=Message,
            __doc__="Attributes of items, in place of those that they have in these columns.",
            ids=(Annotated[list[ItemId], Field(fail_fast=True)], ...),
            columns=(
                dict[str, cells],
                Field(
                    description="a value of each item, null for none",
                    examples=[{"in_stock": [False], "price": [19.5]}],
                ),
            ),
        )
        self.click = create_model(
            "Click",
            __base__=Message,
            __doc__="A click.",
            item=(ItemId, ...),
            type=(ClickType | None, Field(None, description="the type of the click")),
            time=(_Time | None, Field(None, description="when it was, in seconds")),
            earlier=(earlier | None, of_user),
            **asked,
        )

    @staticmethod
    def _rules() -> dict[str, Any]:
        """Fields of the rules of a request; see :class:`pyg_srgnn.inference.rules.Rules`."""
        ids = Annotated[list[ItemId], Field(fail_fast=True)]
        texts = "a value, a list of values, or an object with min and max, or with not"
        return {
            "rules": (
                Annotated[list[str], Field(max_length=_MOST_RULES)],
                Field([], description="names of rules of the service"),
            ),
            "exclude_seen": (bool, False),
            "allow": (ids | None, Field(None, description="the only items, null for all")),
            "deny": (ids, Field([], description="items that must not be recommended")),
            "where": (
                dict[str, Any],
                Field({}, description=f"conditions of attributes: {texts}"),
            ),
            "boost": (
                dict[str, dict[str, float]],
                Field({}, description="factors of probabilities, by column and value"),
            ),
            "diversify": (float, Field(0.0, description="weight of the similarity to items above")),
            "diversify_by": (str | None, Field(None, description="a column; null: item vectors")),
            "max_per": (
                dict[str, int],
                Field({}, description="how many items may have the same value, by column"),
            ),
        }
