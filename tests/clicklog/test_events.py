"""Types of clicks and pauses, from the log to the sessions: as plain loops give them."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.prepared import Prepared
from pyg_srgnn.clicklog.spec import Preparation
from tests.clicklog.engine_duckdb import DuckDBEngine
from tests.reference.marks import marked_sessions

EVENTS = {"view": 1, "cart": 3, "purchase": 5}


def log(seed: int = 0, sessions: int = 40, items: int = 12) -> list[dict[str, Any]]:
    """Clicks in no order, with ties of time and repeats of items."""
    draw = random.Random(seed)
    rows = []
    for session in range(sessions):
        time = 1_500_000_000 + 1_000 * session
        for _ in range(draw.randint(1, 7)):
            time += draw.choice([0, 1, 2, 30, 4_000])
            item, event = draw.randint(100, 100 + items), draw.choice(list(EVENTS))
            rows.append({"session": session, "item": item, "time": time, "event": event})
    draw.shuffle(rows)
    return rows


def write(rows: list[dict[str, Any]], file: Path) -> Path:
    pl.DataFrame(rows).write_csv(file)
    return file


def marked(prepared: Prepared) -> tuple[list[Any], list[Any]]:
    """Sessions of triples of raw item, type and pause."""
    found = []
    for part in (prepared.training, prepared.test):
        assert part.events is not None
        assert part.pauses is not None
        triples = list(
            zip(
                prepared.vocabulary.decode(part.items.tolist()),
                part.events.tolist(),
                part.pauses.tolist(),
                strict=True,
            )
        )
        ends = part.offsets.tolist()
        found.append([triples[a:b] for a, b in pairwise(ends)])
    return found[0], found[1]


RULES: list[dict[str, Any]] = [
    {},
    {"min_support": 8},
    {"collapse": True},
    {"cold": "keep", "min_support": 3},
]


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: ",".join(rules) or "default")
@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_events_and_pauses_are_those_of_plain_loops(
    rules: dict[str, Any], engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "duckdb":
        monkeypatch.setattr("pyg_srgnn.clicklog.prepare.open_engine", lambda _: DuckDBEngine())
    rows = log()
    given = {"min_support": 1, "test": 0.3, "max_length": None} | rules
    preparation = Preparation(event="event", events=EVENTS, pauses="time", **given)
    found = marked(prepare(write(rows, tmp_path / "log.csv"), preparation, scratch=tmp_path))
    expected = marked_sessions(
        rows,
        list(EVENTS),
        given["test"],
        given["min_support"],
        collapse=given.get("collapse", False),
        keep_cold=given.get("cold") == "keep",
    )
    assert found == expected
    assert len(found[0]) > 10
    assert len(found[1]) > 5


@pytest.mark.slow
@pytest.mark.spark
def test_spark_gives_what_polars_gives(tmp_path: Path) -> None:
    file = write(log(), tmp_path / "log.csv")
    rules: dict[str, Any] = {"event": "event", "events": EVENTS, "pauses": "time"}
    preparation = Preparation(min_support=2, test=0.3, collapse=True, dedupe=True, **rules)
    ours, theirs = (
        prepare(file, preparation, engine, scratch=tmp_path) for engine in ("polars", "spark")
    )
    assert marked(theirs) == marked(ours)


def test_without_events_the_sessions_are_what_they_were(tmp_path: Path) -> None:
    file = write(log(), tmp_path / "log.csv")
    given: dict[str, Any] = {"min_support": 2, "test": 0.3}
    plain = prepare(file, Preparation(**given))
    typed = prepare(file, Preparation(event="event", events=EVENTS, pauses="time", **given))
    assert plain.training.events is None
    assert plain.training.pauses is None
    assert plain.training.to_lists() == typed.training.to_lists()
    assert plain.test.to_lists() == typed.test.to_lists()
    assert plain.report["steps"] == typed.report["steps"]


def test_repeats_of_another_type_are_no_repeats(tmp_path: Path) -> None:
    rows = [
        {"session": session, "item": item, "time": 1_500_000_000 + session, "event": event}
        for session in range(10)
        for item, event in ((1, "view"), (1, "view"), (1, "cart"), (2, "view"))
    ]
    file = write(rows, tmp_path / "log.csv")
    rules: dict[str, Any] = {"event": "event", "events": EVENTS, "order": "file", "min_support": 1}
    for rule in ("collapse", "dedupe"):
        found = prepare(file, Preparation(**rules, **{rule: True}))
        assert found.training.to_lists()[0] == [0, 0, 1]
        assert found.training.events is not None
        assert found.training.events.tolist()[:3] == [0, 1, 0]
    assert prepare(file, Preparation(**rules)).report["duplicates"] == 10


def test_pauses_of_a_column_of_milliseconds(tmp_path: Path) -> None:
    rows = [
        {"session": session, "item": item, "day": f"2020-01-{10 + session}", "frame": frame}
        for session in range(10)
        for item, frame in ((1, 90_999), (2, 500), (3, 2_499), (1, 91_000))
    ]
    rules: dict[str, Any] = {"time": "day", "order": "frame", "pauses": "order"}
    found = prepare(write(rows, tmp_path / "log.csv"), Preparation(**rules)).training
    assert found.pauses is not None
    assert found.pauses.tolist()[:4] == [0, 1, 88, 0]


def test_prepared_files_keep_them(tmp_path: Path) -> None:
    preparation = Preparation(event="event", events=EVENTS, pauses="time", min_support=1, test=0.3)
    made = prepare(write(log(), tmp_path / "log.csv"), preparation)
    made.save(tmp_path / "made")
    opened = Prepared.load(tmp_path / "made")
    assert opened.training == made.training
    assert opened.test == made.test
    mixed = pl.read_parquet(tmp_path / "made" / "training.parquet").sample(fraction=1, shuffle=True)
    mixed.write_parquet(tmp_path / "made" / "training.parquet")
    with pytest.raises(ValueError, match=r"training\.parquet: expected rows sorted by session"):
        Prepared.load(tmp_path / "made")


# ---------------------------------------------------------------------------- Bad input


def test_an_unknown_type_is_a_bad_row(tmp_path: Path) -> None:
    rows = log()
    rows[5]["event"], rows[9]["event"] = "share", None
    file = write(rows, tmp_path / "log.csv")
    rules: dict[str, Any] = {"event": "event", "events": EVENTS, "min_support": 1}
    expected = (
        r"log\.csv, line 7: event='share', expected one of view, cart, purchase "
        r"\(dataset\.events\) – unknown event \(and 1 more such row\)"
    )
    with pytest.raises(ValueError, match=expected):
        prepare(file, Preparation(**rules))
    report = prepare(file, Preparation(**rules, on_bad_rows="skip")).report
    assert [(bad["reason"], bad["rows"]) for bad in report["bad_rows"]] == [("unknown event", 2)]
    where = {"event": list(EVENTS)}
    assert prepare(file, Preparation(**rules, where=where)).report["bad_rows"] == []


def test_a_type_column_that_is_missing(tmp_path: Path) -> None:
    file = write(log(), tmp_path / "log.csv")
    expected = (
        r"there is no column 'action' \(dataset\.event\); its columns are 'session', 'item', "
        r"'time', 'event'"
    )
    with pytest.raises(ValueError, match=expected):
        prepare(file, Preparation(event="action", events=EVENTS))


def test_pauses_need_times(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    pl.DataFrame(log()).drop("time").write_csv(file)
    with pytest.raises(ValueError, match=r"dataset\.pauses=time needs the times of the clicks"):
        prepare(file, Preparation(order="file", pauses="time"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"event": "event"}, "'events' must be weights of types"),
        ({"events": EVENTS}, "'events' must be None without 'event'"),
        ({"event": "event", "events": {}}, "'events' must be from 1 to 255 weights"),
        ({"event": "event", "events": {"view": -1}}, "'events.view' must be a number >= 0"),
        ({"event": "event", "events": {"view": "1"}}, "'events.view' must be a number >= 0"),
        ({"event": "event", "events": {"view": 0}}, "'events' must be a weight > 0 of a target's"),
        (
            {"event": "event", "events": {"view": 1, "cart": 0}, "targets": ["cart"]},
            "'events' must be a weight > 0 of a target's",
        ),
        (
            {"event": "event", "events": EVENTS, "targets": []},
            r"'targets' must be some of view, cart, purchase \(got \(\)\)",
        ),
        (
            {"event": "event", "events": EVENTS, "targets": ["sale"]},
            r"'targets' must be some of view, cart, purchase \(got \('sale',\)\)",
        ),
        ({"targets": ["view"]}, "'targets' must be None without 'events'"),
        ({"pauses": "yes"}, "'pauses' must be one of time, order, or None"),
        ({"pauses": "order"}, "'order' must be a column, with pauses='order'"),
    ],
)
def test_declarations_that_cannot_be_used(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Preparation(**given)
