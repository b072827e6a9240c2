from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from pyg_srgnn.data import progress
from pyg_srgnn.data.progress import Bar, working


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """As if 30 seconds went by in a moment."""
    monkeypatch.setattr(progress, "LINE_EVERY", 0.05)
    monkeypatch.setattr(progress, "_DRAW_EVERY", 0.01)
    caplog.set_level("INFO")


@pytest.mark.usefixtures("often")
def test_a_file_has_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    with Bar("epoch 1/8", 1_200, "batches", done=200) as bar:
        bar.advance()
        assert not caplog.messages
        time.sleep(0.06)
        bar.advance(499, lambda: "loss 3.1")
        bar.advance()
    (line,) = caplog.messages
    assert re.fullmatch(r"epoch 1/8: 700/1,200 batches, loss 3\.1, 0:0\d left", line)


@pytest.mark.usefixtures("often")
def test_work_that_says_nothing_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "growing"
    with working("reading clicks.csv", file):
        file.write_bytes(bytes(3_000_000))
        time.sleep(0.4)
    assert caplog.messages[-1] == "reading clicks.csv: 3 MB, 0:00"


def test_short_work_shows_nothing(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with pytest.raises(KeyError), working("reading"):
        raise KeyError
    with Bar("sessions", 3) as bar:
        bar.advance(3)
    with Bar(None, 3) as bar:
        bar.advance(3)
    assert capsys.readouterr() == ("", "") and not caplog.messages


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3_600, "1:00:00")]
)
def test_the_clock(seconds: float, shown: str) -> None:
    assert progress._clock(seconds) == shown
