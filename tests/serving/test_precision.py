"""How the items of a served export are searched: asked for, logged and among the metrics."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pyg_srgnn.export.write import export
from pyg_srgnn.inference.choice import WAYS
from tests.export.exports import checkpoint
from tests.serving.running import in_thread


def test_it_is_logged_and_among_the_metrics(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = export(checkpoint("gru4rec"), tmp_path / "export")
    caplog.set_level(logging.INFO)
    settings = {"challenger": str(folder), "precision": "float32_blocks"}
    with in_thread(folder, **settings) as running:
        for model in "AB":
            found = {
                way: running.metric(f'srgnn_catalogues{{model="{model}",precision="{way}"}}')
                for way in WAYS
            }
            assert found == dict.fromkeys(WAYS, 0.0) | {"float32_blocks": 1.0}
    told = [record for record in caplog.records if getattr(record, "event", "") == "precision"]
    assert [record.model for record in told] == ["A", "B"]  # type: ignore[attr-defined]
    assert "items are searched in float32_blocks (precision=float32_blocks; " in caplog.text
