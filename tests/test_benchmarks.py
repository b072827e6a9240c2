"""The benchmarks run, and compare what is equal. Their figures are not tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.dense import DenseSRGNN, dense_batch
from benchmarks.train_step import main
from pyg_srgnn.data import Sessions, session_graphs
from pyg_srgnn.nn import SRGNN


def test_train_step_prints_and_writes_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--steps=2", "--rounds=1", "--batch-size=8", "--channels=8", "--sessions=50"]
    main(["--root", str(tmp_path), "--json", str(tmp_path / "figures.json"), *size])
    result = json.loads((tmp_path / "figures.json").read_text())
    assert result["loss"]["ours"] == pytest.approx(result["loss"]["dense"], abs=1e-4)
    for task in ("train", "evaluate"):
        for side in ("ours", "dense"):
            assert result[task][side]["samples_per_second"] > 0
            assert 0 < result[task][side]["loader_share"] < 1
        assert result[task]["ratio"] > 0
    printed = capsys.readouterr().out
    assert "Synthetic" in printed
    assert "evaluate" in printed


def test_the_dense_opponent_computes_the_same() -> None:
    torch.manual_seed(0)
    prefixes, targets = [[1, 2, 3, 2, 4], [5], [6, 6], [2, 1, 2, 1, 2, 7]], [2, 7, 1, 3]
    flat = Sessions.from_lists([[item - 1 for item in prefix] for prefix in prefixes])
    batch = session_graphs(flat.items, flat.lengths, torch.tensor(targets) - 1)
    model = SRGNN(7, 6, reset_after=True, readout_bias=True).double()
    dense = DenseSRGNN(7, 6).double().copy_weights(model)
    items, adjacency, alias, mask, target = dense_batch(prefixes, targets)
    scores = dense(items, adjacency.double(), alias, mask)
    torch.testing.assert_close(scores, model.scores(batch), atol=1e-7, rtol=0)
    loss = dense.loss((items, adjacency.double(), alias, mask, target))
    torch.testing.assert_close(loss, model.loss(batch), atol=1e-7, rtol=0)
