"""Answers of a recommender: the items for one session, and the explanation of one item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """The items recommended to a session.

    Args:
        items: Pairs of raw id and score, best first.
        unknown: The session's clicks on items that the model does not know, raw ids in order.
        popular: Whether no click is on a known item, so that the most popular items are
            recommended; a score is then the item's share of all clicks in training.
        log_probabilities: Whether the scores are log-probabilities.
        cold: Those of the items that have no click in training. (default: none)
        reason: Why there are no items. (default: None, there are)
    """

    items: list[tuple[int | str, float]]
    unknown: list[int | str]
    popular: bool
    log_probabilities: bool
    cold: frozenset[int | str] = frozenset()
    reason: str | None = None


@dataclass(frozen=True)
class Origin:
    """Where the probability of an item comes from; see :class:`Explanation`.

    Args:
        item: The item, a raw id.
        shares: The share that each part of a mixture has in the item's probability, by its name;
            ``model`` is the model's own softmax. They sum to 1. None of a model that mixes nothing.
        similarity: The cosine of each click's text to the item's, both whitened [L]; None where
            either has no text. None of a model without texts.
    """

    item: int | str
    shares: dict[str, float] | None
    similarity: list[float | None] | None


@dataclass(frozen=True)
class Explanation:
    """Why an item is recommended; see :meth:`pyg_srgnn.Recommender.explain`.

    Args:
        item: The item explained, a raw id.
        score: Its score.
        clicks: The session's known clicks, raw ids [L].
        attention: Weight of each click in the readout [L]; None of a model without attention. The
            weights need not add up to one. A negative weight subtracts the click's vector, which
            does not tell whether the click raises or lowers the score of ``item``.
        added: What each click adds to the score [L]; None of a single click, which cannot be left
            out. Of log-probabilities, ``exp(added)`` is the factor on the probability. None in it
            is a click without which the item would not be recommended at all.
        nodes: The items of the session graph, raw ids [N].
        edges: Pairs of nodes, from and to [E].
        weights: Weight of each edge, normalised by the out-degree of its first node [E].
        weights_in: Weight of each edge in the reversed graph, normalised by the in-degree of its
            second node [E].
        log_probabilities: Whether the score is a log-probability.
        origins: Where the probability of the item comes from, and after it, that of every other
            item that was asked for.
    """

    item: int | str
    score: float
    clicks: list[int | str]
    attention: list[float] | None
    added: list[float | None] | None
    nodes: list[int | str]
    edges: list[tuple[int, int]]
    weights: list[float]
    weights_in: list[float]
    log_probabilities: bool
    origins: list[Origin]


def unknown_messages(answers: Sequence[Answer]) -> Iterator[str]:
    """Describe what answers have left out: the unknown items, and the sessions without a known one.

    Args:
        answers: The answers to sessions, numbered from 0.

    Yields:
        At most one message of each kind; long lists are shortened.
    """
    unknown = list(dict.fromkeys(raw for answer in answers for raw in answer.unknown))
    if unknown:
        shown = ", ".join(map(repr, unknown[:10]))
        more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        yield f"left out items that the model does not know: {shown}{more}"
    popular = [row for row, answer in enumerate(answers) if answer.popular]
    if popular:
        shown = ", ".join(map(str, popular[:10])) + (" …" if len(popular) > 10 else "")
        yield (
            f"no known item in {len(popular)} of {len(answers)} sessions (number {shown}): "
            f"the most popular items are recommended there instead"
        )
