"""Texts of items out of columns of the log: against the plain reference, with dirty values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.prepared import Prepared
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.data import Vocabulary
from pyg_srgnn.datasets import ClickLog
from tests.clicklog.engine_duckdb import DuckDBEngine
from tests.clicklog.test_rules import few, logs, write
from tests.reference.preparation import texts

COLUMNS = ["title", "brand"]
DIRTY = ["", "", " ", "\t", "hat", " hat", "Hat", "hat ", "ä hat", "Über", "a. b", 'say "x"', "z,;"]
RULES = {"text": COLUMNS, "min_support": 1, "test": 0.5, "cold": "keep"}

described = st.tuples(st.sampled_from(DIRTY), st.sampled_from(DIRTY[:8]))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts") / "clicks.csv"


def with_texts(rows: list[dict[str, str]], data: st.DataObject) -> list[dict[str, str]]:
    found = data.draw(st.lists(described, min_size=len(rows), max_size=len(rows)))
    return [
        row | dict(zip(COLUMNS, texts, strict=True)) for row, texts in zip(rows, found, strict=True)
    ]


def check(path: Path, rows: list[dict[str, str]], **rules: Any) -> None:
    """The texts are the reference's, and what was prepared is what it is without them."""
    write(path, rows)
    plain = {name: value for name, value in (RULES | rules).items() if name != "text"}
    try:
        expected = prepare(path, Preparation(**plain))
    except ValueError:
        return
    made = prepare(path, Preparation(**RULES | rules))
    chosen = [row for row in rows if row["event"] == "view" or "where" not in rules]
    of_items = texts(chosen, COLUMNS)
    assert made.texts == [of_items.get(str(raw)) for raw in made.vocabulary.ids]
    assert made.report.pop("items_with_text") == sum(text is not None for text in made.texts)
    assert expected.texts is None and made.vocabulary == expected.vocabulary
    assert made.training == expected.training and made.test == expected.test
    assert made.report["steps"] == expected.report["steps"]


optional = st.fixed_dictionaries(
    {},
    optional={
        "where": st.just({"event": "view"}),
        "dedupe": st.booleans(),
        "collapse": st.booleans(),
        "max_length": st.sampled_from([3, None]),
        "gap": st.just("30m"),
        "min_support": st.sampled_from([1, 3]),
        "cold": st.just("drop"),
    },
)


@pytest.mark.slow
@few
@given(rows=logs(), rules=optional, data=st.data())
@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_an_item_has_the_text_of_most_of_its_rows(
    log: Path, engine: str, rows: list[Any], rules: dict[str, Any], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if engine == "duckdb":
            patch.setattr("pyg_srgnn.clicklog.prepare.open_engine", lambda _: DuckDBEngine())
        check(log, with_texts(rows, data), session="session", **rules)


ROWS = [
    # session, item, title, brand
    ("1", "a", "Tea cup", "Ash"),
    ("1", "b", "tray", None),
    ("1", "a", " Tea \t cup ", "Ash"),  # the same, without needless blanks
    ("2", "a", "cup", ""),
    ("2", "b", "Tray", " "),  # as often as "tray", and before it
    ("2", "c", "", None),
    ("3", "c", None, "  "),
    ("3", "d", None, "Elm"),
    ("4", "d", "\u00a0", ""),  # a blank that is none of ASCII
    ("4", "e", "cold item", "Ash"),
]


def frame() -> pl.DataFrame:
    return pl.DataFrame(ROWS, ["session", "item", *COLUMNS], orient="row")


EXPECTED = {"a": "Tea cup. Ash", "b": "Tray", "c": None, "d": "Elm", "e": "cold item. Ash"}


def prepared(path: Path, **rules: Any) -> Prepared:
    options = RULES | {"order": "file"} | rules
    return prepare(path, Preparation(**options))


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_nulls_and_blanks_are_no_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    frame().write_csv(path) if name == "log.csv" else frame().write_parquet(path)
    made = prepared(path)
    assert dict(zip(made.vocabulary.ids, made.texts or [], strict=True)) == EXPECTED
    assert made.report["items_with_text"] == 4
    only = prepared(path, text="brand")
    assert dict(zip(only.vocabulary.ids, only.texts or [], strict=True)) == {
        "a": "Ash", "b": None, "c": None, "d": "Elm", "e": "Ash",
    }  # fmt: skip


def test_columns_without_any_text(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    frame().with_columns(title=pl.lit(" "), brand=pl.lit("")).write_csv(path)
    assert prepared(path).texts == [None] * 5


def test_values_that_are_no_text_are_written_as_one(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    numbers = [7.0, float("nan"), None, 0.5, 7.0, None, float("nan"), 2.0, 2.0, 3.0]
    sizes = pl.DataFrame({"size": numbers, "new": [True] * 10})
    frame().hstack(sizes).write_parquet(path)
    made = prepared(path, text=["size", "new"])
    assert dict(zip(made.vocabulary.ids, made.texts or [], strict=True)) == {
        "a": "0.5. true", "b": "7. true", "c": "true", "d": "2. true", "e": "3. true",
    }  # fmt: skip


def test_rows_that_are_left_out_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    frame().with_columns(event=pl.Series([*["view"] * 9, "buy"])).write_csv(path)
    made = prepared(path, where={"event": "view"})
    assert dict(zip(made.vocabulary.ids, made.texts or [], strict=True)) == {
        raw: text for raw, text in EXPECTED.items() if raw != "e"
    }


def test_known_items_that_the_log_lacks_have_no_text(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    frame().write_csv(path)
    options = Preparation(**RULES, order="file")
    made = prepare(path, options, vocabulary=Vocabulary(["z", "b"]))
    assert made.vocabulary.ids[:2] == ["z", "b"]
    assert made.texts is not None and made.texts[:3] == [None, "Tray", "Tea cup. Ash"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (["title", "colour"], r"there is no column 'colour' \(dataset\.text\); its columns are"),
        ([], "'text' must be None or the names of columns, each once"),
        (["title", "title"], "'text' must be None or the names of columns, each once"),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, text: list[str], said: str) -> None:
    path = tmp_path / "log.csv"
    frame().write_csv(path)
    with pytest.raises(ValueError, match=said):
        prepared(path, text=text)


def test_a_column_of_lists_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    frame().with_columns(title=pl.concat_list("title", "brand")).write_parquet(path)
    with pytest.raises(ValueError, match=r"column 'title' holds values of type List"):
        prepared(path)


def opened(root: Path, path: Path, **rules: Any) -> ClickLog:
    return ClickLog(root, path=path, valid=0.5, **rules)


def test_a_dataset_and_a_prepared_folder_keep_them(tmp_path: Path) -> None:
    path, folder = tmp_path / "log.csv", tmp_path / "prepared"
    frame().write_csv(path)
    made = prepared(path)
    made.save(folder)
    assert Prepared.load(folder) == made
    for _ in range(2):  # made, and from the cache
        data = opened(tmp_path / "root", path, **RULES, order="file")
        assert dict(zip(data.vocabulary.ids, data.texts or [], strict=True)) == EXPECTED
        assert opened(tmp_path / "root", folder).texts == data.texts
    assert opened(tmp_path / "root", folder).preparation.text == ("title", "brand")

    items, report = folder / "items.parquet", folder / "report.json"
    pl.read_parquet(items).select("item").write_parquet(items)  # as older versions wrote it
    stored = json.loads(report.read_text())
    stored["preparation"].pop("text")
    report.write_text(json.dumps(stored))
    assert Prepared.load(folder).texts is None
    assert opened(tmp_path / "root", folder).texts is None


def test_older_caches_of_logs_without_texts_stay_valid(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    pl.concat([frame(), frame().with_columns(session="9" + pl.col("session"))]).write_csv(path)
    rules = {"order": "file", "min_support": 1, "test": 0.5}
    data = opened(tmp_path / "root", path, **rules)
    assert not {"cold", "text"} & data.parameters().keys()
    others = [opened(tmp_path / "root", path, **rules | more) for more in ({"cold": "keep"}, RULES)]
    assert len({one.processed_dir for one in (data, *others)}) == 3
