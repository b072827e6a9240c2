"""The example runs as it stands, on a finished run and a tiny language model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyg_srgnn.checkpoint import Checkpoint
from tests.test_examples import rows, run

pytestmark = pytest.mark.slow


def test_align_language_model(tiny_run, tiny, tmp_path: Path) -> None:
    ids = Checkpoint.load(tiny_run).vocabulary.ids
    texts = tmp_path / "items.csv"
    lines = [f"{raw},{('red', 'blue')[place % 2]} chair {place}" for place, raw in enumerate(ids)]
    texts.write_text("\n".join(["id,title", *lines]) + "\n")
    output = tmp_path / "aligned"
    printed = run(
        "align_language_model.py",
        *(str(tiny_run), str(tiny().path), "--texts", str(texts)),
        *("--output", str(output), "--layers", "1", "--epochs", "1"),
    )
    figures = rows(printed)
    assert list(figures) == ["popularity", tiny_run.name, "language model"]
    assert all(len(row) == 3 and 0 < min(row) < 100 for row in figures.values())
    assert json.loads((output / "settings.json").read_text())["layers"] == 1
