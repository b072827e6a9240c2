"""Metrics against naive loops, ties included."""

import copy
import math
import pickle

import pytest
import torch

from pyg_srgnn.evaluation import metrics as metrics_module
from pyg_srgnn.evaluation.metrics import RankingMetrics, ranks
from pyg_srgnn.functional.metrics import hit_rate, ndcg, reciprocal_rank
from tests.reference import metrics as reference

TIES = ["conservative", "median", "standard"]
KS = (1, 3, 5)


def coarse(rows=40, items=12, seed=0):
    """Scores with few levels, so that ties are common; some are negative."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-3, 3, (rows, items), generator=generator).float()
    return scores, torch.randint(items, (rows,), generator=generator)


def distinct(rows=40, items=12, seed=0):
    """Scores without a tie in any row, a shuffle of ..., -1, 0, 1, ..."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(items, generator=generator) for _ in range(rows)])
    return order.float() - items // 2, torch.randint(items, (rows,), generator=generator)


def measured(scores, target, ks=KS, ties="conservative", split=None):
    metrics = RankingMetrics(scores.shape[1], ks=ks, ties=ties)
    size = split or len(target)
    for s, t in zip(scores.split(size), target.split(size), strict=True):
        metrics.update(s, t)
    return {k: float(v) for k, v in metrics.compute().items()}


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("make", [coarse, distinct])
def test_ranks_against_loops(make, ties):
    scores, target = make()
    pairs = zip(scores.tolist(), target.tolist(), strict=True)
    expected = [reference.rank(row, t, ties) for row, t in pairs]
    result = ranks(scores, target, ties=ties)
    assert result.shape == (len(target),)
    assert result.tolist() == expected


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_counts_are_whole_in_any_type(kind, monkeypatch):
    """Rows that are counted together, and a catalogue that float32 cannot count."""
    scores, target = coarse(rows=50)
    expected = [
        reference.rank(row, t, "median")
        for row, t in zip(scores.tolist(), target.tolist(), strict=True)
    ]
    for limit, value in (("_BLOCK", 30), ("_COUNTED", 11)):
        monkeypatch.setattr(metrics_module, limit, value)
        assert ranks(scores.to(kind), target, "median").tolist() == expected


def test_ranks_count_ties_ahead_by_default():
    scores = torch.tensor([[1.0, 2.0, 1.0, 1.0, 0.0]])
    target = torch.tensor([0])
    assert ranks(scores, target).tolist() == [4]
    assert ranks(scores, target, ties="median").tolist() == [3]
    assert ranks(scores, target, ties="standard").tolist() == [2]


@pytest.mark.parametrize("k", [1, 2, 5, 12])
@pytest.mark.parametrize("ties", TIES)
def test_rows_against_loops(ties, k):
    places = ranks(*coarse(), ties=ties)
    table = [
        (hit_rate, reference.hit),
        (reciprocal_rank, reference.reciprocal),
        (ndcg, reference.ndcg),
    ]
    for function, naive in table:
        result = function(places, k)
        assert result.dtype == torch.float64
        assert result.shape == places.shape
        assert result.tolist() == pytest.approx([naive(p, k) for p in places.tolist()], abs=1e-12)


def test_zero_beyond_k():
    places = torch.tensor([1, 5, 6, 100])
    assert hit_rate(places, 5).tolist() == [1, 1, 0, 0]
    assert reciprocal_rank(places, 5).tolist() == pytest.approx([1, 0.2, 0, 0], abs=1e-15)
    gains = [1, 1 / math.log2(6), 0, 0]
    assert ndcg(places, 5).tolist() == pytest.approx(gains, abs=1e-15)


@pytest.mark.parametrize("ties", TIES)
def test_summary_against_loops(ties):
    scores, target = coarse(seed=3)
    result = measured(scores, target, ties=ties)
    expected = reference.summary(scores.tolist(), target.tolist(), KS, ties)
    assert set(result) == set(expected)
    for key in expected:
        if not key.startswith("coverage"):  # among tied items a list may hold either
            assert result[key] == pytest.approx(expected[key], abs=1e-9), key


def test_coverage_against_loops():
    scores, target = distinct(rows=3, items=40)
    result = measured(scores, target)
    expected = reference.summary(scores.tolist(), target.tolist(), KS)
    assert result == pytest.approx(expected, abs=1e-9)
    assert expected["coverage@1"] <= 3 / 40 < expected["coverage@5"]


def test_default_cutoffs():
    scores, target = distinct(items=40)
    names = {f"{m}@{k}" for m in ("hr", "mrr", "ndcg", "coverage") for k in (5, 10, 20)}
    metrics = RankingMetrics(40)
    metrics.update(scores, target)
    assert set(metrics.compute()) == names | {"tied"}


@pytest.mark.parametrize(("ties", "hr"), [("conservative", 0), ("standard", 1), ("median", 0)])
def test_a_constant_model(ties, hr):
    """Scores nothing under `conservative`; under `standard` everything, which is why it is not
    the default; under `median` the target stands in the middle of the 40 items."""
    result = measured(torch.zeros(10, 40), torch.arange(10), ties=ties)
    assert result["hr@5"] == hr
    assert result["tied"] == 1
    assert ranks(torch.zeros(1, 41), torch.tensor([7]), ties="median").tolist() == [21]


def test_share_of_tied_rows():
    scores = torch.tensor([[3.0, 3, 1], [3, 2, 1], [1, 1, 9], [0, 0, 0]])
    target = torch.tensor([0, 1, 2, 1])
    assert measured(scores, target, ks=(1,))["tied"] == 0.5


def test_order_of_scores_is_all_that_matters():
    scores, target = coarse()
    for shifted in (scores - 100, scores + 100, scores * 1e-3):
        assert torch.equal(ranks(shifted, target), ranks(scores, target))


def test_a_target_without_a_score_is_a_miss():
    scores = torch.tensor([[0.0, math.nan, 1.0], [math.nan] * 3])
    for ties in TIES:
        places = ranks(scores, torch.tensor([1, 0]), ties=ties)
        for metric in (hit_rate, reciprocal_rank, ndcg):
            assert metric(places, 1).tolist() == [0, 0]
            assert metric(places, 3).tolist() == [0, 0]
    result = measured(scores, torch.tensor([1, 0]), ks=(1, 3))
    assert result["hr@3"] == result["mrr@3"] == result["ndcg@3"] == 0


def test_infinite_scores_are_ordered():
    scores = torch.tensor([[math.inf, 0.0, -math.inf], [-math.inf, 0.0, -math.inf]])
    assert ranks(scores, torch.tensor([0, 0])).tolist() == [1, 3]
    assert ranks(scores, torch.tensor([2, 2])).tolist() == [3, 3]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    scores, target = coarse()
    assert torch.equal(ranks(scores.to(dtype), target), ranks(scores, target))


def test_more_places_than_items():
    scores, target = distinct(rows=6, items=4)
    result = measured(scores, target, ks=(20,))
    assert result["hr@20"] == 1
    assert result["coverage@20"] == 1


@pytest.mark.parametrize("split", [1, 7, 13, 40])
def test_batch_size_does_not_matter(split):
    scores, target = distinct(items=30, seed=5)
    whole = measured(scores, target, ks=(5, 20))
    assert measured(scores, target, ks=(5, 20), split=split) == pytest.approx(whole, abs=1e-12)


def test_order_of_rows_does_not_matter():
    scores, target = distinct(items=30, seed=5)
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(0))
    shuffled = measured(scores[order], target[order], split=7)
    assert shuffled == pytest.approx(measured(scores, target, split=7), abs=1e-12)


def test_many_rows_keep_their_precision():
    """100,000 rows of which one misses: float32 sums of ratios would not show it exactly."""
    metrics = RankingMetrics(3, ks=(1, 3))
    hit = torch.tensor([[1.0, 0.5, 0.0]]).expand(1000, 3)
    for _ in range(100):
        metrics.update(hit, torch.ones(1000, dtype=torch.int64))
    metrics.update(hit[:1], torch.tensor([2]))
    result = metrics.compute()
    assert float(result["mrr@3"]) == pytest.approx((50_000 + 1 / 3) / 100_001, abs=1e-10)


def test_reset_and_copies():
    scores, target = distinct()
    metrics = RankingMetrics(12, ks=(5,))
    metrics.update(scores, target)
    first = {k: float(v) for k, v in metrics.compute().items()}
    for same in (pickle.loads(pickle.dumps(metrics)), copy.deepcopy(metrics)):
        assert {k: float(v) for k, v in same.compute().items()} == first
    metrics.reset()
    metrics.update(scores[:1], target[:1])
    again = {k: float(v) for k, v in metrics.compute().items()}
    assert again == measured(scores[:1], target[:1], ks=(5,))


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        (((3, 9), (3,)), r"'scores' must be a tensor \[B, 10\] \(got \[3, 9\]\)"),
        (((3, 10), (3, 1)), r"'target' must be a tensor \[B\] \(got \[3, 1\]\)"),
        (((3, 10), (2,)), r"'scores' must be a tensor \[B, 10\] \(got \[3, 10\]\)"),
    ],
)
def test_shapes_that_do_not_fit(shapes, told):
    scores, target = (torch.zeros(shape, dtype=torch.long) for shape in shapes)
    with pytest.raises(ValueError, match=told):
        RankingMetrics(10).update(scores, target)
    with pytest.raises(ValueError, match=r"'target' must be a tensor \[B\] \(got 'NoneType'\)"):
        RankingMetrics(10).update(torch.zeros(3, 10))
    with pytest.raises(ValueError, match=r"'scores' .*\(got 'ndarray'\)"):
        RankingMetrics(10).update(torch.zeros(3, 10).numpy(), torch.zeros(3))


@pytest.mark.parametrize("ks", [(), (0, 5), (5, -1), (1.5,), 10, (True,)])
def test_cutoffs_that_cannot_be(ks):
    with pytest.raises(ValueError, match="ks"):
        RankingMetrics(10, ks=ks)


def test_unknown_ties_are_refused():
    with pytest.raises(ValueError, match="optimistic"):
        ranks(torch.zeros(1, 2), torch.tensor([0]), ties="optimistic")
    with pytest.raises(ValueError, match="optimistic"):
        RankingMetrics(2, ties="optimistic")
