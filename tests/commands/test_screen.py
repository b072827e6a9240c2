"""A run on a terminal and into a file: the header, the epochs, and what the log keeps."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from pyg_srgnn.commands import train
from pyg_srgnn.utils import progress
from tests.commands import run
from tests.tiny import TINY
from tests.utils.test_progress import Screen

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    return [*TINY, "baselines=[vsknn]", "hydra.run.dir=here", "monitor=ndcg@10"]


def test_into_a_file(settings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    printed = run(train.main, "srgnn-train", *settings).out
    lines = [line for line in printed.splitlines() if not line.startswith("encoding: ")]
    names = [line.split("  ")[0] for line in lines]
    header = ["directory", "to resume", "data set", "train", "valid", "text", "model", "device"]
    assert names[:8] == header
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in lines[:8])
    assert facts["to resume"].startswith("srgnn-train dataset.num_items=40 ")
    assert facts["to resume"].endswith(" hydra.run.dir=here")
    assert facts["data set"] == "synthetic, 40 items"
    assert re.fullmatch(r"270 sessions, 1,\d+ samples", facts["train"])
    assert re.fullmatch(r"srgnn, \d,\d+ parameters", facts["model"])
    assert re.search(r"^epoch 1/2: 1/\d+ batches, loss \d\.\d{4}  \d", printed, re.MULTILINE)
    assert re.search(r"^validation: 1/1 batches", printed, re.MULTILINE)
    assert re.search(r"^vsknn: 1/\d batches", printed, re.MULTILINE)
    epochs = re.findall(
        r"^epoch (\d)  loss \d\.\d{4}  valid ndcg@10 .*mrr@20", printed, re.MULTILINE
    )
    assert epochs == ["1", "2"]
    assert "prefix" not in printed, "slices are in the files"
    assert "\x1b" not in printed and "\r" not in printed
    assert Path("here/train.log").read_text() == printed


def test_on_a_terminal(settings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr("tests.commands.io", SimpleNamespace(StringIO=lambda: screen))
    assert run(train.main, "srgnn-train", *settings).status == 0
    shown = screen.getvalue()
    assert re.search(r"epoch 1/2 .*batches", shown) and "\x1b[2K" in shown
    # What is left once the codes are gone: every epoch on a line of its own.
    assert re.search(r"(^|\r|K)epoch 2  loss", shown, re.MULTILINE)
    kept = Path("here/train.log").read_text()
    assert "\x1b" not in kept and "batches" not in kept
    assert [line[:7] for line in kept.splitlines() if line.startswith("epoch")] == [
        "epoch 1",
        "epoch 2",
    ]
