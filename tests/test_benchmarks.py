"""The benchmarks run, and compare what is equal. Their figures are not tested."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path

import pytest
import torch

from benchmarks import click_log, prepare
from benchmarks.dense import DenseSRGNN, dense_batch
from benchmarks.train_step import main
from pyg_srgnn.data import Sessions, session_graphs
from pyg_srgnn.nn import SRGNN
from tests.reference import authors


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


def test_the_generated_log_is_yoochooses_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click_log, "_SESSIONS_AT_ONCE", 300)  # several chunks, the last one cut
    files = [tmp_path / name for name in ("one", "again", "other")]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        click_log.write(file, rows=5_001, seed=seed)
    one, again, other = (file.read_bytes() for file in files)
    assert one == again
    assert one != other
    line = re.compile(rb"\d+,2014-0[4-9]-\d\dT\d\d:\d\d:\d\d\.\d{3}Z,2145\d{5},(S|\d+)")
    assert all(line.fullmatch(row) for row in one.splitlines())

    rows = list(csv.reader(one.decode().splitlines()))
    assert len(rows) == 5_001
    runs = [(int(s), [row[1] for row in run]) for s, run in groupby(rows, itemgetter(0))]
    assert all(a < b for (a, _), (b, _) in pairwise(runs))  # ascending, each in one place
    assert all(times == sorted(times) for _, times in runs)
    assert not all(a[0] <= b[0] for (_, a), (_, b) in pairwise(runs))  # sessions are not in order
    assert any(a[0] < b[0] < a[-1] for (_, a), (_, b) in pairwise(runs))  # and overlap
    assert len(rows) / len(runs) == pytest.approx(33_003_944 / 9_249_729, rel=0.1)
    assert rows[-1][1][:7] == "2014-09"


def test_prepare_prints_and_writes_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Here and not in processes of their own, which load torch anew each time.
    monkeypatch.setattr(prepare, "in_child", lambda job, *args: job(*args))
    monkeypatch.setattr(prepare, "_GROWTH", 2)
    figures = tmp_path / "figures.json"
    prepare.main(
        ["--rows=20000", "--rounds=2", "--growth", f"--json={figures}", f"--keep={tmp_path}"]
    )
    result = json.loads(figures.read_text())
    assert result["same_result"] is True
    rates = result["rows_per_second"]
    assert result["ratio"] == pytest.approx(rates["pyg_srgnn"] / rates["plain"])
    for name in ("plain", "pyg_srgnn"):
        assert rates[name] == pytest.approx(20_000 / result["seconds"][name])
    for of in (result, result["growth"]):
        assert 10_000 < of["clicks"] < of["rows"]
        assert 4 < of["bytes_per_click"] < 100
        assert of["first_batch_seconds"] > 0
    assert result["growth"]["rows"] == 40_000
    grown = result["seconds"]["pyg_srgnn"] * 2 ** result["growth"]["exponent"]
    assert grown == pytest.approx(result["growth"]["seconds"])
    assert (tmp_path / "20000" / "yoochoose1_64" / "train.txt").stat().st_size > 1_000
    assert "the same sessions, click by click" in capsys.readouterr().out

    prepare.main(["--rows=20000", "--skip-reference", f"--json={figures}"])
    result = json.loads(figures.read_text())
    assert list(result["rows_per_second"]) == ["pyg_srgnn"]
    assert not {"ratio", "same_result", "growth"} & set(result)


def test_prepare_notices_other_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "in_child", lambda job, *args: job(*args))
    read = authors.read_yoochoose

    def one_click_lost(rows: Iterable[dict[str, str]]) -> authors.Clicks:
        clicks, dates = read(rows)
        max(clicks.values(), key=len).pop()
        return clicks, dates

    monkeypatch.setattr(authors, "read_yoochoose", one_click_lost)
    with pytest.raises(RuntimeError, match="different sessions"):
        prepare.main(["--rows=20000", f"--keep={tmp_path}"])


def test_a_job_of_prepare_has_a_process_of_its_own() -> None:
    assert prepare.in_child(os.getpid) != os.getpid()
