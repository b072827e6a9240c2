"""Metrics beyond accuracy against naive loops in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from pyg_srgnn.evaluation.beyond import BeyondMetrics
from pyg_srgnn.evaluation.metrics import ranks
from pyg_srgnn.functional.metrics import BEYOND, beyond, figure, title
from tests.reference import beyond as reference

KS = (1, 3, 5)
ITEMS = 30
VECTORS = 26  # the last items have none


def drawn(seed: int, rows: int = 40) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores without ties, skewed clicks with some of 0, targets, vectors with a row of zeros."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(rows, ITEMS, generator=generator) + torch.linspace(1, 0, ITEMS)
    clicks = (40 * torch.rand(ITEMS, generator=generator) ** 4).long()
    clicks[:3] = torch.tensor([17, 17, 0])  # equals, and one without clicks near the top
    targets = scores.topk(8).indices.gather(1, torch.randint(8, (rows, 1), generator=generator))[
        :, 0
    ]
    vectors = torch.randn(VECTORS, 5, generator=generator, dtype=torch.float64)
    vectors[4] = 0
    return scores, clicks, targets, vectors


def measured(seed: int, split: int, ks: tuple[int, ...] = KS) -> dict[str, float]:
    scores, clicks, targets, vectors = drawn(seed)
    metrics = BeyondMetrics(clicks, list(BEYOND), vectors, ks)
    for some, target in zip(scores.split(split), targets.split(split), strict=True):
        best = some.topk(min(max(ks), ITEMS)).indices
        metrics.update(best, ranks(some, target), target)
    return metrics.compute()


def expected(seed: int, ks: tuple[int, ...] = KS) -> Iterator[tuple[str, float]]:
    scores, clicks, target, vectors = (part.tolist() for part in drawn(seed))
    vectors += [[0.0] * 5] * (ITEMS - VECTORS)
    places = ranks(*drawn(seed)[:3:2]).tolist()
    for k in ks:
        lists = [sorted(range(ITEMS), key=lambda i, row=row: -row[i])[:k] for row in scores]
        yield f"novelty@{k}", reference.novelty(lists, clicks)
        yield f"diversity@{k}", reference.diversity(lists, vectors)
        yield f"gini@{k}", reference.gini(lists, ITEMS)
        yield f"long_tail@{k}", reference.long_tail(lists, clicks)
        yield f"popularity_bias@{k}", reference.popularity_bias(lists, clicks, target)
        yield f"serendipity@{k}", reference.serendipity(places, clicks, target, k)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("split", [1, 7, 40])
def test_against_loops(seed: int, split: int) -> None:
    found, wanted = measured(seed, split), dict(expected(seed))
    assert found == pytest.approx(wanted, abs=1e-12)
    for name, value in wanted.items():
        assert value != 0 or name == "diversity@1", f"the case says nothing of {name}"


def test_lists_longer_than_the_catalogue() -> None:
    assert measured(0, 40, (5, 100)) == pytest.approx(dict(expected(0, (5, 100))), abs=1e-12)


def test_extremes() -> None:
    """All lists the same, and every item equally often."""
    clicks = torch.full((8,), 4)
    metrics = BeyondMetrics(clicks, ["gini", "novelty", "serendipity", "diversity"],
                            torch.ones(8, 2), (2,))  # fmt: skip
    metrics.update(torch.arange(8).view(4, 2), torch.ones(4), torch.arange(0, 8, 2))
    # Items 0 and 1 are the two that popularity recommends, so the first target is no surprise.
    assert metrics.compute() == pytest.approx(
        {"gini@2": 0, "novelty@2": 3, "serendipity@2": 0.75, "diversity@2": 0}, abs=1e-12
    )
    metrics.reset()
    metrics.update(torch.tensor([[7, 6]]).expand(4, 2), torch.full((4,), 3), torch.full((4,), 7))
    assert metrics.compute()["gini@2"] == pytest.approx(0.75)
    assert metrics.compute()["serendipity@2"] == 0


def test_no_target_has_a_click() -> None:
    metrics = BeyondMetrics(torch.tensor([3, 0]), ["popularity_bias", "novelty"], ks=(1,))
    metrics.update(torch.tensor([[0]]), torch.tensor([2]), torch.tensor([1]))
    assert metrics.compute() == {"novelty@1": 0}


def test_arguments_that_are_wrong() -> None:
    with pytest.raises(ValueError, match=r"'names' must be a list of novelty, .*'surprise'"):
        BeyondMetrics(torch.ones(3), ["surprise"])
    with pytest.raises(ValueError, match="'vectors' must be given for the diversity"):
        BeyondMetrics(torch.ones(3), ["diversity"])


def test_names_and_figures_for_people() -> None:
    assert title("novelty@20") == "novelty@20 (bits)" and title("gini@5") == "Gini@5"
    assert figure("novelty@20", 7.5) == "7.50" and figure("gini@20", 0.5) == "50.00"
    assert beyond(["hr@20", "gini@20", "gini@5", "novelty@20"]) == ["novelty@20", "gini@20"]
    assert all(math.isfinite(value) for value in measured(1, 40).values())
