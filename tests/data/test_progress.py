from __future__ import annotations

import time
from pathlib import Path

import pytest

from pyg_srgnn.data import progress


def test_long_work_shows_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.05)
    file = tmp_path / "growing"
    with progress.working("reading clicks.csv", file):
        file.write_bytes(bytes(3_000_000))
        time.sleep(0.8)
    assert "reading clicks.csv [00:00, 3 MB]" in capsys.readouterr().err


def test_short_work_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), progress.working("reading"):
        raise KeyError
    assert capsys.readouterr().err == ""
