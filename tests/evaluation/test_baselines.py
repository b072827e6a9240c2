"""A model and baselines are evaluated on the same samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.evaluation.baselines import evaluate_with_baselines
from pyg_srgnn.evaluation.loop import evaluate, evaluate_rows
from pyg_srgnn.evaluation.rank_table import baselines_of, read_ranks
from pyg_srgnn.functional.metrics import BEYOND
from pyg_srgnn.nn import SRGNN
from tests.reference import beyond as reference
from tests.reference.names import randomise
from tests.tiny import tiny_config

NAMES = ["markov", "popularity"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    dataset = tiny_config(tmp_path_factory.mktemp("datasets")).dataset
    return open_dataset(dataset, "trainval"), open_dataset(dataset, "test")


def test_each_has_its_own_metrics_and_ranks(parts: tuple[Any, Any], tmp_path: Path) -> None:
    training, test = parts
    model = randomise(SRGNN(test.num_items, 6), 0).eval()
    loader, path = SessionLoader(test, 50), tmp_path / "ranks.parquet"
    found = evaluate_with_baselines(
        model, NAMES, training, loader, "median", name="mine", ranks=path, progress=False
    )
    assert list(found.metrics) == list(found.targets) == ["mine", *NAMES]
    table = read_ranks(path)
    assert baselines_of(table) == NAMES
    for name, metrics in found.metrics.items():
        scorer = model
        if name in BASELINES:
            scorer = BASELINES[name].fit(training.sessions, training.num_items)
        expected, ranks = evaluate_rows(scorer, loader, test.num_items, "median")
        assert metrics == expected
        assert table["rank" if name == "mine" else f"rank_{name}"].to_list() == ranks.tolist()


def test_baselines_alone_write_no_ranks(parts: tuple[Any, Any], tmp_path: Path) -> None:
    training, test = parts
    loader, path = SessionLoader(test, 50), tmp_path / "ranks.parquet"
    found = evaluate_with_baselines(None, ["markov"], training, loader, ranks=path, progress=False)
    markov = BASELINES["markov"].fit(training.sessions, training.num_items)
    assert found.metrics == {"markov": evaluate(markov, loader, test.num_items)}
    assert list(found.targets) == ["markov"]
    assert not path.exists()


def test_metrics_beyond_accuracy_of_all_scorers(parts: tuple[Any, Any]) -> None:
    """Those of the lists that each of them recommends, by the clicks in training alone."""
    training, test = parts
    model = randomise(SRGNN(test.num_items, 6), 0).eval()
    found = evaluate_with_baselines(
        model, NAMES, training, SessionLoader(test, 50), progress=False, beyond=list(BEYOND)
    ).metrics
    clicks = torch.bincount(training.sessions.items, minlength=test.num_items).tolist()
    vectors = model.item_vectors().double().tolist()
    assert list(found) == ["model", *NAMES]
    for name, metrics in found.items():
        scorer = model if name == "model" else BASELINES[name].fit(training.sessions, len(clicks))
        with torch.inference_mode():
            batch = test.batch(range(len(test)))
            lists = scorer.scores(batch).topk(20).indices.tolist()
        assert metrics["novelty@20"] == pytest.approx(reference.novelty(lists, clicks))
        assert metrics["gini@20"] == pytest.approx(reference.gini(lists, len(clicks)))
        assert metrics["long_tail@20"] == pytest.approx(reference.long_tail(lists, clicks))
        assert metrics["diversity@20"] == pytest.approx(reference.diversity(lists, vectors))
        assert metrics["popularity_bias@20"] == pytest.approx(
            reference.popularity_bias(lists, clicks, batch.y.tolist())
        )
    # The most popular items are recommended to all, and surprise nobody.
    assert found["popularity"]["serendipity@20"] == 0 < found["model"]["serendipity@20"]
    assert found["popularity"]["gini@20"] == pytest.approx(1 - 20 / len(clicks))
    assert found["popularity"]["popularity_bias@5"] > found["markov"]["popularity_bias@5"] > 0


def test_a_baseline_alone_has_no_vectors(parts: tuple[Any, Any]) -> None:
    training, test = parts
    with pytest.raises(ValueError, match=r"metrics=\[diversity\]: .* which a baseline lacks"):
        evaluate_with_baselines(
            None, NAMES, training, SessionLoader(test, 50), beyond=["diversity"]
        )
