"""What a terminal shows: tables that fit, styles where there are some, plain text in the log."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn.functional.metrics import columns as shown
from pyg_srgnn.reports.table import metrics_table
from pyg_srgnn.utils import terminal
from pyg_srgnn.utils.terminal import Column, TerminalHandler, lines, styled, table, width

METRICS = {name: 0.5 for name in shown()} | {"ndcg@10": 0.25, "tied": 0.0}
ROWS = {name: METRICS for name in ("srgnn", "popularity", "session_popularity")}


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda count: monkeypatch.setattr(terminal, "width", lambda: count)


@pytest.mark.parametrize(
    ("room", "gone"),
    [
        (200, []),
        (84, []),
        (83, ["coverage@20"]),
        (60, ["mrr@5", "ndcg@20", "coverage@20"]),
        (36, ["hr@5", "hr@10", "mrr@5", "mrr@10", "ndcg@20", "coverage@20"]),
    ],
)
def test_metrics_without_room_are_left_out_and_named(
    room: int, gone: list[str], columns: Any
) -> None:
    columns(room)
    found = metrics_table("test", ROWS).splitlines()
    assert found[1].split() == [name for name in shown() if name not in gone]
    said = f"no room for {', '.join(gone)}: metrics.json" if gone else ""
    assert " ".join(found[2 + len(ROWS) :]) == said
    assert max(map(len, found)) <= room


def test_the_metric_that_chose_the_epoch_stays(columns: Any) -> None:
    columns(44)
    head = metrics_table("test", ROWS, monitor="ndcg@10").splitlines()[1]
    assert head.split() == ["hr@20", "mrr@20", "ndcg@10"]


def test_what_cannot_be_narrower_is_set_below_one_another(columns: Any) -> None:
    columns(12)
    found = table([Column("model.\nlr", "label"), Column("valid\nhr@20")], [["0.1", "59.00"]] * 2)
    assert (
        found
        == "model.lr    0.1\nvalid hr@20  59.00\n\nmodel.lr    0.1".replace(
            "model.lr    ", "model.lr     "
        )
        + "\nvalid hr@20  59.00"
    )


def test_text_is_folded_in_its_column(columns: Any) -> None:
    columns(30)
    found = table([Column("n"), Column("why", "text")], [["1", "word " * 8]])
    assert found.splitlines() == ["n  why", *["1  word word word word word", "   word word word"]]


def test_wide_characters_and_heads_of_two_lines() -> None:
    found = table([Column("test\nhr@20"), Column("id", "label")], [["1", "靴"], ["22", "hat"]])
    assert found.splitlines() == [" test", "hr@20  id", "    1  靴", "   22  hat"]


@pytest.mark.parametrize(
    ("live", "environment", "codes"),
    [
        (True, {"TERM": "xterm-256color"}, "\x1b[1m"),
        (True, {"TERM": "xterm-256color", "NO_COLOR": "1"}, "\x1b[1m"),
        (True, {"TERM": "dumb"}, ""),
        (False, {"TERM": "xterm-256color"}, ""),
    ],
)
def test_styles_are_for_terminals_and_the_log_is_plain(
    live: bool,
    environment: dict[str, str],
    codes: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: live, raising=False)
    log = logging.getLogger("tests.terminal")
    handlers = [TerminalHandler(), logging.FileHandler(tmp_path / "train.log")]
    for handler in handlers:
        log.addHandler(handler)
    log.warning(lines(styled("head", "bold"), "100 % of [red]it[/red]"))
    for handler in handlers:
        log.removeHandler(handler)
        handler.close()
    plain = "head\n100 % of [red]it[/red]\n"
    assert (tmp_path / "train.log").read_text() == plain
    printed = capsys.readouterr().out
    assert printed == plain.replace("head", f"{codes}head\x1b[0m" if codes else "head")


def test_the_width_that_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "97")
    assert width() == 97
