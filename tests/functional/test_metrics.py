"""The registry of metrics: one line in it is a metric everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.evaluation.metrics import RankingMetrics
from pyg_srgnn.functional.metrics import (
    KS,
    METRICS,
    RankingMetric,
    by_importance,
    columns,
    monitored,
    title,
)
from pyg_srgnn.reports import run_summary
from pyg_srgnn.reports.ranking import Leaderboard
from pyg_srgnn.runs.result import RunResult
from pyg_srgnn.training import train
from tests.tiny import tiny_config


def precision(ranks: Any, k: int) -> Any:
    """A toy metric."""
    return METRICS["hr"].value(ranks, k) / k  # type: ignore[misc]


def test_a_metric_is_one_function_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "precision", RankingMetric("P", precision, columns=(5,)))
    names = [f"precision@{k}" for k in KS]

    metrics = RankingMetrics(3)
    metrics.update(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([1]))
    assert [metrics.compute()[name] for name in names] == [1 / k for k in KS]

    config = tiny_config(tmp_path, "monitor=precision@10", "baselines=[popularity]")
    validate_run(config)
    train(config, tmp_path / "run")
    found = RunResult.read(tmp_path / "run")
    assert found.valid and found.test and found.optimum
    every = [found.valid, found.test, found.baselines["popularity"]["test"]]
    for part in [*every, found.optimum["test"]]:
        for k in KS:
            assert part[f"precision@{k}"] == pytest.approx(part[f"hr@{k}"] / k)

    head = run_summary(found, "precision@10").splitlines()[1].split()
    assert "precision@5" in head and "precision@10" in head
    board = Leaderboard.read(tmp_path / "run")
    assert board.metric == "precision@10"
    assert board.groups[0].valid(board.metric).mean == 100 * found.valid["precision@10"]  # type: ignore[union-attr]


def test_a_metric_that_may_not_be_monitored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "toy", RankingMetric("toy", precision, monitored=False))
    assert "toy@5" in columns() and "toy@5" not in monitored()
    with pytest.raises(ValueError, match=r"monitor=.*toy@5"):
        validate_run(tiny_config(tmp_path, "monitor=toy@5"))


def test_tensors_and_arrays_have_the_same_values() -> None:
    ranks = np.array([1, 2, 5, 6, 20, 21, 2**31 - 1], dtype=np.int32)
    for metric in METRICS.values():
        for k in KS if metric.value else ():
            assert metric.value is not None
            array, tensor = metric.value(ranks, k), metric.value(torch.from_numpy(ranks), k)
            assert array.dtype == np.float64 and tensor.dtype == torch.float64
            assert array == pytest.approx(tensor.numpy(), rel=1e-15)


def test_names_of_the_metrics() -> None:
    assert columns() == [
        *("hr@5", "hr@10", "hr@20", "mrr@5", "mrr@10", "mrr@20", "ndcg@20", "coverage@20"),
    ]
    assert by_importance(columns()) == [
        *("hr@20", "mrr@20", "hr@10", "mrr@10", "hr@5", "mrr@5", "ndcg@20", "coverage@20"),
    ]
    assert [title(name) for name in ("hr@5", "coverage@20", "tied")] == [
        "HR@5",
        "coverage@20",
        "tied",
    ]
