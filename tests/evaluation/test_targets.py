"""Metrics of warm, rare and cold targets against naive loops."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.data import SessionLoader, Sessions, Vocabulary
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.evaluation.baselines import Evaluation, evaluate_with_baselines
from pyg_srgnn.evaluation.loop import evaluate_rows
from pyg_srgnn.evaluation.metrics import ranks
from pyg_srgnn.evaluation.rank_table import read_ranks
from pyg_srgnn.evaluation.targets import TargetMetrics
from pyg_srgnn.nn import SRGNN
from tests.reference import metrics as reference
from tests.reference.names import random_sessions, randomise

WARM, ITEMS = 30, 36  # the last six items are cold
# Items 0 and 1 have more than 20 clicks, the others some or none.
TRAINING = [*random_sessions(40, WARM, seed=1, longest=6), *[[0, 1]] * 25]
TEST = random_sessions(60, ITEMS, seed=3, longest=9)
CLICKS = torch.bincount(Sessions.from_lists(TRAINING).items, minlength=ITEMS)
TARGETS = torch.tensor([item for session in TEST for item in session[1:]])
TIES = ("conservative", "median", "standard")
CONDITIONS = {
    "warm": lambda clicks: clicks >= 1,
    "rare": lambda clicks: 1 <= clicks <= 20,
    "cold": lambda clicks: clicks == 0,
}


class Clicks(SessionDataset):
    """A dataset that keeps its cold items."""

    name = "clicks"

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        training, test = Sessions.from_lists(TRAINING), Sessions.from_lists(TEST)
        return training, test, Vocabulary(range(ITEMS))


def by_loop(places: Tensor, targets: Tensor = TARGETS) -> dict[str, dict[str, float]]:
    """The metrics of each group by plain loops."""
    rows = list(zip(places.tolist(), targets.tolist(), strict=True))
    result: dict[str, dict[str, float]] = {}
    for name, holds in CONDITIONS.items():
        mine = [place for place, target in rows if holds(int(CLICKS[target]))]
        result[name] = {"samples": len(mine)}
        for metric, value in (
            ("hr", reference.hit),
            ("mrr", reference.reciprocal),
            ("ndcg", reference.ndcg),
        ):
            for k in (5, 10, 20) if mine else ():
                result[name][f"{metric}@{k}"] = sum(value(p, k) for p in mine) / len(mine)
    return result


def same(found: dict[str, dict[str, float]], expected: dict[str, dict[str, float]]) -> None:
    assert found.keys() == expected.keys()
    for name, metrics in expected.items():
        assert found[name] == pytest.approx(metrics, abs=1e-12), name


def measured(places: Tensor, targets: Tensor = TARGETS, size: int = 7) -> TargetMetrics:
    metrics = TargetMetrics(CLICKS)
    for rank, target in zip(places.split(size), targets.split(size), strict=True):
        metrics.update(rank, target)
    return metrics


def random_places(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 2 * ITEMS, (len(TARGETS),), generator=generator)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clicks, Clicks]:
    root = tmp_path_factory.mktemp("clicks")
    return Clicks(root, "trainval"), Clicks(root, "test")


def test_the_groups_of_this_test_differ() -> None:
    samples = {name: of["samples"] for name, of in by_loop(random_places()).items()}
    assert 20 < samples["rare"] < samples["warm"] and samples["cold"] > 20
    assert set(CLICKS.tolist()) >= {0, 1} and int(CLICKS.max()) > 20


@pytest.mark.parametrize("halves", [False, True])
def test_against_a_loop(halves: bool) -> None:
    places = random_places() / 2 + 0.5 if halves else random_places()  # as of ties=median
    same(measured(places).compute(), by_loop(places))


@pytest.mark.parametrize(("clicks", "groups"), [(0, "cold"), (1, "rare"), (20, "rare"), (21, "")])
def test_bounds_of_the_groups(clicks: int, groups: str) -> None:
    metrics = TargetMetrics(torch.tensor([clicks]))
    metrics.update(torch.tensor([3]), torch.tensor([0]))
    samples = {name: of["samples"] for name, of in metrics.compute().items()}
    assert samples == {"warm": clicks > 0, "rare": groups == "rare", "cold": groups == "cold"}


def test_a_group_without_samples_has_no_metrics() -> None:
    metrics = TargetMetrics(torch.tensor([5, 0]))
    metrics.update(torch.tensor([1, 2]), torch.tensor([0, 0]))
    found = metrics.compute()
    assert found["cold"] == {"samples": 0} and found["warm"]["mrr@20"] == 0.75


def test_neither_order_nor_batches_matter() -> None:
    places = random_places()
    expected = measured(places).compute()
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(1))
    for size in (1, 50, 1000):
        same(measured(places[order], TARGETS[order], size).compute(), expected)


def test_shares_of_several_devices_are_added() -> None:
    places, half = random_places(), len(TARGETS) // 3
    one = measured(places[:half], TARGETS[:half])
    one.merge_state(measured(places[half:], TARGETS[half:]))
    same(one.compute(), by_loop(places))


@pytest.mark.parametrize("ties", TIES)
def test_of_an_evaluation(parts: tuple[Clicks, Clicks], ties: str) -> None:
    """From the ranks that the evaluation has: each group, and all as warm and cold together."""
    model = randomise(SRGNN(ITEMS, 6), 0).eval()
    groups = TargetMetrics(CLICKS)
    whole, places = evaluate_rows(model, SessionLoader(parts[1], 11), ITEMS, ties, by_target=groups)
    found = groups.compute()
    same(found, by_loop(places))
    warm, cold = found["warm"], found["cold"]
    assert warm["samples"] + cold["samples"] == len(parts[1])
    for name in warm.keys() - {"samples"}:
        total = warm["samples"] * warm[name] + cold["samples"] * cold[name]
        assert whole[name] == pytest.approx(total / len(parts[1]), abs=1e-12)


def test_shares_of_an_evaluation_are_added(parts: tuple[Clicks, Clicks]) -> None:
    model = randomise(SRGNN(ITEMS, 6), 0).eval()
    whole = TargetMetrics(CLICKS)
    _, places = evaluate_rows(model, SessionLoader(parts[1], 11), ITEMS, by_target=whole)
    shares = [TargetMetrics(CLICKS) for _ in range(2)]
    for number, share in enumerate(shares):
        loader = SessionLoader(parts[1], 11, num_replicas=2, rank=number)
        evaluate_rows(model, loader, ITEMS, by_target=share)
    assert all(0 < int(share.rows[0]) < int(whole.rows[0]) for share in shares)
    shares[0].merge_state(shares[1])
    same(shares[0].compute(), by_loop(places))


class Hidden:
    """A model that gives cold items a score below or beside the least one of the others."""

    def __init__(self, score: float) -> None:
        self.score = score

    def scores(self, data: object) -> Tensor:
        scores = torch.arange(ITEMS).double().repeat(data.num_graphs, 1)  # type: ignore[attr-defined]
        scores[:, CLICKS == 0] = self.score
        return scores

    def to(self, device: object) -> Hidden:
        return self


@pytest.mark.parametrize("score", [-torch.inf, 0.0])
def test_a_cold_target_without_a_score_of_its_own_is_the_last(
    parts: tuple[Clicks, Clicks], tmp_path: Path, score: float
) -> None:
    path = tmp_path / "ranks.parquet"
    found = evaluate_with_baselines(
        Hidden(score), [], *of(parts), name="mine", ranks=path, progress=False
    )
    table = read_ranks(path)
    assert table["clicks"].to_list() == CLICKS[TARGETS].tolist()
    places = torch.tensor(table["rank"].to_list())[CLICKS[TARGETS] == 0]
    assert len(places) > 20 and set(places.tolist()) == {ITEMS}
    assert found.targets["mine"]["cold"]["hr@20"] == 0


@pytest.mark.parametrize("baseline", BASELINES)
def test_counts_place_cold_targets_behind_all_trained_items(
    parts: tuple[Clicks, Clicks], baseline: str
) -> None:
    """Unless the session holds the item already."""
    scorer = BASELINES[baseline].fit(parts[0].sessions, ITEMS)
    batch = parts[1].batch(range(len(parts[1])))
    inside = torch.tensor([t in s[:cut] for s in TEST for cut, t in enumerate(s) if cut])
    cold = (CLICKS[batch.y] == 0) & ~inside
    places = ranks(scorer.scores(batch), batch.y)[cold]
    assert len(places) > 20 and int(places.min()) > int((CLICKS > 0).sum())


def of(parts: tuple[Clicks, Clicks]) -> tuple[Clicks, SessionLoader]:
    return parts[0], SessionLoader(parts[1], 11)


def test_of_model_and_baselines(parts: tuple[Clicks, Clicks], tmp_path: Path) -> None:
    model, path = randomise(SRGNN(ITEMS, 6), 0).eval(), tmp_path / "ranks.parquet"
    found = evaluate_with_baselines(
        model, ["markov", "stan"], *of(parts), name="mine", ranks=path, progress=False
    )
    assert isinstance(found, Evaluation)
    assert list(found.targets) == list(found.metrics) == ["mine", "markov", "stan"]
    table = read_ranks(path)
    for name, targets in found.targets.items():
        places = torch.tensor(table["rank" if name == "mine" else f"rank_{name}"].to_list())
        same(targets, by_loop(places))
