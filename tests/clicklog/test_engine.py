"""Spark and DuckDB give what Polars gives: the same sessions, items, counts and bad rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import polars as pl
import pytest
from hypothesis import given

from benchmarks.click_log import write as write_yoochoose
from benchmarks.spark import read_events
from pyg_srgnn.clicklog import spark_values
from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.prepared import Prepared
from pyg_srgnn.clicklog.spark_engine import SETTINGS, SparkEngine
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.clicklog.times import micros
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.datasets.click_log import ClickLog
from tests.clicklog.engine_duckdb import DuckDBEngine
from tests.clicklog.test_rules import Case, agree, by_the_clock, check, few, logs, rules, write

START = datetime(2014, 4, 7, 10)


def values(prepared: Prepared) -> dict[str, Any]:
    """All that must be the same, whatever the engine."""
    report = {k: v for k, v in prepared.report.items() if k not in ("engine", "seconds")}
    report.pop("peak_memory_mb")
    times = [
        None if p.times is None else p.times.tolist() for p in (prepared.training, prepared.test)
    ]
    return {
        "training": prepared.training.to_lists(),
        "test": prepared.test.to_lists(),
        "times": times,
        "vocabulary": prepared.vocabulary.ids,
        "texts": prepared.texts,
        "report": report,
    }


# ---------------------------------------------------------------------------- DuckDB


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines") / "clicks.csv"


@pytest.mark.slow
@few
@given(rows=logs(), rules=rules)
def test_duckdb_runs_any_rules(log: Path, rows: list[Any], rules: dict[str, Any]) -> None:
    known = sorted({row["item"] for row in rows} - {"9"})[:2]
    if all(raw.isdecimal() for row in rows for raw in [row["item"]]):
        known = list(map(int, known))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyg_srgnn.clicklog.prepare.open_engine", lambda _: DuckDBEngine())
        check(Case(rows, rules), log)
        check(Case(rows, rules, known), log)
        in_place = {"test": 0.4, "time_zone": "Europe/Berlin"}
        check(Case(by_the_clock(rows), rules | in_place), log)


# ---------------------------------------------------------------------------- Spark


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One session for all tests here; the engine takes the one that is there."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("tests")
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        # Queries of a few rows: to compile them takes longer than to interpret them.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.log.level": "OFF",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.dir": tmp_path_factory.mktemp("events").as_uri(),
    }.items():
        builder = builder.config(key, value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASTER", "local[2]")
        session = builder.getOrCreate()
        yield session
        session.stop()


def same(path: Any, scratch: Path, known: Vocabulary | None = None, **rules: Any) -> Prepared:
    """Prepare a log with both engines; they agree in everything."""
    preparation = Preparation(**{"min_support": 1, "test": 0.2} | rules)
    ours, theirs = (
        prepare(path, preparation, engine, known, scratch) for engine in ("polars", "spark")
    )
    assert values(theirs) == values(ours)
    assert len(theirs.training) > 5
    assert not list(scratch.glob("clicks-*"))
    return theirs


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in parts of a few lines; those of large files come before small files."""
    for key, value in (("maxPartitionBytes", "2000"), ("openCostInBytes", "1")):
        monkeypatch.setitem(SETTINGS, f"spark.sql.files.{key}", value)


def stamp(second: int) -> datetime:
    return START + timedelta(seconds=second)


@pytest.mark.spark
def test_the_benchmark_reads_what_spark_logs(spark: Any) -> None:
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    items = spark.range(1_000).withColumn("item", F.col("id") % 70).groupBy("item").count()
    number = F.row_number().over(Window.orderBy("count", "item"))
    assert items.withColumn("number", number).agg(F.max("number")).collect()[0][0] == 70
    (log,) = Path(url2pathname(urlsplit(spark.conf.get("spark.eventLog.dir")).path)).iterdir()
    with log.open(encoding="utf-8") as lines:
        found = read_events(map(json.loads, lines))
    assert found["cpu_seconds"] > 0
    assert 0 < found["largest_mb"] < found["shuffled_mb"]
    assert sum(found["exchanges"].values()) == pytest.approx(found["shuffled_mb"], rel=0.01)
    assert {"hashpartitioning(item)", "SinglePartition"} <= set(found["exchanges"])


@pytest.mark.spark
def test_the_sample_file(spark: Any, benchmark_data: Path, tmp_path: Path) -> None:
    """Saved by one engine and opened as a data set, it is what the other one makes of it."""
    file = benchmark_data / "sample" / "sample_train-item-views.csv"
    rules = {"order": "timeframe", "min_support": 5, "test": "7d", "strict": True}
    prepared = same(file, tmp_path, **rules)
    assert (len(prepared.training), len(prepared.test)) == (469, 39)

    prepared.save(tmp_path / "prepared")
    opened, log = (
        ClickLog(tmp_path / "root", split="trainval", path=path, **options)
        for path, options in ((tmp_path / "prepared", {}), (file, rules))
    )
    assert opened.processed_dir != log.processed_dir
    assert opened.sessions == log.sessions == prepared.training
    assert opened.vocabulary == log.vocabulary
    assert opened.report["engine"] == "spark"
    assert ClickLog(tmp_path / "root", split="test", path=tmp_path / "prepared").sessions == (
        prepared.test
    )


@pytest.mark.spark
def test_one_file_in_many_blocks(spark: Any, small_blocks: None, tmp_path: Path) -> None:
    """In Yoochoose's format; a session's clicks stay in file order, ties and all."""
    whole, file = tmp_path / "whole.dat", tmp_path / "clicks.dat"
    write_yoochoose(whole, rows=400, seed=2)
    minute = [line[:-1].split(",") for line in whole.open()]
    text = (f"{s},{t[:15]}0:00.000Z,{int(i) % 7},{c}\n" for s, t, i, c in minute)
    file.write_text("".join(text))
    prepared = same(
        file,
        tmp_path,
        session="s",
        item="i",
        time="t",
        columns=["s", "t", "i", "c"],
        order="file",
        test=0.4,
        min_support=2,
    )
    assert file.stat().st_size > 5 * 2_000
    assert prepared.report["duplicates"]


@pytest.mark.spark
def test_many_files_of_many_sizes(spark: Any, small_blocks: None, tmp_path: Path) -> None:
    """A log of users and text ids: files decide ties, each is written in another way."""
    folder = tmp_path / "a log [1] 100%+é"
    folder.mkdir()
    ids = ["red shoe", "a,b", 'say "ha"', "ß", "7", "back\\slash", " x ", "it's"]
    for number, size in enumerate([3, 90, 11, 40, 1, 60]):
        # A click every ten minutes or so: many of all files and users at the same time.
        rows = [
            {
                "user": f"u{(row * 7 + number) % 6}",
                "item": ids[(row * 5 + number * 3) % len(ids)],
                "time": str(stamp(600 * (row % 17) + 40_000 * (row % 3))),
            }
            for row in range(size)
        ]
        names = ["time", "user", "item"] if number % 2 else ["user", "item", "time"]
        text = io.StringIO()
        lines = csv.DictWriter(text, names, lineterminator="\n" if number % 3 else "\r\n")
        lines.writeheader()
        lines.writerows(rows)
        raw = text.getvalue().encode("utf-8-sig" if number == 2 else "utf-8")
        raw = raw[:-1] if number == 4 else raw + b"\n \n,,\n"
        if number == 3:
            (folder / "3.csv.gz").write_bytes(gzip.compress(raw))
        else:
            (folder / f"{number}.csv").write_bytes(raw)
    prepared = same(folder, tmp_path, gap="15m", test=0.3)
    assert set(prepared.vocabulary.ids) == set(ids)
    assert prepared.report["rows"] == 205


@pytest.mark.spark
def test_parquet(spark: Any, small_blocks: None, tmp_path: Path) -> None:
    """Two files with their columns in another order, nanoseconds, and row groups."""
    frame = pl.DataFrame(
        {
            "session": [row * 7 % 23 for row in range(160)],
            "item": [float(row * row % 11) for row in range(159)] + [None],
            "event.type": ["view", "view", "buy", "view"] * 40,
            "time": [stamp(row * 37 % 50) for row in range(160)],
        },
        schema_overrides={"time": pl.Datetime("ns"), "session": pl.Int32},
    )
    folder = tmp_path / "log"
    folder.mkdir()
    frame[:20].write_parquet(folder / "b.parquet")
    frame[20:].select(reversed(frame.columns)).write_parquet(folder / "c.parquet", row_group_size=9)
    rules = {"order": "file", "where": {"event.type": ["view", "add"]}, "on_bad_rows": "skip"}
    prepared = same(folder, tmp_path, **rules)
    assert prepared.report["bad_rows"][0]["first"].startswith(f"{folder / 'c.parquet'}, row 140:")
    assert all(type(raw) is int for raw in prepared.vocabulary.ids)


@pytest.mark.spark
def test_parquet_of_many_types(spark: Any, tmp_path: Path) -> None:
    """Ids are the same whatever their type, and no name is one of the engine's own."""
    kinds = [pl.Int64(), pl.Float64(), pl.Decimal(38, 3), pl.Float32(), pl.String(), pl.Binary()]
    folder = tmp_path / "log"
    folder.mkdir()
    names = ["_metadata", "Row", "row", "time", "event"]
    for number, kind in enumerate(kinds):
        ids = pl.Series("row", [row * 7 % 5 for row in range(30)])
        item = ids.cast(pl.Decimal(38, 2)) + (pl.Series([Decimal("0.25")]) if number == 2 else 0)
        text = kind in (pl.String(), pl.Binary())
        item = item.cast(kind) if not text else ids.cast(pl.String).cast(kind)
        frame = pl.DataFrame(
            {
                "_metadata": [number * 10 + row % 10 for row in range(30)],
                "Row": 7,
                "row": item,
                "time": [stamp(row) for row in range(30)],
                "event": pl.Series([1 if row % 6 else 2 for row in range(30)]).cast(
                    pl.Int32() if text else kind
                ),
            }
        )
        frame.select(names if number % 2 else reversed(names)).write_parquet(
            folder / f"{number}.parquet"
        )
    rules = {"session": "_metadata", "item": "row", "order": "file", "where": {"event": 1.0}}
    prepared = same(folder, tmp_path, **rules)
    fractions = [f"{number}.25" for number in range(5)]
    assert sorted(prepared.vocabulary.ids) == sorted([*map(str, range(5)), *fractions])


@pytest.mark.spark
@pytest.mark.parametrize("form", ["text", "pattern", "parquet"])
def test_times_by_the_clock_of_a_place(spark: Any, tmp_path: Path, form: str) -> None:
    """Around both changes, and once with zones here and there."""
    days = [datetime(2014, 10, 26), datetime(2014, 3, 30)]
    clocks = [days[n // 300] + timedelta(minutes=n * 37 % 300) for n in range(600)]
    frame = pl.DataFrame(
        {"session": [n % 31 for n in range(600)], "item": [n % 7 for n in range(600)]}
    ).with_columns(time=pl.Series(clocks))
    rules = {"time_zone": "Europe/Berlin", "on_bad_rows": "skip"}
    path = tmp_path / ("a.parquet" if form == "parquet" else "a.csv")
    if form == "text":
        written = [f"{clock}{'Z' if n % 5 == 0 else ''}" for n, clock in enumerate(clocks)]
        frame = frame.with_columns(time=pl.Series(written))
    elif form == "pattern":
        rules["time_format"] = "%d.%m.%Y %H:%M"
        frame = frame.with_columns(pl.col("time").dt.to_string(rules["time_format"]))
    frame.write_csv(path) if form != "parquet" else frame.write_parquet(path)
    ours, theirs = (
        prepare(path, Preparation(min_support=1, test=0.2, **rules), engine, scratch=tmp_path)
        for engine in ("polars", "spark")
    )
    found, expected = values(theirs), values(ours)
    bad = [report["report"].pop("bad_rows") for report in (found, expected)]
    assert found == expected
    assert [(row["reason"], row["rows"]) for row in bad[0]] == [
        (row["reason"], row["rows"]) for row in bad[1]
    ]
    assert ours.report["repeated_times"] > 30 and bad[0][0]["rows"] > 30


@pytest.mark.spark
def test_large_decimals(spark: Any, tmp_path: Path) -> None:
    for scale in (0, 2):
        ids = [Decimal(2**53 + row % 3) for row in range(60)]
        frame = pl.DataFrame(
            {"session": [row // 3 for row in range(60)], "item": ids},
            {"session": pl.Int64, "item": pl.Decimal(38, scale)},
        )
        frame.write_parquet(tmp_path / "a.parquet")
        made = same(tmp_path / "a.parquet", tmp_path, order="file")
        assert sorted(made.vocabulary.ids) == [2**53, 2**53 + 1, 2**53 + 2]


@pytest.mark.spark
def test_ids_that_are_none(spark: Any, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "session": [float(row // 3) for row in range(60)] + [2.0**53, 1.0, 1.0],
            "item": [b"%d" % (row % 3) for row in range(60)] + [b"1", b"\xff", b"1\0"],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    rules = Preparation(order="file", min_support=1, on_bad_rows="skip")
    ours, theirs = (
        prepare(tmp_path / "a.parquet", rules, engine, scratch=tmp_path)
        for engine in ("polars", "spark")
    )
    assert ours.training == theirs.training and ours.vocabulary == theirs.vocabulary
    for made in (ours, theirs):
        found = {bad["reason"]: bad["rows"] for bad in made.report["bad_rows"]}
        assert found == {"no session": 1, "no item": 2}
        assert made.report["bad_rows"][1]["first"].endswith(
            r"a.parquet, row 62: item=b'\xff', expected an id in UTF-8; write raw bytes as text, "
            r"such as hexadecimal"
        )


@pytest.mark.spark
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_nanoseconds(spark: Any, tmp_path: Path, zone: str | None) -> None:
    """A zone that a column has is its own, whatever dataset.time_zone says of the others."""
    times = pl.Series([stamp(row * 37 % 50) for row in range(60)]).cast(pl.Datetime("ns", zone))
    frame = pl.DataFrame(
        {"session": [row // 3 for row in range(60)], "item": [row % 7 for row in range(60)]}
    )
    frame.with_columns(time=times).write_parquet(tmp_path / "a.parquet")
    same(tmp_path / "a.parquet", tmp_path, test=0.2)
    same(tmp_path / "a.parquet", tmp_path, test=0.2, time_zone="Europe/Berlin")


GOOD = "".join(f"{n // 3},{n % 4},{stamp(n * 40).isoformat()}Z,{n % 5}\n" for n in range(90))
HEADER = "session,item,time,place\n"
BAD = [
    b"1,2\n",
    b"1,2,2014-04-07,4,5\n1,2,2014-04-07,4,5\n",
    b"\n\n ,, \n",
    b"1,\xff,2014-04-07,1\n",
    b'1,"2,2014-04-07,1\n1,"2"x,2014-04-07,1\n',
    b',2,2014-04-07,1\n1,,2014-04-07,1\n1,"",2014-04-07,1\n',
    b"1,2,yesterday,1\n1,2,,1\n1,2,2014-13-07,1\n1,2,1970-01-01,1\n",
    b"1,2,2014-04-07,1.5\n1,2,2014-04-07,\n",
]


@pytest.mark.spark
def test_bad_rows_are_skipped_and_counted(spark: Any, small_blocks: None, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "a.csv").write_text(HEADER + GOOD)
    (folder / "b.csv").write_bytes(
        b"\n" + HEADER.encode() + GOOD.encode() + b"".join(BAD) + GOOD.encode()
    )
    prepared = same(folder, tmp_path, on_bad_rows="skip", order="place")
    found = {bad["reason"]: bad["rows"] for bad in prepared.report["bad_rows"]}
    assert found == {
        "wrong number of columns": 3,
        "bytes that are not UTF-8": 1,
        "a quote out of place": 2,
        "no session": 1,
        "no item": 2,
        "unreadable time": 3,
        "time before 1990 or after 2100": 1,
        "unreadable order": 2,
    }


@pytest.mark.spark
@pytest.mark.parametrize("bad", [BAD[1], BAD[5]])
def test_bad_rows_are_errors(spark: Any, tmp_path: Path, bad: bytes) -> None:
    file = tmp_path / "clicks.csv"
    file.write_bytes(HEADER.encode() + GOOD.encode() + bad)
    said = []
    for engine in ("polars", "spark"):
        with pytest.raises(ValueError, match=r"(?s)line 92: .*\n.*on_bad_rows=skip") as error:
            prepare(file, Preparation(order="place"), engine, scratch=tmp_path)
        said.append(str(error.value))
    assert said[0] == said[1]


@pytest.mark.spark
def test_ids_that_look_like_numbers(spark: Any, tmp_path: Path) -> None:
    """From the second thousand on some are none: then all are text, as they stand there."""
    odd = ["007", "+5", "-5", " 5", "5 ", "5.0", "-0", "5e3", "99999999999999999999", "5"]
    rows = [f"{n // 4},{n % 7}" for n in range(1_200)]
    rows[1_040:1_040] = [f"{raw},{raw}" for raw in odd * 3]
    file = tmp_path / "clicks.csv"
    file.write_text("session,item\n" + "\n".join(rows))
    prepared = same(file, tmp_path, order="file", test=0.1)
    assert set(odd) <= set(prepared.vocabulary.ids)


RULES = [
    {
        "gap": "12h", "dedupe": True, "collapse": True, "max_length": 4, "until_stable": True,
        "min_support": 2, "recent": 2, "test": 0.3,
    },
    {
        "order": "place", "dedupe": True, "min_length": 3, "test": "1d", "strict": True,
        "where": {"event": "view"}, "cold": "keep",
    },
    {"order": "file", "test": "2014-04-09", "collapse": True, "min_support": 3},
    {"order": "file", "test": "2014-04-09", "min_support": 2, "cold": "keep"},
]  # fmt: skip


@pytest.mark.spark
@pytest.mark.parametrize("rules", RULES)
def test_every_rule(spark: Any, log: Path, tmp_path: Path, rules: dict[str, Any]) -> None:
    """Against the reference, too; the last rules with items that are known."""
    rows = [
        {
            "session": str(n * n % 61),
            "item": str(n * 7 % 11 if n % 4 else 3 + n % 2),
            "time": str(1_396_828_800 + n % 5 * 43_200 + n * 7 % 3),
            "place": str(n * 5 % 4 - 1),
            "event": "buy" if n % 6 == 0 else "view",
        }
        for n in range(240)
    ]
    rows += rows[::9]
    known = [8, 77, 3] if rules["test"] == "2014-04-09" else []
    case = Case(rows, {"session": "session"} | rules, known)
    write(log, rows)
    prepared = same(log, tmp_path, Vocabulary(known) if known else None, **case.rules)
    expected = case.expected()
    assert expected is not None
    agree(prepared, expected, case.steps)


@pytest.mark.spark
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_texts_of_cold_items_too(spark: Any, small_blocks: None, tmp_path: Path, form: str) -> None:
    """Nulls, blanks of any kind, equally frequent texts, an item whose first clicks are late."""
    dirty = [None, "", " ", "\u00a0", "hat", " hat ", "Hat", "über", "a\tb", 'say "x"', "b;, c"]
    frame = pl.DataFrame(
        {
            "session": [row // 3 for row in range(180)],
            "item": [f"i{row * row % 13}" if row < 150 else f"i{row % 16}" for row in range(180)],
            "title": [dirty[row * 7 % 11] for row in range(180)],
            "brand": [dirty[row * row % 13 // 2 + 3] for row in range(180)],
            "blank": [dirty[row % 4] for row in range(180)],
            "size": [None if row % 7 == 0 else float(row * 5 % 4) / 2 for row in range(180)],
        }
    )
    path = tmp_path / f"log.{form}"
    frame.write_csv(path) if form == "csv" else frame.write_parquet(path)
    rules = {"order": "file", "cold": "keep"}
    prepared = same(path, tmp_path, text=["title", "brand"], **rules)
    assert prepared.report["distributions"]["unseen_test_items"]["items"] == 9
    assert prepared.texts is not None and len({*prepared.texts}) > 5
    assert same(path, tmp_path, text=["blank"], **rules).texts == [None] * 16
    if form == "parquet":
        assert "0.5. hat" in (same(path, tmp_path, text=["size", "brand"], **rules).texts or [])


WRITTEN: dict[str, list[str]] = {
    "iso": [
        "2014-04-07T10:51:09.277Z", "2014-04-07 10:51:09", "2014-04-07T10:51", "2014-04-07",
        "2014-04-07T10:51:09+02:00", "2014-04-07T10:51:09-0030", "2014-04-07 10:51:09.1234567 +02",
        "2014-04-07 10:51 UTC", " 2014-04-07T10:51:09Z ", "2014-04-07T10:51Z", "2014-04-07T10",
        "2014-02-30", "2014-04-07T24:00:00", "2014", "2014-04-07 10:51:09 Europe/Paris", "x", "",
        "2014-04-07T10:51:09.1", "1396867869",
    ],
    "s": ["1396867869", "1396867869.277", "+5", "-5", " 5", "1e9", "nan", "0x5", "9" * 18, "5."],
    "ms": ["1396867869277", "1396867869277.9", "9" * 18],
    "us": ["1396867869277001", "x"],
    "ns": ["1396867869277001999", "5"],
    "%d.%m.%Y %H:%M": ["07.04.2014 10:51", "7.4.2014 1:05", "2014-04-07", "32.04.2014 10:51"],
    "%Y%m%d%H%M%S": ["20140407105109", "20141307105109", "x"],
    "%d/%b/%Y:%T %z": ["07/Apr/2014:10:51:09 +0200", "07/Apr/2014:10:51:09 -05:30"],
    "%m/%d/%y %I:%M:%S %p": ["4/7/14 3:01:09 PM", "04/07/14 12:01:09 am"],
    "%F o'clock %H.%M": ["2014-04-07 o'clock 10.51"],
    "%Y-%m-%dT%H:%M:%S.%f": ["2014-04-07T10:51:09.277", "2014-04-07T10:51:09.277001"],
}  # fmt: skip


@pytest.mark.spark
@pytest.mark.parametrize("form", WRITTEN)
def test_times(spark: Any, form: str) -> None:
    """Read as Polars reads them; where it does, as text and as numbers."""
    frame = pl.DataFrame({"time": WRITTEN[form]})
    ours = micros(pl.col("time"), pl.String(), form, WRITTEN[form][0], careful=True)
    expected = frame.select(ours).to_series().to_list()
    assert expected[0] is not None

    engine = SparkEngine()
    rows = engine.spark.createDataFrame([(time,) for time in WRITTEN[form]], "time string")
    theirs = spark_values.micros(rows["time"], "string", form)
    assert [row[0] for row in rows.select(theirs).collect()] == expected


@pytest.mark.spark
def test_what_spark_cannot_read(spark: Any, tmp_path: Path) -> None:
    text = (HEADER + GOOD).encode()
    packed = gzip.compress(text * 40)
    for name, content, said in [
        ("cut.csv.gz", packed[: len(packed) // 2], "cut.csv.gz is cut short"),
        ("packed.csv", packed, "packed.csv: engine=spark reads plain text"),
        ("_hidden.csv", text, "_hidden.csv: engine=spark passes over files"),
        ("mac.csv", text.replace(b"\n", b"\r"), "mac.csv: engine=spark reads lines that end in a"),
        ("excel.csv", b"sep=,\n" + text, "excel.csv: .*engine=polars reads this file"),
        ("blanks.csv", text.replace(b",", b", "), "blanks.csv: .*engine=polars reads this file"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=said):
            prepare(tmp_path / name, Preparation(), "spark", scratch=tmp_path)
    (tmp_path / "good.csv").write_bytes(text)
    with pytest.raises(ValueError, match=r"engine=spark knows %Y, .*%z"):
        prepare(tmp_path / "good.csv", Preparation(time_format="%A %d"), "spark", scratch=tmp_path)


@pytest.mark.spark
def test_the_settings_of_a_session_that_is_there_stay(spark: Any) -> None:
    before = spark.conf.get("spark.sql.ansi.enabled")
    assert before != SETTINGS["spark.sql.ansi.enabled"]
    assert SparkEngine().spark.conf.get("spark.sql.ansi.enabled") != before
    assert spark.conf.get("spark.sql.ansi.enabled") == before


def test_without_pyspark_or_java_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(ValueError, match=r"pip install .*\[spark\]'$"):
        SparkEngine()
