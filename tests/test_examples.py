"""The examples run as they stand, and show what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyg_srgnn.reports.leaderboard import write_leaderboard
from tests.reports.test_leaderboard import run as finished_run

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str, processes: int = 0) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    together = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    launch = together if processes else []
    command = [sys.executable, *launch, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(printed: str) -> dict[str, list[float]]:
    """The lines that end in figures, by the words before them."""
    found = re.findall(r"^([A-Za-z][^\d\n]*?) +(\d[\d. ]*)%?$", printed, re.MULTILINE)
    return {name: [float(figure) for figure in figures.split()] for name, figures in found}


def test_node_classification_needs_both_directions() -> None:
    accuracy = rows(run("node_classification.py", "--nodes", "800", "--epochs", "40"))
    without = accuracy["MLP, no edges"][0]
    one = accuracy["SAGEConv, one direction"][0]
    both = accuracy["SRGNNConv, both directions"][0]
    assert without < 35 < one < 60  # chance is 25 %, the most that one direction tells 50 %
    assert both > 85


def test_session_rec_in_pygs_style(tmp_path: Path) -> None:
    small = ("--root", str(tmp_path), "--sessions", "1000", "--epochs", "2", "--lr", "0.01")
    printed = run("session_rec.py", *small)
    hr, mrr = (
        float(value) for value in re.findall(r"Test HR@20: (\S+), MRR@20: (\S+)", printed)[0]
    )
    assert printed.count("Epoch: ") == 2 and 0.2 < hr < 0.9 and 0.05 < mrr < 0.4
    assert len((EXAMPLES / "session_rec.py").read_text(encoding="utf-8").splitlines()) < 150


def test_training_loop_beats_popularity(tmp_path: Path) -> None:
    small = ("--sessions", "2000", "--epochs", "3")
    printed = run("training_loop.py", "--root", str(tmp_path), *small)
    assert len(re.findall(r"^epoch \d: loss", printed, re.MULTILINE)) == 3
    metrics = rows(printed)
    assert list(metrics) == ["popularity", "markov", "SR-GNN", "optimum"]
    for popularity, model, optimum in zip(
        metrics["popularity"], metrics["SR-GNN"], metrics["optimum"], strict=True
    ):
        assert popularity + 2 < model < optimum


def test_a_sweeps_plots(tmp_path: Path) -> None:
    for lr, seed, value in ((0.1, 0, 0.5), (0.1, 1, 0.52), (0.2, 0, 0.6)):
        finished_run(tmp_path, f"lr={lr},seed={seed}", lr, seed, value, epochs=(value - 0.1, value))
    finished_run(tmp_path, "broken", 0.3, 0, error="optimizer.lr must be less")
    write_leaderboard(tmp_path)
    printed = run("sweep_plots.py", str(tmp_path))
    picture = Path(printed.strip())
    assert picture.parent == tmp_path
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 20_000


def test_a_sweep_of_one_epoch_has_points_and_a_legend(tmp_path: Path) -> None:
    """Of the picture itself: the middle panel has the colours of both configurations."""
    for lr, value in ((0.1, 0.5), (0.2, 0.6)):
        finished_run(tmp_path, f"lr={lr},seed=0", lr, 0, value, epochs=(value,))
    write_leaderboard(tmp_path)
    module = tmp_path / "figure.py"
    module.write_text(
        "import runpy, sys\n"
        f"sys.argv = ['sweep_plots.py', {str(tmp_path)!r}]\n"
        f"names = runpy.run_path({str(EXAMPLES / 'sweep_plots.py')!r})\n"
        "curves = names['curves']\n"
        "print([line.get_marker() for line in curves.lines])\n"
        "print([text.get_text() for text in curves.get_legend().get_texts()])\n"
    )
    printed = subprocess.run(
        [sys.executable, str(module)], capture_output=True, text=True, timeout=600, check=True
    ).stdout
    assert printed.splitlines()[1:] == ["['.', '.']", "['0.2', '0.1']"]


def test_a_table_in_parts_trains_as_one(tmp_path: Path) -> None:
    """In float64, where no more than rounding is left of a difference; of parts of 151 and 150."""
    size = ("--sessions", "800", "--steps", "8", "--dtype", "float64")
    printed = run("sharded_table.py", "--root", str(tmp_path), *size, processes=2)
    differences = re.findall(r"(losses|weights) differ by at most (\S+)", printed)
    assert [name for name, _ in differences] == ["losses", "weights"]
    assert all(float(most) < 1e-10 for _, most in differences)
    losses = re.findall(r"loss after 8 steps: (\S+) whole, (\S+) in parts", printed)[0]
    assert losses[0] == losses[1] and 3 < float(losses[0]) < 6
    assert re.search(r"^0 of \d{4} ranks differ", printed, re.MULTILINE)
    whole, in_parts = re.findall(r"HR@20: (\S+) whole, (\S+) in parts", printed)[0]
    assert float(whole) == pytest.approx(float(in_parts), abs=1e-3)
    held = re.findall(r"table ([\d,]+) bytes, gradient ([\d,]+), moments ([\d,]+)", printed)
    row = 100 * 8
    rows = [301, 301, 151, 150]
    assert [[int(each.replace(",", "")) for each in of] for of in held] == [
        [n * row, n * row, 2 * n * row] for n in rows
    ]


def test_a_catalogue_in_parts_is_served_as_one(tmp_path: Path) -> None:
    printed = run("sharded_serving.py", "--root", str(tmp_path), "--steps=10", processes=3)
    assert "20 best of 301 items in 2 parts" in printed
    assert float(re.findall(r"differ by at most (\S+)", printed)[0]) < 1e-4
    assert re.search(r"^0 of \d{5} listed items", printed, re.MULTILINE)
