"""Recommendations for whole files: the same as one session at a time, and kept when interrupted."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import ModelScorer
from pyg_srgnn.clicklog import polars_engine
from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.session_rows import session_rows
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.commands import recommend_file as batch
from pyg_srgnn.commands.recommend_file import recommend_file
from pyg_srgnn.data import Vocabulary
from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.datasets import RetailRocket
from pyg_srgnn.inference.answer import Answer
from pyg_srgnn.inference.clicks import Clicks
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.nn import SRGNN
from tests.clicklog.test_rules import few, logs, rules, steady, write
from tests.reference.names import randomise
from tests.reference.preparation import whole_sessions

IDS = {"int": [3 * i for i in range(1, 20)], "str": [f"shoe {i}" for i in range(1, 20)]}


@pytest.fixture(params=IDS)
def recommender(request: pytest.FixtureRequest) -> Recommender:
    model = randomise(SRGNN(19, 5), 0, 0.3)
    return Recommender(ModelScorer(model), Vocabulary(IDS[request.param]), torch.arange(1, 20))


def sessions_of(recommender: Recommender, count: int = 23) -> list[list[int | str]]:
    """Ragged sessions; one is empty, one unknown, and some hold an unknown item."""
    draw = random.Random(5)
    ids = [*recommender.vocabulary.ids, 999 if recommender.vocabulary.ids[0] == 3 else "hat"]
    found = [[draw.choice(ids) for _ in range(draw.randint(1, 7))] for _ in range(count)]
    return [*found, [], [ids[-1]] * 2]


def holds(
    rows: pl.DataFrame, recommender: Recommender, sessions: list[list[int | str]], k: int
) -> None:
    known = set(recommender.vocabulary.ids)
    wanted = [recommender.answer([session], k)[0].items for session in sessions]
    assert rows["items"].to_list() == [[item for item, _ in best] for best in wanted]
    for scores, best in zip(rows["scores"].to_list(), wanted, strict=True):
        assert scores == pytest.approx([score for _, score in best], abs=1e-5)
    unknown = [sum(item not in known for item in session) for session in sessions]
    assert rows["unknown"].to_list() == unknown
    assert rows["popular"].to_list() == [not known & set(session) for session in sessions]


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 7, 1000])
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_file_of_sessions(recommender, tmp_path, at_once, kind):
    sessions = sessions_of(recommender)
    numbers = list(range(100, 125))
    file = tmp_path / "in.parquet"
    pl.DataFrame({"customer": numbers, "clicks": sessions}).write_parquet(file)
    output = tmp_path / "new" / f"top.{kind}"
    assert recommend_file(recommender, file, output, 4, sessions_at_once=at_once) == 25
    rows = pl.read_parquet(output) if kind == "parquet" else pl.read_ndjson(output)
    assert rows.columns == ["customer", "items", "scores", "unknown", "popular"]
    assert rows["customer"].to_list() == numbers
    holds(rows, recommender, sessions, 4)
    assert list(output.parent.iterdir()) == [output], "the parts are removed"


@pytest.fixture
def marked() -> Recommender:
    """A model that knows types of clicks and pauses."""
    model = randomise(SRGNN(19, 5, num_events=2, events=True, gaps=True), 0, 0.9)
    ids = Vocabulary(IDS["int"])
    return Recommender(ModelScorer(model), ids, torch.arange(1, 20), types=["view", "cart"])


MARKED = [
    Clicks([3, 6, 9], ["view", "cart", "cart"], [5.0, 7.5, 400.0]),
    Clicks([12, 6], ["cart", "view"], [0.0, 90_000.0]),
]


def test_clicks_with_types_and_times(marked: Recommender, tmp_path: Path) -> None:
    """In lists beside the clicks, or in a click log as in training."""
    wanted = [[item for item, _ in answer.items] for answer in marked.answer(MARKED, 6)]
    assert wanted != [[i for i, _ in a.items] for a in marked.answer([c.items for c in MARKED], 6)]
    columns = {name: [getattr(c, name) for c in MARKED] for name in ("items", "types", "times")}
    pl.DataFrame(columns).write_parquet(tmp_path / "in.parquet")
    output = tmp_path / "top.parquet"
    recommend_file(marked, tmp_path / "in.parquet", output, 6, sessions_at_once=1)
    made = pl.read_parquet(output)
    assert made.columns == ["items", "scores", "unknown", "popular"]
    assert made["items"].to_list() == wanted

    rows = [
        f"{session},{item},{1_500_000_000 + time},{kind}"
        for session, clicks in enumerate(MARKED)
        for item, kind, time in zip(
            clicks.items, clicks.types or (), clicks.times or (), strict=True
        )
    ]
    (tmp_path / "log.csv").write_text("\n".join(["session,item,time,action", *rows]))
    log = Preparation(event="action", events={"view": 1, "cart": 3}, pauses="time")
    recommend_file(marked, tmp_path / "log.csv", output, 6, preparation=log)
    assert pl.read_parquet(output)["items"].to_list() == wanted


def test_a_new_log_without_types(
    marked: Recommender, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log.csv").write_text("session,item,time\n1,3,1500000000\n1,6,1500000042\n")
    log = Preparation(event="action", events={"view": 1, "cart": 3}, targets=["cart"])
    output = tmp_path / "top.parquet"
    recommend_file(marked, tmp_path / "log.csv", output, 6, preparation=log, new_log={})
    assert "has no column 'action': its clicks have no types" in caplog.text
    (wanted,) = marked.answer([[3, 6]], 6)
    assert pl.read_parquet(output)["items"].to_list() == [[item for item, _ in wanted.items]]


def test_bad_rows_that_are_left_out_are_told(
    recommender: Recommender, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = ["session,item,time", "a,3,1500000000", "a,3,soon", "b,3,late", "c,,1500000000"]
    file = tmp_path / "log.csv"
    file.write_text("\n".join(rows))
    skipping = Preparation(on_bad_rows="skip", time_format="s")
    assert recommend_file(recommender, file, tmp_path / "top.parquet", preparation=skipping) == 1
    assert f"{file}, line 3: time='soon', expected seconds" in caplog.text
    assert "unreadable time (and 1 more such row)" in caplog.text
    assert f"{file}, line 5: item is empty, expected an id – no item" in caplog.text


def test_without_times_no_click_is_dropped_as_repeated(
    recommender: Recommender, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, output = tmp_path / "log.csv", tmp_path / "top.parquet"
    file.write_text("session,item\na,3\na,6\na,3\n")
    rules = Preparation(dedupe=True, order="file")
    assert recommend_file(recommender, file, output, preparation=rules) == 1
    (wanted,) = recommender.answer([[3, 6, 3]])
    assert pl.read_parquet(output)["items"].to_list() == [[item for item, _ in wanted.items]]
    assert "dataset.dedupe is left out: without times" in caplog.text


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"types": [["view"], ["buy"]]}, "session 2: the model knows no clicks of the type 'buy'"),
        ({"types": [["view"], []]}, "session 2: Clicks: 'types' must have one for each of the 1"),
        ({"times": [["noon"], ["now"]]}, "column 'times' holds lists of String; expected seconds"),
        ({"types": [[1], [2]]}, "column 'types' holds lists of Int64; expected types of clicks"),
    ],
)
def test_wrong_types_and_times(
    marked: Recommender, tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    pl.DataFrame({"clicks": [[3], [6]], **columns}).write_parquet(tmp_path / "in.parquet")
    with pytest.raises(ValueError, match=re.escape(message)):
        recommend_file(marked, tmp_path / "in.parquet", tmp_path / "top.parquet", 4)


def test_columns_that_the_output_replaces_are_named(recommender, tmp_path):
    """The clicks' own column may have any name: it is never taken over."""
    sessions = sessions_of(recommender)
    rows = pl.DataFrame({"items": sessions, "user": range(25), "scores": 1.5, "popular": "yes"})
    rows.write_parquet(tmp_path / "in.parquet")
    with pytest.warns(UserWarning, match=r"in\.parquet: .* popular, scores; rename them"):
        recommend_file(recommender, tmp_path / "in.parquet", tmp_path / "top.parquet", 4)
    made = pl.read_parquet(tmp_path / "top.parquet")
    assert made.columns == ["user", "items", "scores", "unknown", "popular"]
    holds(made, recommender, sessions, 4)


@pytest.mark.parametrize("name", ["in.pq", "IN.PARQUET", "part-0"])
def test_a_file_is_told_by_its_content(recommender, tmp_path, name):
    sessions = sessions_of(recommender)
    pl.DataFrame({"clicks": sessions}).write_parquet(tmp_path / name)
    assert recommend_file(recommender, tmp_path / name, tmp_path / "top.parquet", 4) == 25
    holds(pl.read_parquet(tmp_path / "top.parquet"), recommender, sessions, 4)


def test_a_click_log_has_a_row_a_session(recommender, tmp_path, monkeypatch):
    """Whatever the rows' order, and in several pieces."""
    monkeypatch.setattr(polars_engine, "CLICKS_AT_ONCE", 30)
    sessions = [session for session in sessions_of(recommender) if session]
    clicks = [
        (f"s{number:02d}", 1_400_000_000 + 60 * step, item)
        for number, session in enumerate(sessions)
        for step, item in enumerate(session)
    ]
    random.Random(0).shuffle(clicks)
    file = tmp_path / "log.csv"
    pl.DataFrame(clicks, ["session", "time", "item"], orient="row").write_csv(file)
    assert recommend_file(recommender, file, tmp_path / "top.parquet", 5) == len(sessions)
    rows = pl.read_parquet(tmp_path / "top.parquet").sort("session")
    assert rows["session"].to_list() == [f"s{number:02d}" for number in range(len(sessions))]
    holds(rows, recommender, sessions, 5)


def test_the_rules_of_a_session_apply(recommender, tmp_path):
    a, b, c, d = recommender.vocabulary.ids[:4]
    log = [
        ("u", 0, a),
        ("u", 60, b),
        ("u", 9000, c),
        ("u", 9001, c),
        ("u", 9002, d),
        ("u", 9003, a),
    ]
    file = tmp_path / "log.csv"
    columns = ["user", "time", "item"]
    rows = [(user, 1_400_000_000 + time, item) for user, time, item in log]
    pl.DataFrame(rows, columns, orient="row").write_csv(file)
    for given_rules, session in (
        ({"gap": "30m"}, [c, c, d, a]),
        ({"gap": "30m", "collapse": True}, [c, d, a]),
        ({"gap": "30m", "max_length": 2}, [d, a]),
        ({"gap": "30m", "collapse": True, "max_length": 3}, [c, d, a]),
    ):
        recommend_file(
            recommender, file, tmp_path / "o.parquet", 4, preparation=Preparation(**given_rules)
        )
        holds(pl.read_parquet(tmp_path / "o.parquet"), recommender, [session], 4)


class Echo(Recommender):
    """Recommends a session's own clicks, so that the output is what was served."""

    def answer(self, sessions: Any, *_: Any) -> Any:
        items = [[(item, 0.0) for item in session] for session in sessions]
        return [Answer(best, unknown=[], popular=False, log_probabilities=False) for best in items]


def served(folder: Any, rules: dict[str, Any], ids: list[Any]) -> dict[str, list[Any]]:
    """The sessions that a log's recommendations are made for."""
    echo = Echo(None, Vocabulary(ids), torch.ones(len(ids)))  # type: ignore[arg-type]
    recommend_file(echo, folder / "log.csv", folder / "o.parquet", preparation=Preparation(**rules))
    found = pl.read_parquet(folder / "o.parquet")
    return {str(session): items for session, items in found.select("session", "items").rows()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served")


@pytest.mark.slow
@steady
@given(rows=logs(), rules=rules)
def test_any_log_is_served_by_the_rules_that_it_is_trained_by(folder, rows, rules):
    write(folder / "log.csv", rows)
    gap = "gap" in rules
    expected = {}
    sessions = whole_sessions(rows, [], **({"max_length": 200} | rules))
    for one in sorted(sessions, key=lambda one: one.key[1] if gap else 0):
        expected[one.key[0] if gap else one.key] = one.items  # the last one of its user
    ids = {item for items in expected.values() for item in items} or {1}
    assert served(folder, rules, sorted(ids)) == expected


@pytest.mark.slow
@few
@given(rows=logs(), rules=rules, pieces=st.booleans())
def test_a_session_served_is_one_that_training_sees(folder, rows, rules, pieces):
    """Of two clicks or more, the last one of its user; no item is rare, for all are known."""
    rows = [row | {"item": f"{row['session']}|{row['item']}"} for row in rows]
    rules = rules | {"test": 0.5, "drop_longer": None, "min_length": 2, "recent": 1}
    ids = sorted({row["item"] for row in rows})
    write(folder / "log.csv", rows)
    with pytest.MonkeyPatch.context() as patch:
        if pieces:
            patch.setattr(polars_engine, "CLICKS_AT_ONCE", 9)
        found = served(folder, rules, ids)
    try:
        prepared = prepare(folder / "log.csv", Preparation(**rules), vocabulary=Vocabulary(ids))
    except ValueError as error:
        assert "no session is left" in str(error) or "part is empty" in str(error)
        return
    trained = {}
    for index in [*prepared.training.to_lists(), *prepared.test.to_lists()]:
        items = prepared.vocabulary.decode(index)
        trained.setdefault(str(items[0]).partition("|")[0], []).append(items)
    for session, items in found.items():
        if len(items) > 1:
            assert items == trained[session][-1]


@pytest.mark.parametrize(
    ("rules", "rows", "session"),
    [
        ({"dedupe": True}, [("a", 1, 0), ("a", 1, 0), ("a", 2, 5)], [1, 2]),
        (
            {"gap": "30m", "order": "file", "session": "session"},
            [("a", 2, 0), ("a", 3, 9000), ("a", 4, 8000)],
            [3, 4],
        ),
    ],
)
def test_repeated_rows_and_the_order_of_the_file(tmp_path, rules, rows, session):
    names = ["session", "item", "time"]
    rows = [(session, item, 1_400_000_000 + time) for session, item, time in rows]
    pl.DataFrame(rows, names, orient="row").write_csv(tmp_path / "log.csv")
    assert served(tmp_path, rules, [1, 2, 3, 4]) == {"a": session}


def test_an_interrupted_run_goes_on(recommender, tmp_path, monkeypatch):
    sessions = sessions_of(recommender)
    file, output = tmp_path / "in.parquet", tmp_path / "top.parquet"
    pl.DataFrame({"clicks": sessions}).write_parquet(file)
    recommend_file(recommender, file, tmp_path / "whole.parquet", 4, sessions_at_once=5)
    right, calls = batch._recommended, []

    def stopped(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return right(*args)

    monkeypatch.setattr(batch, "_recommended", stopped)
    with pytest.raises(KeyboardInterrupt):
        recommend_file(recommender, file, output, 4, sessions_at_once=5)
    assert not output.exists()
    recommend_file(recommender, file, output, 4, sessions_at_once=5)
    assert len(calls) == 6, "three parts of five were made before, and are not made again"
    whole = pl.read_parquet(tmp_path / "whole.parquet")
    assert pl.read_parquet(output).equals(whole)


def test_two_commands_do_not_write_one_output(tmp_path, monkeypatch):
    """The parts of both would lie in one folder, and the output be of two models."""
    model = Recommender(ModelScorer(SRGNN(19, 5)), Vocabulary(IDS["int"]), torch.arange(1, 20))
    file, output = tmp_path / "in.parquet", tmp_path / "top.parquet"
    pl.DataFrame({"clicks": [[3], [6]]}).write_parquet(file)
    right, refused = batch._recommended, []

    def meanwhile(*args):
        with pytest.raises(ValueError, match=r"top\.parquet: another command is writing it"):
            recommend_file(model, file, output, 4, key="other")
        refused.append(1)
        return right(*args)

    monkeypatch.setattr(batch, "_recommended", meanwhile)
    assert recommend_file(model, file, output, 4, key="this", sessions_at_once=1) == 2
    assert refused == [1, 1]
    assert {path.name for path in tmp_path.iterdir()} == {"in.parquet", "top.parquet"}
    monkeypatch.setattr(batch, "_recommended", right)
    assert recommend_file(model, file, output, 4, key="other") == 2, "the lock has ended"


@pytest.mark.parametrize("change", ["k", "key", "file"])
def test_parts_of_another_task_are_not_taken(recommender, tmp_path, monkeypatch, change):
    sessions = sessions_of(recommender)
    file, output = tmp_path / "in.parquet", tmp_path / "top.parquet"
    pl.DataFrame({"clicks": sessions}).write_parquet(file)
    right = batch._recommended

    def stopped(*args):
        monkeypatch.setattr(batch, "_recommended", fails)
        return right(*args)

    def fails(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batch, "_recommended", stopped)
    with pytest.raises(OSError, match="No space"):
        recommend_file(recommender, file, output, 4, sessions_at_once=5, key="a")
    monkeypatch.setattr(batch, "_recommended", right)
    if change == "file":
        sessions = sessions[::-1]
        pl.DataFrame({"clicks": sessions}).write_parquet(file)
    k = 3 if change == "k" else 4
    key = "b" if change == "key" else "a"
    recommend_file(recommender, file, output, k, sessions_at_once=5, key=key)
    holds(pl.read_parquet(output), recommender, sessions, k)


def test_rules(recommender, tmp_path):
    ids = recommender.vocabulary.ids
    shelves = [f"shelf {number % 3}" for number in range(len(ids))]
    recommender.set_attributes(ItemAttributes(ids, {"shelf": shelves}))
    sessions = sessions_of(recommender)
    pl.DataFrame({"clicks": sessions}).write_parquet(tmp_path / "in.parquet")
    output = tmp_path / "top.parquet"
    for asked in (
        Rules(where={"shelf": "shelf 1"}, exclude_seen=True),
        Rules(max_per={"shelf": 1}, diversify=0.3),
        Rules(where={"shelf": "shelf 7"}),
    ):
        recommend_file(recommender, tmp_path / "in.parquet", output, 4, asked, sessions_at_once=9)
        rows = pl.read_parquet(output)
        wanted = recommender.answer(sessions, 4, [asked])
        assert rows["items"].to_list() == [[raw for raw, _ in each.items] for each in wanted]
        if asked.bars:
            assert rows["reason"].to_list() == [each.reason for each in wanted]
        assert asked.bars == ("reason" in rows.columns)
    assert set(rows["reason"]) == {
        "no item of the catalogue meets Rules(where={'shelf': 'shelf 7'})"
    }


def test_what_cannot_be_understood(recommender, tmp_path):
    file = tmp_path / "in.parquet"
    with pytest.raises(
        ValueError, match=r"top.csv: expected a file that ends in .parquet or .jsonl"
    ):
        recommend_file(recommender, file, tmp_path / "top.csv")
    with pytest.raises(FileNotFoundError, match=r"in\.parquet"):
        recommend_file(recommender, file, tmp_path / "top.parquet")
    pl.DataFrame({"a": [[1]], "b": [[2]]}).write_parquet(file)
    with pytest.raises(ValueError, match="columns a, b hold lists; expected one"):
        recommend_file(recommender, file, tmp_path / "top.parquet")
    pl.DataFrame({"a": [[1.5]]}).write_parquet(file)
    with pytest.raises(ValueError, match="column 'a' holds lists of Float64"):
        recommend_file(recommender, file, tmp_path / "top.parquet")
    pl.DataFrame({"a": [[1]]}).write_parquet(file)
    pl.DataFrame({"b": [[1]]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"other\.parquet: expected a column 'a' of lists"):
        recommend_file(recommender, [file, tmp_path / "other.parquet"], tmp_path / "top.parquet")


@pytest.mark.parametrize("kind", [pl.Int64, pl.String, pl.Null])
def test_no_session_at_all(recommender, tmp_path, kind):
    file, output = tmp_path / "in.parquet", tmp_path / "top"
    rows = pl.DataFrame({"who": ["x"], "a": [[]]}, {"who": pl.String, "a": pl.List(kind)})
    rows.write_parquet(file)
    recommend_file(recommender, file, output.with_suffix(".parquet"))
    one = pl.read_parquet(output.with_suffix(".parquet"))
    rows.clear().write_parquet(file)
    assert recommend_file(recommender, file, output.with_suffix(".parquet")) == 0
    assert pl.read_parquet(output.with_suffix(".parquet")).schema == one.schema
    assert one.columns == ["who", "items", "scores", "unknown", "popular"]
    assert recommend_file(recommender, file, output.with_suffix(".jsonl")) == 0
    assert output.with_suffix(".jsonl").read_text() == ""


def test_a_log_of_which_no_row_is_asked_for(recommender, tmp_path):
    (tmp_path / "log.csv").write_text("session,item,event\n1,3,view\n")
    for event, count in (("view", 1), ("buy", 0)):
        output = tmp_path / f"{event}.parquet"
        rules = Preparation(order="file", where={"event": event})
        assert recommend_file(recommender, tmp_path / "log.csv", output, 4, None, rules) == count
    schemas = [pl.read_parquet(tmp_path / f"{event}.parquet").schema for event in ("view", "buy")]
    assert schemas[0] == schemas[1]


def unknown(recommender: Recommender, file: Any) -> list[int]:
    rules = Preparation(order="file")
    recommend_file(recommender, file, file.with_name("top.parquet"), 4, preparation=rules)
    return pl.read_parquet(file.with_name("top.parquet"))["unknown"].to_list()


@pytest.mark.parametrize("row", [0, 5, 1500])
def test_text_among_whole_numbers_is_unknown_wherever_it_stands(tmp_path, row):
    """So is 0017: it is not the item 17."""
    recommender = Recommender(ModelScorer(SRGNN(2, 4)), Vocabulary([17, 2**63 - 1]), torch.ones(2))
    rows = [("a", "17"), ("b", str(2**63 - 1))] * 1000
    rows[row : row + 1] = [("c", "red shoe"), ("c", "0017"), ("c", "17"), ("c", "+17")]
    pl.DataFrame(rows, ["session", "item"], orient="row").write_csv(tmp_path / "log.csv")
    assert unknown(recommender, tmp_path / "log.csv") == [0, 0, 3]


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical, pl.Array(pl.String, 3)])
def test_text_in_a_column_of_lists(tmp_path, kind):
    lists = kind if isinstance(kind, pl.Array) else pl.List(kind)
    file = tmp_path / "in.parquet"
    pl.DataFrame({"a": [["17", "0017", "x"]]}, {"a": lists}).write_parquet(file)
    for ids, count in (([17], 2), (["17"], 2), (["0017", "17"], 1)):
        recommender = Recommender(
            ModelScorer(SRGNN(len(ids), 4)), Vocabulary(ids), torch.ones(len(ids))
        )
        assert unknown(recommender, file) == [count]


def test_fixed_size_lists_are_lists(recommender, tmp_path):
    """Also where another file of the input holds lists of any size."""
    kind = pl.Int32 if recommender.vocabulary.ids[0] == 3 else pl.String
    sessions = [recommender.vocabulary.ids[i : i + 2] for i in range(3)]
    for name, lists in (("0", pl.Array(kind, 2)), ("1", pl.List(kind))):
        rows = pl.DataFrame({"number": [0, 1, 2], "a": sessions}, {"number": pl.Int64, "a": lists})
        rows.write_parquet(tmp_path / f"{name}.parquet")
    files = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    assert recommend_file(recommender, files, tmp_path / "top.parquet", 4) == 6
    holds(pl.read_parquet(tmp_path / "top.parquet"), recommender, 2 * sessions, 4)


def write_views(path: Any, header: str = "timestamp,visitorid,event,itemid", scale: int = 1) -> Any:
    """A visitor's views: two of one visit, a purchase, and two after 30 minutes of silence."""
    rows = [(0, "view", 1), (60, "view", 2), (4000, "view", 3), (4060, "buy", 9), (4070, "view", 4)]
    separator = ";" if ";" in header else ","
    lines = [
        separator.join(map(str, (scale * (1_400_000_000 + time), 7, event, item)))
        for time, event, item in rows
    ]
    path.write_text("\n".join([*filter(None, [header]), *lines, ""]), encoding="utf-8")
    return path


def served_from(file: Any, trained: Preparation, **new_log: Any) -> list[Any]:
    echo = Echo(None, Vocabulary(range(1, 10)), torch.ones(9))  # type: ignore[arg-type]
    output = file.with_name("o.parquet")
    recommend_file(echo, file, output, preparation=trained, new_log=new_log)
    return pl.read_parquet(output)["items"].to_list()


@pytest.mark.parametrize(
    ("header", "scale", "new_log", "sessions"),
    [
        ("timestamp,visitorid,event,itemid", 1000, {}, [[3, 4]]),
        ("ts,user,event,product", 1, {}, [[3, 4]]),  # in seconds, guessed with its column
        ("timestamp;visitorid;event;itemid", 1000, {}, [[3, 4]]),
        ("when,who,event,what", 1, {"time": "when", "user": "who", "item": "what"}, [[3, 4]]),
        ("timestamp,visitorid,event,itemid", 1000, {"where": {}}, [[3, 9, 4]]),
        ("timestamp,visitorid,event,itemid", 1000, {"gap": "2h"}, [[1, 2, 3, 4]]),
        ("", 1000, {"columns": ["timestamp", "visitorid", "event", "itemid"]}, [[3, 4]]),
    ],
)
def test_a_new_log_has_the_rules_of_training(tmp_path, header, scale, new_log, sessions):
    file = write_views(tmp_path / "log.csv", header, scale)
    assert served_from(file, RetailRocket.preparation, **new_log) == sessions


def test_texts_are_those_of_training(tmp_path):
    """A log to recommend for needs no text, nor is any read."""
    trained = Preparation(gap="30m", text=["title", "brand"], cold="keep")
    file = write_views(tmp_path / "log.csv")
    assert served_from(file, trained) == [[3, 9, 4]]
    (tmp_path / "same").mkdir()
    write_views(tmp_path / "same" / "log.csv")
    rules = {"user": "visitorid", "item": "itemid", "gap": "30m", "text": ["title"]}
    assert served(tmp_path / "same", rules, list(range(1, 10))) == {"7": [3, 9, 4]}


def test_a_condition_on_a_column_that_is_not_there(tmp_path, caplog):
    file = write_views(tmp_path / "log.csv", "timestamp,visitorid,kind,itemid", 1000)
    assert served_from(file, RetailRocket.preparation) == [[3, 9, 4]]
    assert f"{file} has no column 'event': event=view, as in training" in caplog.text
    with pytest.raises(ValueError, match=r"no column 'event' \(dataset.where\)"):
        served_from(file, RetailRocket.preparation, where={"event": "view"})


def test_a_log_with_a_header_where_training_had_none(tmp_path):
    names = ("timestamp", "visitorid", "event", "itemid")
    trained = Preparation(columns=names, gap="30m")
    for header in (",".join(names), ""):
        file = write_views(tmp_path / "log.csv", header)
        assert served_from(file, trained) == [[3, 9, 4]]


def test_the_time_zone_of_training_is_for_times_that_have_none(tmp_path):
    trained = Preparation(gap="30m", time_zone="Europe/Berlin")
    file = write_views(tmp_path / "log.csv")
    assert served_from(file, trained) == [[3, 9, 4]]
    with pytest.raises(ValueError, match=r"dataset\.time_zone is for times without a zone"):
        served_from(file, trained, time_zone="Europe/Berlin")


def test_a_new_log_is_described_only_where_there_is_one(tmp_path):
    file = tmp_path / "in.parquet"
    pl.DataFrame({"a": [[1]]}).write_parquet(file)
    with pytest.raises(ValueError, match=r"dataset\.item is for click logs"):
        served_from(file, Preparation(), item="a")


def test_files_whose_columns_differ_and_an_output_that_is_the_input(tmp_path):
    model = Recommender(ModelScorer(SRGNN(19, 5)), Vocabulary(IDS["int"]), torch.arange(1, 20))
    one, two = tmp_path / "in" / "1.parquet", tmp_path / "in" / "2.parquet"
    one.parent.mkdir()
    pl.DataFrame({"customer": [1], "clicks": [[3]]}).write_parquet(one)
    pl.DataFrame({"clicks": [[6]], "customer": [2]}).write_parquet(two)  # in another order
    assert recommend_file(model, one.parent, tmp_path / "out.parquet", 4) == 2
    assert pl.read_parquet(tmp_path / "out.parquet")["customer"].to_list() == [1, 2]
    before = two.read_bytes()
    with pytest.raises(ValueError, match="is a file of the input"):
        recommend_file(model, one.parent, two, 4)
    assert two.read_bytes() == before
    pl.DataFrame({"clicks": [[6]], "age": [2]}).write_parquet(two)
    with pytest.raises(ValueError, match=r"2\.parquet: columns clicks, age; expected those of"):
        recommend_file(model, one.parent, tmp_path / "out.parquet", 4)


def test_times_that_are_no_numbers_are_unknown() -> None:
    model, vocabulary = SRGNN(19, 5, gaps=True), Vocabulary(IDS["int"])
    known = Recommender(ModelScorer(model), vocabulary, torch.arange(1, 20))
    session = [3, 6, 9]
    wanted = known.recommend([Clicks(session, times=[0, None, 2])], 3)
    for strange in (float("nan"), float("inf")):
        assert known.recommend([Clicks(session, times=[0, strange, 2])], 3) == wanted


def test_users_of_a_new_log_whose_sessions_have_a_column(tmp_path):
    log = tmp_path / "log.csv"
    rows = [f"i{n // 2},{3 * (n + 1)},{1_500_000_000 + n},anna" for n in range(4)]
    log.write_text("invoice,item,time,client\n" + "\n".join(rows) + "\n")
    trained = Preparation(session="invoice", user="customer", item="item", time="time")
    rows, clicks = session_rows([log], trained, {"user": "client"}, True, tmp_path)
    found = rows.sort("session").collect()
    assert found["session"].to_list() == ["i0", "i1"]
    assert found[clicks].to_list() == [[3, 6], [9, 12]]
