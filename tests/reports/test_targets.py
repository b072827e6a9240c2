"""The table by the targets' clicks: when it is made, what it holds, and how it fits."""

from __future__ import annotations

from typing import Any

import pytest

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.reports import run_summary
from pyg_srgnn.reports.targets import target_table
from pyg_srgnn.utils import terminal
from tests.results import run_result

Groups = dict[str, dict[str, float]]


def of(warm: int, rare: int, cold: int, hr: float = 0.5) -> Groups:
    """Metrics of groups of these sizes."""
    samples = {"warm": warm, "rare": rare, "cold": cold}
    return {
        name: {"samples": count} | ({"hr@20": hr, "mrr@20": hr / 2} if count else {})
        for name, count in samples.items()
    }


def rows(*names: str) -> dict[str, dict[str, float]]:
    return {name: {"hr@20": 0.5, "mrr@20": 0.25} for name in names}


def test_shares_and_figures() -> None:
    targets = {"srgnn": of(95, 28, 5, 0.4), "markov": of(95, 28, 5, 1.0)}
    found = target_table(rows("srgnn", "markov"), targets)
    assert found is not None
    title, head, *body, last = found.splitlines()
    assert title.startswith("HR@20 / MRR@20") and "percent" in title
    assert head.split() == ["all", "warm", "rare", "cold"]
    assert body[0].split() == ["share", "of", "the", "targets", "100.0", "95.0", "28.0", "5.0"]
    assert body[1].split() == ["srgnn", "50.00", "/", "25.00", *3 * ["40.00", "/", "20.00"]]
    assert body[2].split()[-3:] == ["100.00", "/", "50.00"] and len(body) == 3
    assert "1 to 20" in last


@pytest.mark.parametrize(
    ("groups", "shown"),
    [
        (of(1000, 9, 0), False),
        (of(1000, 10, 0), True),
        (of(1000, 0, 1), True),
        (of(0, 0, 7), True),
    ],
)
def test_it_is_made_where_it_says_something(groups: Groups, shown: bool) -> None:
    every = rows("srgnn"), {"srgnn": groups}
    assert (target_table(*every) is not None) is shown
    assert target_table(*every, always=True) is not None


def test_it_is_made_for_a_model_with_text() -> None:
    targets = {"srgnn": of(1000, 0, 0)}
    for data in (None, {}, {"text": {"content": "5e"}}):
        said = run_summary(run_result(targets=targets, data=data), "hr@20")
        assert ("clicks in training" in said) is bool(data)


def test_a_group_without_targets_is_empty() -> None:
    found = target_table(rows("srgnn"), {"srgnn": of(100, 50, 0)})
    assert found is not None
    *_, shares, line, _ = found.splitlines()
    assert shares.split()[-2:] == ["50.0", "0.0"]
    assert line.split() == ["srgnn", *3 * ["50.00", "/", "25.00"]]


def test_it_is_below_the_table_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the optimum where it is known; it fits into 80 columns."""
    monkeypatch.setattr(terminal, "width", lambda: 80)
    figures = {"hr@20": 0.5, "mrr@20": 0.25}
    result = run_result(
        baselines={name: {"test": figures} for name in BASELINES},
        targets={name: of(90, 30, 10) for name in ("srgnn", *BASELINES)}
        | {"optimum": {"warm": figures}},  # of no group that has no item
        optimum={"test": figures},
    )
    said = run_summary(result, "hr@20").splitlines()
    assert max(map(len, said)) <= 80 and not any("no room for warm" in line for line in said)
    start = next(i for i, line in enumerate(said) if "clicks in training" in line)
    names = [line.split("  ")[0] for line in said[start + 3 : start + 5 + len(BASELINES)]]
    assert names == ["srgnn", *BASELINES, "optimum (exact)"]
    assert said[-1].startswith("seed 0")


@pytest.mark.parametrize(("room", "kept"), [(66, ["all", "rare", "cold"]), (52, ["all", "cold"])])
def test_in_a_narrow_terminal_columns_are_named(
    room: int, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "width", lambda: room)
    found = target_table(rows("srgnn"), {"srgnn": of(90, 30, 10)}, elsewhere="evaluation.json")
    assert found is not None
    assert kept in [line.split() for line in found.splitlines()]
    assert "evaluation.json" in found and max(map(len, found.splitlines())) <= room


@pytest.mark.parametrize("changes", [{}, {"targets": {"markov": of(1, 1, 1)}}])
def test_runs_without_the_groups_have_no_such_table(changes: dict[str, Any]) -> None:
    """Those of an earlier version, and the model of protocol=literature."""
    said = run_summary(run_result(**changes), "hr@20")
    assert "clicks in training" not in said
