"""Answers requests that want different things, with all their sessions scored together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

from pyg_srgnn.inference.answer import Answer
from pyg_srgnn.inference.applied import Applied
from pyg_srgnn.inference.clicks import known_clicks
from pyg_srgnn.inference.item_catalogue import ItemCatalogue
from pyg_srgnn.inference.raw_ids import ids_of, values_of
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.inference.scorer import Session


@dataclass(frozen=True)
class Asked:
    """A request: sessions, how many items each wants, and by which rules.

    Args:
        sessions: Each session's clicks as raw ids, in order of time.
        k: Number of items. (default: 20)
        rules: Rules that hold together. (default: none)
    """

    sessions: Iterable[Iterable[int | str]]
    k: int = 20
    rules: Sequence[Rules] = ()


class _Read(NamedTuple):
    """A session: its clicks on unknown items, and those on known ones."""

    unknown: list[int | str]
    known: Session


def answers_of(
    asked: Sequence[Asked], catalogue: ItemCatalogue, types: Mapping[str, int], collapse: bool
) -> list[list[Answer]]:
    """The answers of every request.

    Args:
        asked: The requests.
        catalogue: The model and its items.
        types: The number of each type of click that the model knows.
        collapse: See :func:`~pyg_srgnn.inference.clicks.known_clicks`.

    Raises:
        ValueError: If a k is no whole number >= 1, a rule names a column that is not there, or a
            click has an unknown type.
        TypeError: If a session is no collection of ids.
    """
    applied = [_applied(one, catalogue) for one in asked]
    read = [_read(one, catalogue, types, collapse) for one in asked]
    pairs = [
        (session.known, (one.k, way))
        for one, way, sessions in zip(asked, applied, read, strict=True)
        for session in sessions
        if session.known
    ]
    best = catalogue.best([known for known, _ in pairs], [wanted for _, wanted in pairs])
    return [
        list(_answers(sessions, one.k, way, best, catalogue))
        for one, way, sessions in zip(asked, applied, read, strict=True)
    ]


def _applied(asked: Asked, catalogue: ItemCatalogue) -> Applied:
    if not isinstance(asked.k, Integral) or isinstance(asked.k, bool) or asked.k < 1:
        raise ValueError(f"k must be a whole number >= 1 (got {asked.k!r})")
    return catalogue.rule_book.apply(asked.rules)


def _read(
    asked: Asked, catalogue: ItemCatalogue, types: Mapping[str, int], collapse: bool
) -> list[_Read]:
    read = []
    for session in values_of(asked.sessions, "recommend: 'sessions'", "a list of sessions"):
        ids = ids_of(session, "recommend: a session", ", as in [[17, 4, 17]]")
        index = catalogue.vocabulary.encode(ids)
        unknown = [raw for raw, item in zip(ids, index, strict=True) if item < 0]
        known = known_clicks(session, index, types, catalogue.vocabulary, collapse)
        read.append(_Read(unknown, known))
    return read


def _answers(
    sessions: Sequence[_Read],
    k: int,
    applied: Applied,
    best: Iterator[list[tuple[int | str, float]]],
    catalogue: ItemCatalogue,
) -> Iterator[Answer]:
    """The answers of a request; ``best`` goes on with the lists of its known sessions."""
    popular = [] if all(session.known for session in sessions) else catalogue.popular(k, applied)
    logarithms, cold = catalogue.scorer.log_probabilities, catalogue.cold
    for session in sessions:
        items = next(best) if session.known else popular.copy()
        yield Answer(
            items=items,
            unknown=session.unknown,
            popular=not session.known,
            log_probabilities=logarithms and bool(session.known),
            cold=cold.intersection(item for item, _ in items) if cold else cold,
            reason=None if items else applied.reason,
        )
