from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

import pytest

from pyg_srgnn.utils import progress
from pyg_srgnn.utils.progress import Bar, working


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


class Screen(io.StringIO):
    """A terminal, as far as it is asked."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("often")
def test_a_terminal_has_one_bar_that_goes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr("sys.stdout", screen)
    with Bar("epoch 1/8", 10, "batches") as outer:
        outer.advance()
        print("a line above it")
        with pytest.raises(KeyError), Bar("within", 2):
            raise KeyError
        time.sleep(0.02)
        outer.advance()
    shown = screen.getvalue()
    assert "epoch 1/8" in shown and "2/10 batches" in shown
    drawn = re.sub(r"\x1b\[\?25.|\r", "", shown)
    assert "\x1b[2Ka line above it\n" in drawn and drawn.endswith("\x1b[2K")
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is to be seen"
    assert sys.stdout is screen and not caplog.messages


def test_a_dumb_terminal_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr("sys.stdout", screen)
    with Bar("epoch 1/8", 10) as bar:
        bar.advance()
    assert screen.getvalue() == ""
