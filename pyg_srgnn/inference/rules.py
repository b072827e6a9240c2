"""Rules of what may be recommended, what is preferred, and how alike a list may be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from pyg_srgnn.inference.raw_ids import ids_of
from pyg_srgnn.utils.arguments import Checks, checking


class RuleError(ValueError):
    """A rule that does not fit the items' attributes."""


Scalar = str | bool | int | float
Condition = Scalar | Sequence[Scalar] | Mapping[str, Any]
"""A value, a list of values, or a mapping with ``min`` and ``max``, or with ``not``."""

_BOUNDS = {"min", "max"}
_CONDITION = (
    'a value, a list of values, {"min": number, "max": number} or {"not": value or list of values}'
)


@dataclass(frozen=True, eq=False)
class Rules:
    """What may be recommended, what is preferred, and how alike the items of a list may be.

    Columns are those of :class:`~pyg_srgnn.data.attributes.ItemAttributes`. An item without a value
    meets no condition but ``not``, has no boost and no cap.

    Args:
        allow: Raw ids of the only items that may be recommended. (default: None, all)
        deny: Raw ids of items that must not be. (default: none)
        where: A condition for columns, all of which an item has to meet: a value that it has, a
            list of which it has one (of a column of lists, one of its values), ``{"min": 5,
            "max": 10}`` of numbers, or ``{"not": …}`` with values that it must not have.
            (default: none)
        exclude_seen: Whether a session's own items are left out. (default: False)
        boost: For columns, a factor > 0 of values: the probability of an item that has the value
            is multiplied by it before items are compared, and by several where it has several.
            (default: none)
        diversify: Weight w of the similarity to items that are above, against the score, from 0
            to below 1: items are chosen one after another by maximal marginal relevance, see
            :func:`~pyg_srgnn.inference.selection.select`, of the best 5 k, and at least 100.
            (default: 0)
        diversify_by: The column by whose values items are alike: the share of values that two have
            in common. (default: None, by the cosine of their vectors)
        max_per: For columns, how many items of a list may have the same value. (default: none)

    Raises:
        ArgumentError: If a value is not allowed; names the field.
        TypeError: If ``allow`` or ``deny`` is no collection of ids.

    Example:
        >>> Rules(where={"price": {"max": 100}}, max_per={"category": 2})
        Rules(where={'price': {'max': 100}}, max_per={'category': 2})
    """

    allow: Iterable[int | str] | None = None
    deny: Iterable[int | str] = ()
    where: Mapping[str, Condition] = field(default_factory=dict)
    exclude_seen: bool = False
    boost: Mapping[str, Mapping[Scalar, float]] = field(default_factory=dict)
    diversify: float = 0.0
    diversify_by: str | None = None
    max_per: Mapping[str, int] = field(default_factory=dict)

    @property
    def chooses(self) -> bool:
        """Whether an item's place depends on those above."""
        return self.diversify > 0 or bool(self.max_per)

    def __post_init__(self) -> None:
        """Check every field."""
        # A frozen dataclass has no other way to set its fields.
        if self.allow is not None:
            object.__setattr__(self, "allow", ids_of(self.allow, "recommend: 'allow'"))
        object.__setattr__(self, "deny", ids_of(self.deny, "recommend: 'deny'"))
        with checking(self) as check:
            check.flag("exclude_seen", self.exclude_seen)
            check.number("diversify", self.diversify, least=0, below=1)
            check.text("diversify_by", self.diversify_by, optional=True)
            if _columns(check, "where", self.where):
                for name, condition in self.where.items():
                    fits = _is_condition(condition)
                    check.that(fits, f"where.{name}", _CONDITION, condition)
            if _columns(check, "boost", self.boost):
                for name, factors in self.boost.items():
                    fits = isinstance(factors, Mapping)
                    expected = 'factors of values, such as {"sale": 1.2}'
                    for value, factor in factors.items() if fits else ():
                        check.number(f"boost.{name}.{value}", factor, above=0)
                    check.that(fits, f"boost.{name}", expected, factors)
            if _columns(check, "max_per", self.max_per):
                for name, most in self.max_per.items():
                    check.whole(f"max_per.{name}", most, 1)

    def __repr__(self) -> str:
        """The fields that are not as they are by default."""
        shown = {one.name: getattr(self, one.name) for one in fields(self)}
        kept = [f"{name}={value!r}" for name, value in shown.items() if _says(name, value)]
        return f"Rules({', '.join(kept)})"

    @cached_property
    def key(self) -> str:
        """A text that is the same for the same rules."""
        return json.dumps(vars(self), default=str)

    def __eq__(self, other: object) -> bool:
        """Whether all fields are the same."""
        return isinstance(other, Rules) and self.key == other.key

    def __hash__(self) -> int:
        """A number that is the same for the same rules."""
        return hash(self.key)

    @property
    def bars(self) -> bool:
        """Whether some items may not be recommended."""
        return self.allow is not None or bool(self.deny or self.where) or self.exclude_seen


def _columns(check: Checks, name: str, value: Any) -> bool:
    fits = isinstance(value, Mapping) and all(isinstance(column, str) for column in value)
    return check.that(fits, name, "a mapping with the names of columns", value)


def _is_scalar(value: Any) -> bool:
    if isinstance(value, int | float):
        return abs(value) < 2**63  # and no NaN
    return isinstance(value, str)


def _is_condition(value: Any, negated: bool = False) -> bool:
    if isinstance(value, Mapping):
        if set(value) == {"not"}:
            return not negated and _is_condition(value["not"], negated=True)
        numbers = all(_is_scalar(one) and not isinstance(one, str | bool) for one in value.values())
        return not negated and bool(value) and set(value) <= _BOUNDS and numbers
    if isinstance(value, Sequence) and not isinstance(value, str):
        return all(map(_is_scalar, value))
    return _is_scalar(value)


def _says(name: str, value: Any) -> bool:
    """Whether a field changes anything."""
    return value is not None if name == "allow" else bool(value)
