"""Known users, from the log to the earlier clicks of each session: as plain loops give them."""

from __future__ import annotations

import random
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.prepared import Prepared
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.data.earlier import EarlierClicks
from tests.clicklog.engine_duckdb import DuckDBEngine
from tests.reference.users import earlier_clicks

Rows = list[dict[str, Any]]
RULES: dict[str, Any] = {"min_support": 1, "test": 0.3, "max_length": None, "user": "who"}


def log(seed: int = 0, sessions: int = 60, items: int = 12) -> Rows:
    """Clicks of five users and of nobody, in no order; sessions overlap, and touch in a second."""
    draw = random.Random(seed)
    rows = []
    for session in range(sessions):
        user, time = draw.choice([*"abcde", None]), 1_500_000_000 + 100 * session
        for number in range(draw.randint(1, 6)):
            time += draw.choice([0, 1, 50, 100, 400])
            who = user if number == 0 or draw.random() < 0.7 else draw.choice(["a", None])
            item = draw.randint(100, 100 + items)
            rows.append({"session": session, "item": item, "time": time, "user": who})
    draw.shuffle(rows)
    return rows


def write(rows: Rows, file: Path) -> Path:
    pl.DataFrame(rows).rename({"user": "who"}).write_csv(file)
    return file


def earlier_of(prepared: Prepared, most: int = 20) -> list[tuple[list[Any], list[Any]]]:
    """Of each session, its raw items and the earlier ones."""
    parts = [prepared.training, prepared.test]
    found = EarlierClicks(parts, most).of(torch.arange(sum(map(len, parts))))
    ends = [0, *accumulate(found.lengths.tolist())]
    earlier = [found.items[a:b].tolist() for a, b in pairwise(ends)]
    decode = prepared.vocabulary.decode
    sessions = [session for part in parts for session in part.to_lists()]
    return [(decode(one), decode(before)) for one, before in zip(sessions, earlier, strict=True)]


@pytest.mark.parametrize("rules", [{}, {"min_support": 12}, {"user_clicks": 3}], ids=str)
@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_earlier_clicks_are_those_of_plain_loops(
    rules: dict[str, Any], engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "duckdb":
        monkeypatch.setattr("pyg_srgnn.clicklog.prepare.open_engine", lambda _: DuckDBEngine())
    rows, given = log(), RULES | rules
    preparation = Preparation(**given)
    prepared = prepare(write(rows, tmp_path / "log.csv"), preparation, scratch=tmp_path)
    found = earlier_of(prepared, preparation.earlier_clicks)
    most = given.get("user_clicks", 20)
    assert found == earlier_clicks(rows, given["test"], most, given["min_support"])
    several = [before for _, before in found if before]
    assert len(several) > 15
    users = prepared.report["users"]
    cut = len(prepared.training)
    counted = [sum(bool(before) for _, before in part) for part in (found[:cut], found[cut:])]
    assert users["with_earlier"] == dict(zip(("training", "test"), counted, strict=True))
    assert users["users"] == 5
    assert 0 < users["anonymous"] < 20


@pytest.mark.slow
@pytest.mark.spark
def test_spark_gives_what_polars_gives(tmp_path: Path) -> None:
    file, preparation = write(log(), tmp_path / "log.csv"), Preparation(**RULES)
    one, other = (prepare(file, preparation, engine) for engine in ("polars", "spark"))
    assert one.training == other.training
    assert one.test == other.test
    assert one.report["users"] == other.report["users"]


def test_nothing_from_a_sessions_start_on_is_known(tmp_path: Path) -> None:
    """Every other click from then on gets another item, time and user: earlier clicks stay."""
    draw, rows, marks = random.Random(1), log(sessions=30), 1_000
    for row in rows:
        first = min((one for one in rows if one["session"] == row["session"]), key=_time)
        if row is first:  # by its first item a session is known again
            row["item"] = marks + row["session"]
    found = _by_mark(rows, tmp_path, marks)
    assert sum(bool(before) for before in found.values()) > 5
    for session in found:
        own = [row for row in rows if row["session"] == session]
        start = min(map(_time, own))
        changed = []
        for row in rows:
            later = row["time"] >= start and row["session"] != session
            other = {
                "item": row["item"] if row["item"] >= marks else draw.randint(100, 112),
                "time": row["time"] + draw.randint(0, 500),
                "user": draw.choice("abcde"),
            }
            changed.append(row | other if later else row)
        for row in own:  # the session itself goes on otherwise, too
            if row["time"] > start:
                changed.remove(row)
                changed.append(row | {"item": draw.randint(100, 112), "user": "e"})
        assert _by_mark(changed, tmp_path, marks)[session] == found[session]


def _time(row: dict[str, Any]) -> int:
    return int(row["time"])


def _by_mark(rows: Rows, folder: Path, marks: int) -> dict[int, list[Any]]:
    """The earlier items of each session, by its number."""
    rules = RULES | {"cold": "keep", "min_length": 2}
    prepared = prepare(write(rows, folder / "log.csv"), Preparation(**rules), scratch=folder)
    return {items[0] - marks: before for items, before in earlier_of(prepared)}


def test_a_session_is_no_session_before_one_that_begins_in_its_last_second() -> None:
    rows = [(1, 10, 20), (1, 20, 30), (1, 21, 40), (1, 41, 50), (-1, 60, 70), (-1, 80, 90)]
    sessions = _sessions(rows)
    found = EarlierClicks([sessions], 20).of(torch.arange(len(rows)))
    assert found.lengths.tolist() == [0, 0, 1, 3, 0, 0]
    assert found.items.tolist() == [0, 0, 1, 2]


def _sessions(rows: list[tuple[int, int, int]]) -> Any:
    from pyg_srgnn.data import Sessions

    count = len(rows)
    return Sessions(torch.arange(count), torch.arange(count + 1), visits=torch.tensor(rows))


def test_sessions_of_users_clicks_may_know_their_users(tmp_path: Path) -> None:
    rows = [row | {"user": row["user"] or "f"} for row in log()]
    file = write(rows, tmp_path / "log.csv")
    rules: dict[str, Any] = {"user": "who", "gap": "1m", "min_support": 1, "min_length": 2}
    plain = prepare(file, Preparation(**rules), scratch=tmp_path)
    known = prepare(file, Preparation(**rules, user_clicks=5), scratch=tmp_path)
    assert plain.training.visits is None
    assert plain.training.items.equal(known.training.items)
    with_earlier = [before for _, before in earlier_of(known, 5) if before]
    assert len(with_earlier) > 20
    assert max(map(len, with_earlier)) == 5


def test_they_are_kept_with_the_sessions(tmp_path: Path) -> None:
    prepared = prepare(write(log(), tmp_path / "log.csv"), Preparation(**RULES))
    prepared.save(tmp_path / "kept")
    again = Prepared.load(tmp_path / "kept")
    assert again.training == prepared.training
    assert again.test == prepared.test
    visits = prepared.training.visits
    assert visits is not None
    assert prepared.training != prepare(tmp_path / "log.csv", Preparation(min_support=1)).training
    part = prepared.training[3:9].append(prepared.training[9:12])
    assert part == prepared.training[3:12]
    assert torch.equal(part.visits, visits[3:12])


def test_a_user_with_one_session_each_is_an_error(tmp_path: Path) -> None:
    rows = [row | {"user": f"u{row['session']}" if row["session"] % 3 else None} for row in log()]
    expected = (
        r"dataset\.user=who: no session has an earlier one of its user; found 3\d sessions of "
        r"3\d users and \d+ of none, expected users with several sessions"
    )
    with pytest.raises(ValueError, match=expected):
        prepare(write(rows, tmp_path / "log.csv"), Preparation(**RULES))


def test_what_is_missing(tmp_path: Path) -> None:
    file = write(log(), tmp_path / "log.csv")
    with pytest.raises(ValueError, match=r"there is no column 'whom' \(dataset\.user\)"):
        prepare(file, Preparation(user="whom"))
    bare = tmp_path / "bare.csv"
    pl.read_csv(file).drop("time").write_csv(bare)
    with pytest.raises(ValueError, match=r"dataset\.user: .* give dataset\.time=COLUMN"):
        prepare(bare, Preparation(**RULES, order="file"))
    pl.read_csv(file).drop("session").write_csv(bare)
    with pytest.raises(ValueError, match=r"a column 'who' of users and none of sessions"):
        prepare(bare, Preparation(user="who"))
    with pytest.raises(ValueError, match="'user_clicks' must be None without 'user'"):
        Preparation(user_clicks=5)
    with pytest.raises(ValueError, match="'user_clicks' must be a whole number >= 1"):
        Preparation(user="who", user_clicks=0)
