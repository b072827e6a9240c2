"""The k best: the same scores as a full sort, for every layout, chunk and tie."""

import pytest
import torch

from pyg_srgnn.functional import topk


def naive(scores, k):
    return [sorted(row, reverse=True)[:k] for row in scores.tolist()]


@pytest.mark.parametrize("items", [1, 20, 63, 64, 65, 1000, 5130])
@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_scores_of_a_full_sort(items, k, transposed):
    k = min(k, items)
    generator = torch.Generator().manual_seed(items)
    scores = torch.randn(7, items, generator=generator)
    given = scores.T.contiguous().T if transposed else scores
    values, indices = topk.best_of_scores(given, k)
    assert values.tolist() == naive(scores, k)
    assert scores.gather(1, indices).tolist() == values.tolist()
    assert all(len(set(row)) == k for row in indices.tolist())


@pytest.mark.parametrize("place", [0, 63, 64, 5119, 5120, 5129])
def test_all_of_the_best_in_one_place(place):
    """The best are side by side, across groups and in the rest behind the last whole group."""
    scores = torch.zeros(2, 5130)
    at = [(place + i) % 5130 for i in range(5)]
    scores[:, at] = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0])
    values, indices = topk.best_of_scores(scores, 5)
    assert values.tolist() == [[5, 4, 3, 2, 1]] * 2
    assert indices.tolist() == [at] * 2


def test_ties_are_distinct_items():
    values, indices = topk.best_of_scores(torch.ones(3, 5000), 20)
    assert (values == 1).all()
    assert all(len(set(row)) == 20 for row in indices.tolist())


@pytest.mark.parametrize("held", [1, 10, 64, 700, 10**6])
@pytest.mark.parametrize("k", [1, 20, 900])
def test_products_in_chunks(held, k, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    sessions = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    items = torch.randn(900, 8, generator=generator, dtype=torch.float64)
    monkeypatch.setattr(topk, "_SCORES", held)
    values, indices = topk.best_of_products(sessions, items, k)
    expected = (sessions @ items.T).topk(k)
    torch.testing.assert_close(values, expected.values)
    assert indices.tolist() == expected.indices.tolist()


def test_no_more_than_a_chunk_of_scores_is_held(monkeypatch):
    sessions, items = torch.randn(4, 2), torch.randn(10_000, 2)
    seen = []
    whole = topk.best_of_scores
    monkeypatch.setattr(topk, "_SCORES", 4000)
    monkeypatch.setattr(
        topk, "best_of_scores", lambda scores, k: seen.append(scores.numel()) or whole(scores, k)
    )
    topk.best_of_products(sessions, items, 20)
    assert max(seen) <= 4000
    assert sum(seen) == 40_000
