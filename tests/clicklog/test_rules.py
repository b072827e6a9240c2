"""The rules against the plain reference: any small log, every combination of rules.

The examples are always the same, so that a run is quick and repeatable.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.prepared import Prepared
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.data.vocabulary import Vocabulary
from tests.reference.preparation import Prepared as Expected
from tests.reference.preparation import reference

NAMES = ("session", "item", "time", "place", "event")
START = 1_396_828_800  # 2014-04-07, midnight
DAY = 86_400

steady = settings(max_examples=80, deadline=None, derandomize=True, database=None)
few = settings(steady, max_examples=25)

# Few of everything, so that sessions are long, items common, and ties frequent.
numbers = {"session": ("1", "2", "3", "5", "40"), "item": ("10", "11", "9", "200", "0")}
texts = {"session": ("a", "B", "a b", "é", "1"), "item": ("red shoe", "x", "X", "9", "ß;,'")}
seconds = st.builds(
    lambda day, second: START + day * DAY + second,
    st.integers(0, 3),
    st.sampled_from([0, 1, 2, 1_800, 1_801, 3_601]),
)


@st.composite
def logs(draw: Any) -> list[dict[str, str]]:
    """The rows of a log in any order, more often many than few."""
    ids = draw(st.sampled_from([numbers, texts]))
    click = st.tuples(
        st.sampled_from(ids["session"]),
        st.sampled_from(ids["item"]),
        seconds,
        st.integers(-2, 3),
        st.sampled_from(["view", "view", "buy"]),
    )
    size = 60 - draw(st.integers(0, 59))  # hypothesis likes the small end
    clicks = draw(st.lists(click, min_size=size, max_size=size))
    rows = [dict(zip(NAMES, map(str, click), strict=True)) for click in clicks]
    return rows


rules = st.fixed_dictionaries(
    {
        "session": st.just("session"),  # with a gap, too
        "order": st.sampled_from(["time", "file", "place"]),
        "min_support": st.integers(1, 4),
        "test": st.sampled_from([0.2, 0.5, "1d", "2d", "2014-04-09"]),
    },
    optional={
        "gap": st.sampled_from(["1s", "30m", "12h"]),
        "dedupe": st.booleans(),
        "collapse": st.booleans(),
        "max_length": st.sampled_from([None, 3, 4, 8]),
        "min_length": st.sampled_from([2, 3]),
        "drop_longer": st.sampled_from([None, 3, 4, 6]),
        "until_stable": st.booleans(),
        "strict": st.booleans(),
        "cold": st.sampled_from(["drop", "keep"]),
        "recent": st.sampled_from([1, 2, 3]),
        "where": st.just({"event": "view"}),
    },
)


@dataclass
class Case:
    """What the reference makes of a log; None where it leaves a part empty."""

    rows: list[dict[str, str]]
    rules: dict[str, Any]
    known: Sequence[int | str] = ()
    steps: list[Any] = field(default_factory=list)

    def expected(self) -> Expected | None:
        options = {"max_length": 200} | self.rules
        try:
            made = reference(self.rows, known=self.known, steps=self.steps, **options)
        except IndexError:  # there is no last session to count the days from
            return None
        return made if made.training and made.test else None

    def prepared(self, path: Path, engine: str = "polars") -> Prepared:
        write(path, self.rows)
        known = Vocabulary(self.known) if self.known else None
        return prepare(path, Preparation(**self.rules), engine, known)


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def agree(prepared: Prepared, expected: Expected, steps: Sequence[Any] = ()) -> None:
    """The same sessions, times, items and counts."""
    assert prepared.training.to_lists() == expected.training
    assert prepared.test.to_lists() == expected.test
    assert prepared.vocabulary.ids == list(expected.items)
    if prepared.training.times is not None:
        assert prepared.training.times.tolist() == expected.training_times
        assert prepared.test.times.tolist() == expected.test_times
    if steps:
        counted = [(step["clicks"], step["sessions"]) for step in prepared.report["steps"]]
        assert counted == steps


def check(case: Case, path: Path) -> None:
    expected = case.expected()
    if expected is None:
        with pytest.raises(ValueError, match=r"no session is left|part is empty|dataset\.recent"):
            case.prepared(path)
    else:
        agree(case.prepared(path), expected, case.steps)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rules") / "clicks.csv"


def by_the_clock(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The days begin at two o'clock, on some of which Berlin's clock goes back at three."""
    days = ["2014-10-25", "2014-10-26", "2014-10-27", "2015-10-25"]
    for row in rows:
        day, second = divmod(int(row["time"]) - START, DAY)
        clock = datetime.fromisoformat(f"{days[day]}T02:00:00") + timedelta(seconds=second)
        row["time"] = clock.isoformat()
    return rows


@pytest.mark.slow
@steady
@given(rows=logs(), rules=rules)
def test_any_log_under_any_rules_by_the_clock_of_a_place(
    log: Path, rows: list[Any], rules: dict[str, Any]
) -> None:
    fraction = {"test": 0.4} if rules["test"] == "2014-04-09" else {}
    check(Case(by_the_clock(rows), rules | fraction | {"time_zone": "Europe/Berlin"}), log)


@pytest.mark.slow
@steady
@given(rows=logs(), rules=rules)
def test_any_log_under_any_rules(log: Path, rows: list[Any], rules: dict[str, Any]) -> None:
    check(Case(rows, rules), log)


@pytest.mark.slow
@few
@given(rows=logs(), rules=rules)
def test_pieces_of_a_few_clicks_make_the_same(
    log: Path, rows: list[Any], rules: dict[str, Any]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyg_srgnn.clicklog.rules._PIECE", 3)  # smaller than many a session
        check(Case(rows, rules), log)


@pytest.mark.slow
@few
@given(rows=logs(), rules=rules)
def test_a_log_in_parts_makes_the_same(log: Path, rows: list[Any], rules: dict[str, Any]) -> None:
    """Sessions are made, shortened and dropped part by part; items are counted over all parts."""
    known = sorted({row["item"] for row in rows} - {"9"})[:2]
    if all(row["item"].isdecimal() for row in rows):
        known = list(map(int, known))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyg_srgnn.clicklog.polars_engine.CLICKS_AT_ONCE", 20)
        check(Case(rows, rules), log)
        check(Case(rows, rules, known), log)


@pytest.mark.slow
@few
@given(rows=logs(), rules=rules, data=st.data())
def test_known_items_keep_their_number_and_are_never_rare(
    log: Path, rows: list[Any], rules: dict[str, Any], data: st.DataObject
) -> None:
    strangers = ["77", "x", *(row["item"] for row in rows)]
    known: list[Any] = data.draw(st.lists(st.sampled_from(strangers), min_size=1, unique=True))
    if all(row["item"].isdecimal() for row in rows):
        if "x" not in known:  # whole numbers, then; otherwise the log's ids are text, too
            known = [int(raw) for raw in known]
        else:
            rows = [row | {"item": f"n{row['item']}"} for row in rows]
    check(Case(rows, rules, known), log)


@pytest.mark.slow
@few
@given(rows=logs(), rules=rules)
def test_a_log_without_times(log: Path, rows: list[Any], rules: dict[str, Any]) -> None:
    rows = [{name: row[name] for name in ("session", "item", "event")} for row in rows]
    rules = rules | {"order": "file", "test": 0.3, "dedupe": False}
    rules.pop("gap", None)
    check(Case(rows, rules), log)


def test_rules_that_need_times(log: Path) -> None:
    write(log, [{"user": "1", "item": "1"}, {"user": "1", "item": "2"}])
    with pytest.raises(ValueError, match="gap"):
        prepare(log, Preparation(gap="30m", order="file"))
    with pytest.raises(ValueError, match=r"dataset\.dedupe needs the times .* dataset\.collapse"):
        prepare(log, Preparation(session="user", dedupe=True, order="file"))


@pytest.mark.slow
@few
@given(rows=logs(), rules=rules, data=st.data())
def test_the_order_of_the_rows_is_nothing_where_times_are_distinct(
    log: Path, rows: list[Any], rules: dict[str, Any], data: st.DataObject
) -> None:
    times = data.draw(st.permutations(range(len(rows))))
    rows = [row | {"time": str(START + 4_000 * t)} for row, t in zip(rows, times, strict=True)]
    rules = rules | {"order": "time"}
    check_same(log, rules, rows, data.draw(st.permutations(rows)))


@pytest.mark.slow
@few
@given(rows=logs(), rules=rules, data=st.data())
def test_the_names_of_sessions_are_nothing(
    log: Path, rows: list[Any], rules: dict[str, Any], data: st.DataObject
) -> None:
    names = sorted({row["session"] for row in rows})
    other = data.draw(st.permutations(["7", "z", "A", "11", "0"]))
    renamed = dict(zip(names, other, strict=False))
    check_same(log, rules, rows, [row | {"session": renamed[row["session"]]} for row in rows])


def check_same(log: Path, rules: dict[str, Any], rows: list[Any], others: list[Any]) -> None:
    """Both logs give the same, which is what the reference says."""
    case = Case(rows, rules)
    expected = case.expected()
    assume(expected is not None)
    for one in (rows, others):
        agree(Case(one, rules).prepared(log), expected, case.steps)


@pytest.mark.slow
@few
@given(rows=logs(), order=st.sampled_from(["time", "file", "place"]), gap=st.booleans())
def test_equal_rows_are_counted(log: Path, rows: list[Any], order: str, gap: bool) -> None:
    rules = {"session": "session", "order": order, "min_support": 1, "test": 0.5}
    case = Case(rows, rules | ({"gap": "1h"} if gap else {}))
    assume(case.expected() is not None)
    what = ["session", "item", "time", *(["place"] if order == "place" else [])]
    distinct = {tuple(row[name] for name in what) for row in rows}
    assert case.prepared(log).report["duplicates"] == len(rows) - len(distinct)
    case.rules["dedupe"] = True
    assume(case.expected() is not None)
    report = case.prepared(log).report
    assert report["duplicates"] == 0
    dropped = next(step for step in report["steps"] if step["rule"] == "repeated rows dropped")
    assert dropped["clicks"] == len(distinct)


@pytest.mark.slow
@few
@given(rows=logs(), rules=rules)
def test_items_of_the_test_part_that_training_lacks_are_counted(
    log: Path, rows: list[Any], rules: dict[str, Any]
) -> None:
    case = Case(rows, rules | {"recent": 1, "cold": "drop"})
    assume(case.expected() is not None)
    lost = {step["rule"]: step for step in case.prepared(log).report["steps"]}
    before, after = lost["test part"], lost["test items that training lacks dropped"]
    found = case.prepared(log).report["distributions"]["unseen_test_items"]
    assert found["clicks"] == before["clicks"] - after["clicks"]
    assert found["share"] == found["clicks"] / before["clicks"]
    assert bool(found["items"]) == bool(found["clicks"])


@pytest.mark.slow
@few
@given(rows=logs(), rules=rules)
def test_cold_items_that_stay_are_counted_and_numbered_last(
    log: Path, rows: list[Any], rules: dict[str, Any]
) -> None:
    case = Case(rows, rules | {"recent": 1, "cold": "keep"})
    assume(case.expected() is not None)
    kept = case.prepared(log)
    trained, cold = set(kept.training.items.tolist()), []
    for item in kept.test.items.tolist():
        cold += [item] if item not in trained else []
    first = list(dict.fromkeys(cold))
    assert trained == set(range(len(trained)))
    assert first == list(range(len(trained), len(kept.vocabulary)))
    assert kept.report["distributions"]["unseen_test_items"] == {
        "items": len(first),
        "clicks": len(cold),
        "share": len(cold) / kept.test.num_clicks,
    }
    case.rules["cold"] = "drop"
    if case.expected() is not None:  # the counts are those of what would be dropped
        dropped = case.prepared(log)
        assert (
            dropped.report["distributions"]["unseen_test_items"]
            == kept.report["distributions"]["unseen_test_items"]
        )
        assert dropped.vocabulary.ids == kept.vocabulary.ids[: len(trained)]


def test_a_session_dropped_whole_is_told_with_the_rule_that_did_it(log: Path) -> None:
    write(log, [{"session": str(n), "item": str(n), "time": str(START)} for n in range(4)])
    with pytest.raises(ValueError, match=r"sessions of fewer than 2 clicks.*dataset\.min_length"):
        prepare(log, Preparation(min_support=1))
    rows = [{"session": str(n // 2), "item": str(n), "time": str(START)} for n in range(8)]
    write(log, rows)
    with pytest.raises(ValueError, match=r"items of fewer than 5.*lower dataset\.min_support"):
        prepare(log, Preparation())
    with pytest.raises(ValueError, match=r"time=1.*look at dataset\.where"):
        prepare(log, Preparation(where={"time": "1"}))
    with pytest.raises(ValueError, match=r"recent=9: of 3 training samples none is left"):
        same = [row | {"item": "1"} for row in rows]
        write(log, same)
        prepare(log, Preparation(min_support=1, test=0.25, recent=9))


def test_days_that_span_the_log_and_dates_after_it_leave_a_part_empty(log: Path) -> None:
    write(log, [{"session": str(n // 2), "item": "1", "time": str(START + n)} for n in range(8)])
    for test, part in [("9d", "training"), ("2014-04-08", "test"), ("2014-04-07", "training")]:
        with pytest.raises(ValueError, match=rf"dataset\.test={test}: the {part} part is empty"):
            prepare(log, Preparation(test=test))


def test_numbers_too_far_apart_to_be_times_are_refused(log: Path) -> None:
    """A session's last row is found by one whole number of row and time, which has its bounds."""
    clicks = pl.DataFrame({"session": pl.arange(600_000, eager=True) // 2, "item": 1})
    times = pl.when(pl.int_range(pl.len()) == 9).then(8_000_000_000_000).otherwise(5)
    file = log.with_suffix(".parquet")
    clicks.with_columns(time=times).write_parquet(file)
    rules = {"order": "file", "time_format": "number", "min_support": 1}
    with pytest.raises(ValueError, match="lie too far apart"):
        prepare(file, Preparation(**rules))
    clicks[:1_000].with_columns(time=times).write_parquet(file)
    last = prepare(file, Preparation(**rules)).test.times
    assert last is not None and last.tolist()[-2:] == [5, 8_000_000_000_000]


def test_blank_lines_do_not_change_the_order_in_time(tmp_path: Path) -> None:
    draw = random.Random(0)
    sessions = list(range(100))
    draw.shuffle(sessions)
    # Rows are numbered with the blank ones, up to twice as many as there are.
    rows = [f"s{n},item {k},{1_500_000_000 + n}" for n in sessions for k in (n % 5, 5)]
    log = tmp_path / "log.csv"
    log.write_text("session,item,time\n\n" + "\n\n".join(rows) + "\n")
    found = prepare(log, Preparation(min_support=1, test=0.1))
    times = found.training.times
    assert times is not None and len(times) == 90
    assert (times[1:] > times[:-1]).all()
