"""The catalogue in parts: the same best items, the same sums, the same mixture as in one place."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from pyg_srgnn.functional import sharded
from pyg_srgnn.functional.lookups import Candidates
from pyg_srgnn.functional.mixture import Share, Softmaxes, log_mixture
from pyg_srgnn.functional.sharded import Answer, Question, answer_of, candidate_pairs, merge, mixed
from tests.functional.test_mixture import ITEMS as ITEMS_MIXED
from tests.functional.test_mixture import SESSIONS, make

ITEMS, K = 60, 20
CUTS = [(60,), (30, 60), (7, 8, 41, 60)]  # parts, some smaller than K


def ask(vectors: Tensor, cuts: tuple[int, ...], question: Question) -> Answer:
    parts = [answer_of(vectors[a:b], a, question) for a, b in pairwise((0, *cuts))]
    return merge(parts, question.k)


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("held", [1, 2**22], ids=["in chunks", "at once"])
def test_the_best_and_the_sum_of_parts(
    cuts: tuple[int, ...], held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded, "_SCORES", held)
    generator = torch.Generator().manual_seed(0)
    sessions = torch.randn(5, 8, generator=generator, dtype=torch.float64)
    vectors = torch.randn(ITEMS, 8, generator=generator, dtype=torch.float64)
    scores = sessions @ vectors.T
    found = ask(vectors, cuts, Question(sessions, K))
    best = scores.topk(K)
    assert torch.equal(found.items, best.indices)
    torch.testing.assert_close(found.scores, best.values)
    torch.testing.assert_close(found.total, scores.logsumexp(dim=1))
    assert found.of_candidates is None


@pytest.mark.parametrize("cuts", CUTS)
def test_ties_are_distinct_items_with_the_scores_of_one_place(cuts: tuple[int, ...]) -> None:
    """Whole numbers, so that many scores are equal, to the last bit."""
    generator = torch.Generator().manual_seed(1)
    sessions = torch.randint(-1, 2, (9, 3), generator=generator).float()
    vectors = torch.randint(-1, 2, (ITEMS, 3), generator=generator).float()
    scores = sessions @ vectors.T
    found = ask(vectors, cuts, Question(sessions, K))
    assert torch.equal(found.scores, scores.topk(K).values)
    assert torch.equal(scores.gather(1, found.items), found.scores)
    assert all(len(set(row)) == K for row in found.items.tolist())


@pytest.mark.parametrize("cuts", CUTS)
def test_what_is_taken_and_what_is_asked_for(cuts: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(2)
    sessions = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    vectors = torch.randn(ITEMS, 4, generator=generator, dtype=torch.float64)
    scores = sessions @ vectors.T
    taken = torch.tensor([0, 0, 1]), torch.tensor([3, 59, 7])
    asked = torch.tensor([1, 0, 1, 0]), torch.tensor([7, 40, 0, 59])
    found = ask(vectors, cuts, Question(sessions, K, taken, asked))
    assert found.of_candidates is not None
    torch.testing.assert_close(found.of_candidates, scores[asked])
    scores[taken] = -torch.inf
    assert torch.equal(found.items, scores.topk(K).indices)
    torch.testing.assert_close(found.total, scores.logsumexp(dim=1))


@pytest.mark.parametrize("cuts", [(9,), (2, 9), (1, 3, 4, 9)])
@pytest.mark.parametrize("kinds", [["exclusive"], ["counted"], ["learned", "counted", "exclusive"]])
@pytest.mark.parametrize("scale", [1, 40], ids=["level", "steep"])
def test_the_mixture_of_the_parts(cuts: tuple[int, ...], kinds: list[str], scale: float) -> None:
    """The k best log-probabilities are those of all items; also where a few items have it all."""
    generator = torch.Generator().manual_seed(6)
    sessions = scale * torch.randn(SESSIONS, 4, generator=generator, dtype=torch.float64)
    vectors = torch.randn(ITEMS_MIXED, 4, generator=generator, dtype=torch.float64)
    shares = make(kinds, seed=7)
    shares = [
        Share(each.candidates, each.log_share, each.gate.detach(), each.exclusive)
        for each in shares
    ]
    logs, shift = log_mixture(Softmaxes([sessions @ vectors.T], []), shares)
    exclusive = [each.candidates.pairs() for each in shares if each.exclusive]
    taken = exclusive[0] if exclusive else None
    for k in (1, 4, ITEMS_MIXED):
        question = Question(sessions, k, taken, candidate_pairs(shares))
        values, items = mixed(ask(vectors, cuts, question), shares, k)
        expected = (logs + shift).topk(k).values
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-9)
        listed = (logs + shift).gather(1, items)
        there = values > -torch.inf
        torch.testing.assert_close(listed[there], values[there], rtol=0, atol=1e-9)
        for row, known in zip(items.tolist(), there.tolist(), strict=True):
            found = [item for item, here in zip(row, known, strict=True) if here]
            assert len(set(found)) == len(found)


def test_a_session_that_holds_the_whole_catalogue() -> None:
    """Nothing is left for the softmax, in any part."""
    sessions, vectors = torch.ones(1, 2), torch.arange(6.0).view(3, 2)
    every = torch.zeros(3, dtype=torch.long), torch.arange(3)
    log_share = torch.tensor([0.2, 0.5, 0.3]).log()
    shares = [Share(Candidates(*every), log_share, torch.tensor([2.0]), True)]
    logs, shift = log_mixture(Softmaxes([sessions @ vectors.T], []), shares)
    found = ask(vectors, (1, 3), Question(sessions, 3, every, candidate_pairs(shares)))
    values, items = mixed(found, shares, 3)
    assert items.tolist() == [[1, 2, 0]]
    torch.testing.assert_close(values, (logs + shift).topk(3).values)
