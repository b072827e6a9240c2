"""From chosen clicks to two parts: the split to the second, the numbers of items, what is left."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
import pytest

from pyg_srgnn.clicklog import assemble
from pyg_srgnn.clicklog.polars_engine import PolarsEngine
from pyg_srgnn.clicklog.prepared import Prepared
from pyg_srgnn.clicklog.rules import Chosen
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.data import Vocabulary

DAY = 86_400
START = 1_396_828_800  # 2014-04-07, midnight
SIZE = 2  # sessions of a piece
FOLDER = Path()  # of the test's files


def chosen(sessions: list[str], seconds: list[int] | None = None) -> Chosen:
    """Sessions of one-letter items, one session per hour if no times are given; clicks shuffled."""
    timed = seconds is not None
    at = [START + second for second in seconds] if timed else [0] * len(sessions)
    letters = sorted(set("".join(sessions)))
    clicks = [
        {"s": s, "code": letters.index(letter), "row": row, "time": at[s] * 1_000_000}
        for s, session in enumerate(sessions)
        for row, letter in enumerate(session)
    ]
    shuffled = pl.DataFrame(clicks).sample(fraction=1, shuffle=True, seed=1)
    lengths = pl.DataFrame({"n": [len(session) for session in sessions], "second": at})
    items = pl.DataFrame({"code": range(len(letters)), "item": letters})
    steps = [{"rule": "sessions", "clicks": len(clicks), "sessions": len(sessions)}]
    numbered = shuffled.lazy().with_columns(piece=pl.col("s") // SIZE)
    pieces = PolarsEngine().scatter([nw.from_native(numbered)], Path(mkdtemp(dir=FOLDER)))
    return Chosen(pieces, SIZE, ["row"], lengths, items, steps, timed)


def assembled(
    sessions: list[str],
    seconds: list[int] | None = None,
    known: list[Any] | None = None,
    **rules: Any,
) -> Prepared:
    vocabulary = None if known is None else Vocabulary(known)
    return assemble.assemble(chosen(sessions, seconds), Preparation(**rules), vocabulary)


def letters(made: Prepared) -> tuple[list[str], list[str]]:
    parts = (made.training, made.test)
    training, test = (
        ["".join(session) for session in part.to_lists(made.vocabulary)] for part in parts
    )
    return training, test


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FOLDER", tmp_path)


@pytest.fixture(params=[1, 3, 1_000])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SIZE", request.param)


@pytest.mark.usefixtures("piece")
def test_items_are_numbered_as_training_first_shows_them() -> None:
    made = assembled(["cab", "dd", "bad", "xcy", "xx", "abx"], test=0.5)
    assert made.vocabulary.ids == ["c", "a", "b", "d"]
    assert letters(made) == (["cab", "dd", "bad"], ["ab"])
    assert made.training.times is None
    assert made.report["unseen_test_items"] == {"items": 2, "clicks": 5, "share": 5 / 8}
    assert made.report["steps"][1:] == [
        {"rule": "training part", "clicks": 8, "sessions": 3, "part": "training"},
        {"rule": "test part", "clicks": 8, "sessions": 3, "part": "test"},
        {
            "rule": "test items that training lacks dropped",
            "clicks": 3,
            "sessions": 2,
            "part": "test",
        },
        {
            "rule": "test sessions of fewer than 2 clicks dropped",
            "clicks": 2,
            "sessions": 1,
            "part": "test",
        },
    ]


@pytest.mark.usefixtures("piece")
def test_known_items_come_first_and_stay_in_the_test_part() -> None:
    made = assembled(["ca", "bc", "xa", "yx"], known=["x", "a", "z"], test=0.5)
    assert made.vocabulary.ids == ["x", "a", "z", "c", "b"]
    assert letters(made) == (["ca", "bc"], ["xa"])


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize(
    ("known", "ids"), [(None, "cabdxy"), (["y", "a", "z"], "yazcbdx"), (["x"], "xcabdy")]
)
def test_cold_items_stay_and_are_numbered_after_all_others(known: Any, ids: str) -> None:
    made = assembled(["cab", "dd", "bad", "xcy", "xx", "abx"], known=known, test=0.5, cold="keep")
    assert made.vocabulary.ids == list(ids)
    assert letters(made) == (["cab", "dd", "bad"], ["xcy", "xx", "abx"])
    assert "unseen_test_items" not in made.report
    assert made.report["steps"][1:] == [
        {"rule": "training part", "clicks": 8, "sessions": 3, "part": "training"},
        {"rule": "test part", "clicks": 8, "sessions": 3, "part": "test"},
    ]


SECONDS = [0, DAY, 2 * DAY, 2 * DAY, 2 * DAY + 1, 3 * DAY]


@pytest.mark.parametrize(
    ("rules", "training", "test", "limit"),
    [
        ({"test": "1d"}, 4, 2, "2014-04-09T00:00:00Z"),
        ({"test": "1d", "strict": True}, 2, 2, "2014-04-09T00:00:00Z"),
        ({"test": "2d"}, 2, 4, "2014-04-08T00:00:00Z"),
        ({"test": "2014-04-09"}, 2, 4, "2014-04-09T00:00:00Z"),
        ({"test": "2014-04-09", "strict": True}, 2, 4, "2014-04-09T00:00:00Z"),
        ({"test": 0.5, "strict": True}, 3, 3, None),
        ({"test": 0.26}, 4, 2, None),
    ],
)
def test_where_the_parts_meet(
    rules: dict[str, Any], training: int, test: int, limit: str | None
) -> None:
    made = assembled(["ab"] * 6, SECONDS, **rules)
    times = [START + second for second in SECONDS]
    assert made.training.times.tolist() == times[:training]
    assert made.test.times.tolist() == times[6 - test :]
    assert made.report["split"] == {"test": str(rules["test"]), "limit": limit}
    lost = [s for s in made.report["steps"] if s["rule"] == "sessions on the split instant dropped"]
    assert [(s["clicks"], s["sessions"]) for s in lost] == ([(8, 4)] if training + test < 6 else [])


@pytest.mark.parametrize(
    ("rules", "seconds", "said"),
    [
        ({"test": "4d"}, SECONDS, "the training part is empty; the log has 6 sessions from 2014"),
        ({"test": "2014-05-01"}, SECONDS, "the test part is empty; the log has 6 sessions from"),
        ({"test": 0.05}, None, "the test part is empty; the log has 6 sessions$"),
        ({"test": "1d"}, None, r"test=1d: the log has no times; give a fraction"),
        ({"test": 0.2, "recent": 7}, None, r"recent=7: of 5 training samples none is left"),
        ({"test": 0.2, "min_length": 3}, None, "of 2 clicks in 1 sessions none is left"),
    ],
)
def test_an_empty_part_is_an_error(
    rules: dict[str, Any], seconds: list[int] | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        assembled(["ab"] * 6, seconds, **rules)


@pytest.mark.usefixtures("piece")
def test_the_last_samples_keep_the_whole_catalogue() -> None:
    made = assembled(["abc", "defg", "hi", "ab"], test=0.25, recent=2)
    assert letters(made) == (["def", "hi"], ["ab"])
    assert len(made.vocabulary) == 9
    last = made.report["steps"][-1]
    assert (last["clicks"], last["sessions"], last["part"]) == (5, 2, "training")


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("key", ["row", "time", "order"])
def test_equal_rows_are_counted_however_a_session_is_sorted(key: str) -> None:
    draw = np.random.default_rng(0)
    rows = pl.DataFrame(
        {
            "s": draw.integers(0, 6, 90),
            "code": draw.integers(0, 2, 90),
            "time": draw.integers(0, 3, 90),
            "order": draw.integers(0, 2, 90),
            "row": range(90),
        }
    )
    same = ["s", "code", "time", *(["order"] if key == "order" else [])]
    keys = ["row"] if key == "row" else [key, "row"]
    clicks = rows.select(*dict.fromkeys([*same, *keys])).lazy()
    clicks = clicks.with_columns(piece=pl.col("s") // SIZE)
    pieces = PolarsEngine().scatter([nw.from_native(clicks)], Path(mkdtemp(dir=FOLDER)))
    lengths = rows.group_by("s").agg(n=pl.len(), second=pl.lit(0)).sort("s")
    items = pl.DataFrame({"item": [10, 11]})
    given = Chosen(pieces, SIZE, keys, lengths, items, [{"clicks": 90, "sessions": 6}], True)
    made = assemble.assemble(given, Preparation(test=0.5))
    assert made.report["duplicates"] == 90 - rows.select(same).n_unique()
