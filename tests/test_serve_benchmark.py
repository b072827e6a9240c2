"""The benchmark of the service runs a real one. Its figures are not tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import serve
from benchmarks.shop import lengths, sessions_of

pytestmark = pytest.mark.slow

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install '.[export]'")
pytest.importorskip("fastapi", reason="FastAPI is not installed: pip install '.[serve]'")


def test_serve_prints_and_writes_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Here and not in processes of their own, which load torch anew each time.
    monkeypatch.setattr(serve, "in_child", lambda job, *args: job(*args))
    monkeypatch.setattr(serve, "_ETUDE", ((300, 20),))
    monkeypatch.setattr(serve, "_WARM_UP", 0.2)
    where = [f"--root={tmp_path}", f"--json={tmp_path / 'figures.json'}"]
    size = ["--items=300", "--channels=8", "--models", "srgnn_plain", "--calls=20"]
    serve.main([*where, *size, "--rate=50", "--seconds=0.5", "--minutes=0.02"])
    result = json.loads((tmp_path / "figures.json").read_text())
    assert list(result["process"]) == ["srgnn_plain checkpoint", "srgnn_plain export"]
    assert result["lengths"] == "geometric"
    loads = {**result["http"], **result["etude"], "soak": result["soak"]}
    assert list(loads) == ["srgnn_plain", "300", "soak"]
    for of in loads.values():
        assert of["errors"] == {}
        assert 0 < of["ms"]["p50"] <= of["ms"]["p90"] <= of["ms"]["p99"] <= of["ms"]["max"]
    assert result["http"]["srgnn_plain"]["answered"] == 25
    assert result["soak"]["asked"] == pytest.approx(result["http"]["srgnn_plain"]["peak"] / 2)
    assert result["http"]["srgnn_plain"]["ready_seconds"] > 0
    printed = capsys.readouterr().out
    assert "ETUDE 300" in printed
    assert "geometric lengths" in printed


def test_sessions_have_their_lengths_and_return_to_items() -> None:
    clicks = lengths(2_000)
    assert sum(clicks) / len(clicks) == pytest.approx(4, rel=0.1)
    sessions = sessions_of(1_000, clicks)
    assert [len(session) for session in sessions] == clicks
    assert all(0 <= item < 1_000 for session in sessions for item in session)
    assert any(len(set(session)) < len(session) for session in sessions)
