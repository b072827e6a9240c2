"""OTTO: sessions of a generated file in its form, its metric, and what a wrong file says."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.datasets import Otto, SessionLoader
from pyg_srgnn.datasets.download import DownloadError
from pyg_srgnn.evaluation.baselines import evaluate_with_baselines
from pyg_srgnn.evaluation.weighted_recall import weighted_recall
from pyg_srgnn.reports import recall_table
from tests.reference.marks import marked_sessions

START = 1_659_304_800_025  # August 2022, in milliseconds
DAY = 86_400_000
TYPES = ["clicks", "carts", "orders"]

pytestmark = pytest.mark.filterwarnings("ignore:.* is used unchecked")


def sessions(seed: int = 0, count: int = 150, items: int = 40) -> list[dict[str, Any]]:
    """Sessions of four weeks, as OTTO writes them."""
    draw, found = random.Random(seed), []
    for session in range(count):
        at, events = START + draw.randrange(28 * DAY), []
        for _ in range(draw.randint(1, 12)):
            kind = draw.choices(TYPES, [90, 7, 3])[0]
            events.append({"aid": draw.randrange(items), "ts": at, "type": kind})
            at += draw.choice([900, 20_000, 400_000, 3 * DAY // 24])
        found.append({"session": session, "events": events})
    return found


def write(root: Path, lines: list[str]) -> Path:
    file = root / "otto" / "raw" / "otto-recsys-train.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, [json.dumps(one, separators=(",", ":")) for one in sessions()])
    return tmp_path


def rows_of(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "session": one["session"],
            "item": event["aid"],
            "time": event["ts"] / 1_000,
            "event": event["type"],
        }
        for one in found
        for event in one["events"]
    ]


def test_the_sessions_are_those_of_plain_loops(root: Path) -> None:
    whole, test = Otto(root, "trainval", pauses="time"), Otto(root, "test", pauses="time")
    count = len(whole.sessions) + len(test.sessions)
    share = len(test.sessions) / count  # plain loops split by a share
    expected = marked_sessions(rows_of(sessions()), TYPES, share, keep_cold=True)
    for part, of_part in zip((whole.sessions, test.sessions), expected, strict=True):
        items = whole.vocabulary.decode(part.items.tolist())
        assert items == [item for one in of_part for item, _, _ in one]
        assert part.events is not None
        assert part.events.tolist() == [event for one in of_part for _, event, _ in one]
        assert part.pauses is not None
        assert part.pauses.tolist() == [int(pause) for one in of_part for _, _, pause in one]
    limit = int(test.sessions.times[-1]) - 7 * 86_400
    assert int(whole.sessions.times[-1]) <= limit < int(test.sessions.times[0])
    assert "target_weight" not in whole.batch([0, 1])
    assert not list((root / "otto" / "processed").glob("*.clicks"))


def test_some_types_and_targets(root: Path) -> None:
    some = Otto(root, "trainval", events={"carts": 1, "orders": 6}, targets=["orders"])
    assert list(some.events) == ["carts", "orders"]
    assert some.report["rows"] == sum(len(one["events"]) for one in sessions())
    of_target = some.sessions.events[some.sessions.is_target]
    assert len(some) == int((of_target == 1).sum()) < len(of_target)


def test_evaluations_report_its_metric(root: Path) -> None:
    training, test = Otto(root, "trainval"), Otto(root, "test")
    loader = SessionLoader(test, 50)
    found = evaluate_with_baselines(None, ["popularity", "markov"], training, loader)
    keys = ["recall_clicks@20", "recall_carts@20", "recall_orders@20", "weighted_recall@20"]
    for name in ("popularity", "markov"):
        scorer = BASELINES[name].fit(training.sessions, training.num_items)
        expected = weighted_recall(scorer, test, Otto.recall)
        assert {key: found.metrics[name][key] for key in keys} == expected
    of_types = [found.metrics["markov"][key] for key in keys]
    assert of_types[3] == pytest.approx(sum(map(float.__mul__, (0.1, 0.3, 0.6), of_types)))
    table = str(recall_table(found.metrics))
    assert "recall@20 of what follows a random cut" in table
    assert f"{100 * of_types[3]:.2f}" in table
    assert recall_table({"markov": {"hr@20": 0.5}}) is None


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ('{"session": 900, "events": [{"aid": 3, "ts": 1661724000278}]}', 4),
        ('{"session": 900, "events": [{"aid": null, "ts": 1, "type": "clicks"}]}', 4),
        ('{"session": "x", "events": [{"aid": 3, "ts": 1, "type": "clicks"}]}', 4),
        ('{"session": 900, "clicks": []}', 4),
        ('{"session": 900', 4),
        ("[1, 2]", 4),
    ],
)
def test_a_line_that_is_no_session_is_named(tmp_path: Path, line: str, number: int) -> None:
    lines = [json.dumps(one) for one in sessions(count=5)]
    lines.insert(number - 1, line)
    write(tmp_path, lines)
    with pytest.raises(ValueError, match=rf"jsonl, line {number}: expected a session such as"):
        Otto(tmp_path)


def test_an_unknown_type(tmp_path: Path) -> None:
    lines = [json.dumps(one).replace("carts", "wishes") for one in sessions(count=30)]
    write(tmp_path, lines)
    with pytest.raises(ValueError, match=r"type='wishes', expected one of clicks, carts, orders"):
        Otto(tmp_path)


def test_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as error:
        Otto(tmp_path)
    text = str(error.value)
    assert str(tmp_path / "otto" / "raw" / "otto-recsys-train.jsonl") in text
    assert "kaggle.com/datasets/otto/recsys-dataset" in text
    assert "login" in text
