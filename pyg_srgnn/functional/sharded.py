r"""Finds the best items of a catalogue whose parts lie in several processes.

Each part answers for its own items (:func:`answer_of`), and who asked puts the answers together
(:func:`merge`): the k best of all are among the k best of the parts, and the logarithm of the
softmax's sum is that of the sum of the parts' sums. Both are exact, however the items are shared
out.

A mixture needs no more of the catalogue than that and the scores of its candidates (:func:`mixed`,
see :mod:`pyg_srgnn.functional.sparse_mixture`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_srgnn.functional.lookups import Pairs
from pyg_srgnn.functional.mixture import Share
from pyg_srgnn.functional.sparse_mixture import SparseMixture
from pyg_srgnn.functional.topk import best_of_scores

_SCORES = 2**22  # held at once: 16 MiB in float32


class Question(NamedTuple):
    """What every part is asked."""

    sessions: Tensor
    """Session vectors [B, d]."""
    k: int
    """How many of the best items."""
    taken: Pairs | None = None
    """Sessions and items [P] that the softmax leaves out, each pair once; None if it has all."""
    candidates: Pairs | None = None
    """Sessions and items [C] whose scores are asked for; None, of a model that is no mixture."""


class Answer(NamedTuple):
    """What a part says of its items, or all parts together."""

    scores: Tensor
    """Scores of the best items that are not taken, best first [B, k], fewer of a smaller part."""
    items: Tensor
    """Their numbers in the whole catalogue, of the same shape."""
    total: Tensor
    """Logarithm of the sum of the exponentials of all scores that are not taken [B]."""
    of_candidates: Tensor | None
    """Scores of the candidates, minus infinity of those that lie elsewhere [C]."""


def answer_of(vectors: Tensor, first: int, question: Question) -> Answer:
    """Answer for a part of the catalogue.

    Args:
        vectors: Item vectors of the part [n, d].
        first: Number of its first item in the whole catalogue.
        question: What is asked.
    """
    sessions, k, taken, candidates = question
    best, numbers = [], []
    total = sessions.new_full((len(sessions),), -torch.inf)
    chunk = max(k, _SCORES // max(1, len(sessions)))
    for rows in torch.split(vectors, chunk):
        scores = sessions @ rows.T
        if taken is not None:
            session, item, _ = _within(taken, first, len(rows))
            scores[session, item] = -torch.inf
        total = torch.logaddexp(total, scores.logsumexp(dim=1))
        values, items = best_of_scores(scores, min(k, len(rows)))
        best.append(values)
        numbers.append(items + first)
        first += len(rows)
    found, at = torch.cat(best, dim=1).topk(min(k, len(vectors)))
    listed = torch.cat(numbers, dim=1).gather(1, at)
    if candidates is None:
        return Answer(found, listed, total, None)
    session, item, here = _within(candidates, first - len(vectors), len(vectors))
    of_candidates = torch.full_like(candidates[0], -torch.inf, dtype=sessions.dtype)
    of_candidates[here] = (sessions[session] * vectors[item]).sum(dim=1)
    return Answer(found, listed, total, of_candidates)


def merge(answers: Sequence[Answer], k: int) -> Answer:
    """The answer of the whole catalogue by those of its parts.

    Args:
        answers: Those of the parts, to one question.
        k: How many of the best items the question asks for.

    Returns:
        The k best items of all, fewer of a smaller catalogue. The order of equal scores is open.
    """
    scores = torch.cat([each.scores for each in answers], dim=1)
    best, at = scores.topk(min(k, scores.size(1)))
    items = torch.cat([each.items for each in answers], dim=1).gather(1, at)
    total = torch.stack([each.total for each in answers]).logsumexp(dim=0)
    given = [each.of_candidates for each in answers if each.of_candidates is not None]
    return Answer(best, items, total, torch.stack(given).amax(dim=0) if given else None)


def candidate_pairs(shares: Sequence[Share]) -> Pairs:
    """The candidates of all components, as :class:`Question` takes them."""
    pairs = [share.candidates.pairs() for share in shares]
    return torch.cat([of[0] for of in pairs]), torch.cat([of[1] for of in pairs])


def mixed(whole: Answer, shares: Sequence[Share], k: int) -> tuple[Tensor, Tensor]:
    """The k best items of a mixture that starts from one softmax.

    An item that is no candidate keeps its place among such items. So the k best that are not taken
    and the candidates hold the k best of the mixture.

    Args:
        whole: The answer of the whole catalogue, to a question with the candidates that exclusive
            components take, and with :func:`candidate_pairs`.
        shares: The components' shares, the innermost first.
        k: How many, as in the question.

    Returns:
        Log-probabilities and items, best first, [B, k] both; a score of minus infinity means no
        item.
    """
    assert whole.of_candidates is not None, "the question has candidates"
    session, item = candidate_pairs(shares)
    size = 1 + int(torch.cat([whole.items.flatten(), item]).max())
    known, order = (session * size + item).sort()
    given = whole.of_candidates[order]

    def products(session: Tensor, item: Tensor) -> Tensor:
        return given[torch.searchsorted(known, session * size + item)]

    rows = torch.arange(len(whole.items), device=item.device)
    mixture = SparseMixture(whole.total, shares, products, size)
    return mixture.best((whole.scores, whole.items), rows, k)


def _within(pairs: Pairs, first: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sessions and items of the pairs with one of some items, numbered from these; where they are.

    The places are numbers of pairs, as the items of the result are numbers within the part.
    """
    session, item = pairs
    here = ((item >= first) & (item < first + count)).nonzero().squeeze(1)
    return session[here], item[here] - first, here
