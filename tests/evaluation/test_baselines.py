"""A model and baselines are evaluated on the same samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.evaluation.baselines import evaluate_with_baselines
from pyg_srgnn.evaluation.loop import evaluate, evaluate_rows
from pyg_srgnn.evaluation.rank_table import baselines_of, read_ranks
from pyg_srgnn.nn import SRGNN
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
