"""Every form in which a log may come gives the sessions of the plainest one."""

from __future__ import annotations

import gzip
import logging
import random
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from omegaconf import OmegaConf

from pyg_srgnn.clicklog.files import find_files
from pyg_srgnn.clicklog.layout import find_layout
from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.prepared import Prepared
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.clicklog.times import micros

START = 1_396_867_800
NAMES = ("session", "item", "time")
Row = tuple[int, int, int]


def clicks() -> list[Row]:
    """Forty sessions, spread over the log, in no order; times in whole seconds, all different."""
    draw = random.Random(7)
    rows = []
    for session in range(40):
        for click in range(draw.randint(2, 5)):
            rows.append((500 - session, draw.randint(1, 9), START + session * 3_001 + click * 607))
    draw.shuffle(rows)
    return rows


ROWS = clicks()


def table(
    cells: Callable[[int], object] = str,
    delimiter: str = ",",
    header: str | None = "session,item,time",
    end: str = "\n",
    quote: str = "",
    item: Callable[[int], object] = str,
    rows: list[Row] = ROWS,
) -> str:
    """The log as text; ``cells`` writes a time."""
    lines = [] if header is None else [header.replace(",", delimiter)]
    for session, number, second in rows:
        values = (session, item(number), cells(second))
        lines.append(delimiter.join(f"{quote}{value}{quote}" for value in values))
    return end.join(lines) + end


def prepared(path: Any, **rules: Any) -> Prepared:
    return prepare(path, Preparation(**{"min_support": 1, "test": 0.2} | rules))


def same(one: Prepared, other: Prepared, item: Callable[[int], object] = int) -> None:
    assert one.training.to_lists() == other.training.to_lists()
    assert one.test.to_lists() == other.test.to_lists()
    assert one.vocabulary.ids == [item(raw) for raw in other.vocabulary.ids]
    for part in ("training", "test"):
        times, others = (getattr(p, part).times for p in (one, other))
        assert times is not None and times.tolist() == others.tolist()


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    path = tmp_path_factory.mktemp("clean") / "clicks.csv"
    path.write_text(table())
    made = prepared(path, time_format="s")
    assert len(made.training) + len(made.test) == 40 and made.report["rows"] == len(ROWS)
    return made


def blank_lines(text: str) -> str:
    return text.replace("\n", "\n\n", 5).replace("\n", "\n  \n,,\n", 1) + "\n\n"


FORMS: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "semicolons": ("a.csv", table(delimiter=";").encode(), {}),
    "tabs": ("a.tsv", table(delimiter="\t").encode(), {}),
    "bars": ("a.txt", table(delimiter="|").encode(), {}),
    "another delimiter": ("a.dat", table(delimiter="^").encode(), {"delimiter": "^"}),
    "control character": ("a.csv", table(delimiter="\x01").encode(), {"delimiter": "\x01"}),
    "quoted": ("a.csv", table(quote='"').encode(), {}),
    "Windows newlines": ("a.csv", table(end="\r\n").encode(), {}),
    "Windows newlines twice": ("a.csv", table(end="\r\r\n").encode(), {}),
    "old Mac newlines": ("a.csv", table(end="\r").encode(), {}),
    "old Mac newlines, gzip": ("a.csv.gz", gzip.compress(table(end="\r").encode()), {}),
    "Excel's first line": ("a.csv", ("SEP=^\r\n" + table(delimiter="^", end="\r\n")).encode(), {}),
    "Excel's first line, no header": (
        "a.csv",
        b"\xef\xbb\xbfsep=;\n" + table(delimiter=";", header=None).encode(),
        {"columns": NAMES},
    ),
    "blanks after commas": ("a.csv", table(delimiter=", ").encode(), {}),
    "blanks after commas but in the header": (
        "a.csv",
        table(delimiter=", ").replace("session, item, time", "session,item,time").encode(),
        {},
    ),
    "blanks before commas": ("a.csv", table(delimiter=" ,").encode(), {}),
    "blanks around commas": ("a.csv", table(delimiter="  , ").encode(), {}),
    "blanks before quotes": ("a.csv", table(delimiter=", ", quote='"').encode(), {}),
    "byte order mark": ("a.csv", b"\xef\xbb\xbf" + table().encode(), {}),
    "all of Windows": (
        "a.csv",
        b"\xef\xbb\xbf" + table(delimiter=";", quote='"', end="\r\n").encode(),
        {},
    ),
    "no newline at the end": ("a.csv", table().rstrip().encode(), {}),
    "blank lines": ("a.csv", blank_lines(table()).encode(), {}),
    "blank lines first": ("a.csv", b"\n\n" + table().encode(), {}),
    "no header": ("a.csv", table(header=None).encode(), {"columns": NAMES}),
    "no header, quoted": (
        "a.csv",
        table(header=None, quote='"').encode(),
        {"columns": ["session", "item", "time"]},
    ),
    "gzip": ("a.csv.gz", gzip.compress(table().encode()), {}),
    "gzip of two members": (
        "a.csv.gz",
        gzip.compress(table(rows=ROWS[:50]).encode())
        + gzip.compress(table(rows=ROWS[50:], header=None).encode()),
        {},
    ),
    "gzip without the name": ("a.csv", gzip.compress(table().encode()), {}),
    "the name without gzip": ("a.csv.gz", table().encode(), {}),
    "declared names": (
        "a.csv",
        table(header="time,session,item").encode(),  # which a guess would take for granted
        {"session": "time", "item": "session", "time": "item"},
    ),
    "a name with brackets": ("a[1]*.csv", table().encode(), {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_form_of_text(form: str, tmp_path: Path, clean: Prepared) -> None:
    name, content, rules = FORMS[form]
    (tmp_path / name).write_bytes(content)
    made = prepared(tmp_path / name, **rules)
    same(made, clean)
    assert made.report["rows"] == len(ROWS) and made.report["bad_rows"] == []


def test_zstd(tmp_path: Path, clean: Prepared) -> None:
    log = pl.DataFrame(ROWS, NAMES, orient="row")
    log.lazy().sink_csv(tmp_path / "a.csv.zst", compression="zstd")
    assert (tmp_path / "a.csv.zst").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    same(prepared(tmp_path / "a.csv.zst"), clean)
    for end, first in (("\r", ""), ("\n", "sep=,\n")):
        lines = pl.DataFrame({"line": [first + table(end=end).rstrip()]}).lazy()
        options: Any = {"include_header": False, "quote_style": "never", "compression": "zstd"}
        lines.sink_csv(tmp_path / "b.csv.zst", **options)
        same(prepared(tmp_path / "b.csv.zst"), clean)
    # Where something is odd the file is read in another way.
    log = log.with_columns(item=pl.format('5" {}', "item"))
    log.lazy().sink_csv(tmp_path / "b.csv.zst", compression="zstd", quote_style="never")
    same(prepared(tmp_path / "b.csv.zst"), clean, lambda raw: f'5" {raw}')


TEXTS: dict[str, Callable[[int], str]] = {
    "plain": lambda raw: f"shoe {raw}",
    "other letters": lambda raw: f"Schühe-{raw} 👟",
    "leading zeros": lambda raw: f"00{raw}",
    "with a plus": lambda raw: f"+{raw}",
    "more digits than a number has": lambda raw: f"1234567890123456789{raw}",
    "delimiters": lambda raw: f"shoe, {raw}",
    "quotes": lambda raw: f'5" {raw}',
    "newlines": lambda raw: f"shoe\n{raw}",
    "backslashes": lambda raw: f"shoe\\{raw}\\",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_ids(kind: str, tmp_path: Path, clean: Prepared) -> None:
    def written(raw: int) -> str:
        text = TEXTS[kind](raw)
        return '"' + text.replace('"', '""') + '"' if set(text) & set('",\n') else text

    path = tmp_path / "a.csv"
    path.write_text(table(item=written), encoding="utf-8")
    same(prepared(path), clean, TEXTS[kind])


@pytest.mark.parametrize("text", ['5" {}', 'a, "{}"', "a\\{}", '"{}"'])
def test_backslashes_before_quotes(text: str, tmp_path: Path, clean: Prepared) -> None:
    def written(raw: int) -> str:
        return '"' + text.format(raw).replace("\\", "\\\\").replace('"', '\\"') + '"'

    rows = table(item=written)
    if '"' not in text:  # without a quote, backslashes stand for themselves
        written_twice = {raw: text.format(raw).replace("\\", "\\\\") for raw in range(10)}
        (tmp_path / "a.csv").write_text(rows)
        same(prepared(tmp_path / "a.csv"), clean, lambda raw: written_twice[raw])
        return
    (tmp_path / "a.csv").write_text(rows)
    same(prepared(tmp_path / "a.csv"), clean, text.format)


def test_backslashes_that_are_data(tmp_path: Path, clean: Prepared) -> None:
    """A bad row, or a record over several lines, does not make an escape of them."""
    path = tmp_path / "a.csv"
    path.write_text(table(item=lambda raw: f'"C:\\{raw}\\"') + f'5,"C:\\"1\\2",{START}\n')
    made = prepared(path, on_bad_rows="skip")
    same(made, clean, lambda raw: f"C:\\{raw}\\")
    assert [bad["rows"] for bad in made.report["bad_rows"]] == [1]
    lines = [f'{session},{time},"5""\\""\n{item}"\n' for session, item, time in ROWS]
    path.write_text("session,time,item\n" + "".join(lines))
    same(prepared(path), clean, lambda raw: f'5"\\"\n{raw}')


def test_text_may_begin_as_parquet_does(tmp_path: Path, clean: Prepared) -> None:
    lines = [f"PAR1-{session},{item},{time}\n" for session, item, time in ROWS]
    (tmp_path / "a.csv").write_text("".join(lines))
    same(prepared(tmp_path / "a.csv", columns=NAMES), clean)


def test_quotes_within_values_that_are_not_quoted(tmp_path: Path, clean: Prepared) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table(item=lambda raw: f'{raw}" wide' if raw % 2 else str(raw)))
    same(prepared(path), clean, lambda raw: f'{raw}" wide' if raw % 2 else str(raw))


@pytest.mark.parametrize("odd", ["007", "x", "1.5", "99999999999999999999"])
def test_text_ids_far_down(odd: str, tmp_path: Path) -> None:
    # The first thousand rows say that ids are whole numbers.
    rows = [(s, 1 + (s + c) % 9, START + 10 * s + c) for s in range(700) for c in range(2)]
    path = tmp_path / "a.csv"
    path.write_text(table(rows=rows) + f"\n\n9999,{odd},{START}\n9999,5,{START + 1}\n\n")
    made = prepared(path)
    assert set(made.vocabulary.ids) == {odd, *map(str, range(1, 10))}
    assert made.training[0].tolist() == [0, 1] or odd in made.vocabulary.ids[:4]
    assert made.report["bad_rows"] == []


def test_zeros_in_session_ids_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("session,item,time\n" + "".join(
        f"{s},{i},{START + i}\n" for s in ("7", "007", "8") for i in (1, 2)
    ))  # fmt: skip
    made = prepared(path, test=0.3)
    assert (len(made.training), len(made.test)) == (2, 1)


# Times


def at(second: int, zone: float = 0) -> datetime:
    return datetime.fromtimestamp(second, timezone(timedelta(hours=zone)))


def iso(
    between: str = "T", fraction: str = "", after: str = "", hours: float = 0
) -> Callable[[int], str]:
    return lambda t: f"{at(t, hours):%Y-%m-%d{between}%H:%M:%S}{fraction}{after}"


def mixed(second: int) -> str:
    forms = [iso(), iso(" ", ".25"), iso("T", ".123456789", "Z"), iso("T", "", "+02:00", 2)]
    return forms[second % 4](second)


TIMES: dict[str, tuple[Callable[[int], object], dict[str, Any], str]] = {
    "s": (int, {}, "s"),
    "ms": (lambda t: t * 1_000 + 277, {}, "ms"),
    "us": (lambda t: t * 1_000_000 + 277_123, {}, "us"),
    "ns": (lambda t: t * 1_000_000_000 + 277_123_456, {}, "ns"),
    "declared ms": (lambda t: t * 1_000, {"time_format": "ms"}, "ms"),
    "float s": (lambda t: f"{t}.277", {}, "s"),
    "float s here and there": (lambda t: f"{t}.5" if t % 9 == 0 else t, {}, "s"),
    "with an exponent": (lambda t: f"{t / 1e9:.9f}e9", {}, "s"),
    "ISO": (iso(), {}, "iso"),
    "ISO, a space": (iso(" "), {}, "iso"),
    "ISO in ms, UTC": (iso("T", ".277", "Z"), {}, "iso"),
    "ISO in ns, with a zone": (iso(" ", ".277123456", "-03:30", -3.5), {}, "iso"),
    "ISO, UTC in letters": (iso(" ", "", " UTC"), {}, "iso"),
    "ISO mixed": (mixed, {}, "iso"),
    "ISO in summer and winter": (
        lambda t: iso("T", "", "+02:00", 2)(t) if t % 2 else iso("T", "", "+01:00", 1)(t), {}, "iso"
    ),
    "ISO declared": (iso(), {"time_format": "iso"}, "iso"),
    "pattern": (
        lambda t: f"{at(t):%d.%m.%Y %H:%M:%S}", {"time_format": "%d.%m.%Y %H:%M:%S"}, ""
    ),
    "pattern with a zone": (
        lambda t: f"{at(t, 2):%d/%b/%Y:%H:%M:%S %z}", {"time_format": "%d/%b/%Y:%H:%M:%S %z"}, ""
    ),
    "pattern with a fraction": (
        lambda t: f"{at(t):%d.%m.%Y %H:%M:%S}.5", {"time_format": "%d.%m.%Y %H:%M:%S.%f"}, ""
    ),
    "pattern with half a day": (
        lambda t: f"{at(t):%m/%d/%y %I:%M:%S %p}", {"time_format": "%m/%d/%y %I:%M:%S %p"}, ""
    ),
    "pattern of digits": (lambda t: f"{at(t):%Y%m%d%H%M%S}", {"time_format": "%Y%m%d%H%M%S"}, ""),
    "number": (int, {"time_format": "number"}, "number"),
}  # fmt: skip


ZONES = {
    "": 0, "Z": 0, "+02:00": 2, "+0200": 2, "+02": 2, "-03:30": -3.5, " UTC": 0, " +02:00": 2,
    "-11:00": -11,
}  # fmt: skip


@pytest.mark.parametrize("careful", [False, True])
def test_iso_8601(careful: bool) -> None:
    for between in ("T", " "):
        for digits in range(10):
            fraction = "277123456"[:digits]
            for zone, hours in ZONES.items():
                text = iso(between, f".{fraction}" if digits else "", zone, hours)(START)
                expected = START * 1_000_000 + int((fraction + "000000")[:6])
                column = pl.Series("time", [text, "2014-04-07T10:5x", "", None, "2014"])
                time = micros(pl.col("time"), column.dtype, "iso", text, careful)
                found = column.to_frame().select(time.alias("time"))["time"]
                assert found.to_list() == [expected, None, None, None, None], text


@pytest.mark.slow
@pytest.mark.parametrize("form", TIMES)
def test_a_form_of_time(form: str, tmp_path: Path, clean: Prepared) -> None:
    write, rules, found = TIMES[form]
    (tmp_path / "a.csv").write_text(table(write))
    made = prepared(tmp_path / "a.csv", **rules)
    same(made, clean)
    assert made.report["time_format"] == (found or rules["time_format"])


def test_a_time_of_minutes_or_days(tmp_path: Path) -> None:
    forms = {"%Y-%m-%d %H:%M": 60, "%Y-%m-%dT%H:%MZ": 60, "%Y-%m-%d": 86_400}
    for form, size in forms.items():
        (tmp_path / "a.csv").write_text(table(lambda t, form=form: f"{at(t):{form}}"))  # type: ignore[misc]
        rounded = [(s, i, t // size * size) for s, i, t in ROWS]
        (tmp_path / "b.csv").write_text(table(rows=rounded))
        same(prepared(tmp_path / "a.csv"), prepared(tmp_path / "b.csv"))
    (tmp_path / "a.csv").write_text(table(lambda t: f"{at(t):%d.%m.%Y}"))
    same(prepared(tmp_path / "a.csv", time_format="%d.%m.%Y"), prepared(tmp_path / "b.csv"))


def test_numbers_since_an_unknown_instant(tmp_path: Path, clean: Prepared) -> None:
    (tmp_path / "a.csv").write_text(table(lambda t: t - START))
    made = prepared(tmp_path / "a.csv", time_format="number")
    assert made.training.to_lists() == clean.training.to_lists()
    assert made.report["bad_rows"] == []


# Parquet


FRAME = pl.DataFrame(ROWS, NAMES, orient="row")
WHEN = pl.from_epoch("time", "s")
PARQUETS: dict[str, tuple[Any, Callable[[int], object]]] = {
    "numbers": ({}, int),
    "small numbers": ({"session": pl.col("session").cast(pl.Int16)}, int),
    "UInt64": ({"item": pl.col("item").cast(pl.UInt64)}, int),
    "floats": ({"item": pl.col("item").cast(pl.Float64)}, int),
    "decimals": ({"item": pl.col("item").cast(pl.Decimal(10, 2))}, int),
    "beyond 64 bits": (
        {"item": pl.col("item").cast(pl.UInt64) + 2**63},
        lambda raw: str(raw + 2**63),
    ),
    "floats with a fraction": ({"item": pl.col("item") + 0.5}, lambda raw: f"{raw}.5"),
    "digits": ({"item": pl.col("item").cast(pl.String)}, int),
    "text": ({"item": pl.format("i{}", "item")}, lambda raw: f"i{raw}"),
    "categorical": (
        {"item": pl.format("i{}", "item").cast(pl.Categorical)},
        lambda raw: f"i{raw}",
    ),
    "enum": (
        {"item": pl.format("i{}", "item").cast(pl.Enum([f"i{n}" for n in range(10)]))},
        lambda raw: f"i{raw}",
    ),
    "bytes": ({"item": pl.format("i{}", "item").cast(pl.Binary)}, lambda raw: f"i{raw}"),
    "datetime": ({"time": WHEN}, int),
    "datetime in ns": ({"time": WHEN.cast(pl.Datetime("ns"))}, int),
    "datetime with a zone": (
        {"time": WHEN.dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")},
        int,
    ),
    "datetime, a format declared": ({"time": WHEN}, int),
    "decimal time": (
        {"time": pl.Series("time", [Decimal(f"{t}.277") for _, _, t in ROWS])},
        int,
    ),
    "float time": ({"time": pl.col("time") + 0.277}, int),
    "time as text": ({"time": WHEN.dt.to_string("%Y-%m-%dT%H:%M:%SZ")}, int),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", PARQUETS)
def test_a_form_of_parquet(form: str, tmp_path: Path, clean: Prepared) -> None:
    columns, item = PARQUETS[form]
    FRAME.with_columns(**columns).write_parquet(tmp_path / "a.parquet")
    rules = {"time_format": "iso"} if "declared" in form else {}
    same(prepared(tmp_path / "a.parquet", **rules), clean, item)


def test_dates_in_parquet(tmp_path: Path) -> None:
    FRAME.with_columns(time=WHEN.dt.date()).write_parquet(tmp_path / "a.parquet")
    FRAME.with_columns(time=pl.col("time") // 86_400 * 86_400).write_parquet(tmp_path / "b.parquet")
    same(prepared(tmp_path / "a.parquet"), prepared(tmp_path / "b.parquet"))


def test_numbers_in_parquet_with_a_pattern(tmp_path: Path) -> None:
    day = WHEN.dt.to_string("%Y%m%d").cast(pl.Int64)
    FRAME.with_columns(time=day).write_parquet(tmp_path / "a.parquet")
    FRAME.with_columns(time=WHEN.dt.date()).write_parquet(tmp_path / "b.parquet")
    made = prepared(tmp_path / "a.parquet", time_format="%Y%m%d")
    same(made, prepared(tmp_path / "b.parquet"))


def test_nulls_in_nullable_columns_are_bad_rows(tmp_path: Path, clean: Prepared) -> None:
    for column in (pl.col("item").cast(pl.Int64), pl.col("item").cast(pl.Float64)):
        nothing = pl.DataFrame({"session": [1, 1], "item": [None, None], "time": [START, START]})
        frame = FRAME.with_columns(item=column)
        pl.concat([frame, nothing.cast(frame.schema)]).write_parquet(tmp_path / "a.parquet")
        made = prepared(tmp_path / "a.parquet", on_bad_rows="skip")
        same(made, clean)
        (bad,) = made.report["bad_rows"]
        where = f"{tmp_path / 'a.parquet'}, row {len(ROWS) + 1}: item is empty, expected an id"
        assert bad == {"reason": "no item", "rows": 2, "first": where}
    not_a_number = pl.lit(float("nan")).alias("item")
    frame = FRAME.with_columns(item=pl.col("item").cast(pl.Float64))
    pl.concat([frame.head(1).with_columns(not_a_number), frame]).write_parquet(
        tmp_path / "a.parquet"
    )
    same(prepared(tmp_path / "a.parquet", on_bad_rows="skip"), clean)


# Many files


def test_many_files_are_read_in_the_order_of_their_names(tmp_path: Path, clean: Prepared) -> None:
    parts = [ROWS[:40], ROWS[40:41], ROWS[41:90], ROWS[90:]]
    for number, rows in enumerate(parts):
        (tmp_path / f"part-{number}.csv").write_text(table(rows=rows))
    (tmp_path / "part-9.csv").write_text("session,item,time\n")  # a day without clicks
    (tmp_path / "notes.md").write_text("not a log")
    (tmp_path / "_SUCCESS").write_text("")
    files = [tmp_path / f"part-{number}.csv" for number in (0, 1, 2, 3, 9)]
    with pytest.warns(UserWarning, match=r"notes\.md"):
        find_files(tmp_path)
    (tmp_path / "notes.md").unlink()
    assert find_files(tmp_path) == find_files(tmp_path / "part-*.csv") == tuple(files)
    in_file_order = prepared(files, order="file")
    one = tmp_path / "one.csv"
    one.write_text(table())
    same(in_file_order, prepared(one, order="file"))
    for path in (str(tmp_path / "part-*.csv"), files):
        made = prepared(path)
        same(made, clean)
        assert made.report["files"] == [str(file) for file in files]
        assert made.report["rows"] == len(ROWS)


def test_columns_may_stand_in_another_order(tmp_path: Path, clean: Prepared) -> None:
    (tmp_path / "a.csv").write_text(table(rows=ROWS[:50]))
    other = [f"{t},{s},{i}" for s, i, t in ROWS[50:]]
    (tmp_path / "b.csv").write_text("\n".join(["time,session,item", *other]))
    same(prepared(tmp_path), clean)
    (tmp_path / "b.csv").write_text("\n".join(["time,session,item", "1,2", *other]))
    made = prepared(tmp_path, on_bad_rows="skip")
    same(made, clean)
    assert made.report["rows"] == len(ROWS) + 1 and made.report["bad_rows"][0]["rows"] == 1


def test_parquet_files_may_hold_other_types(tmp_path: Path, clean: Prepared) -> None:
    FRAME.head(50).write_parquet(tmp_path / "a.parquet")
    text = pl.col("item").cast(pl.String)
    later = FRAME.tail(-50).with_columns(item=text, time=WHEN)
    later.select("time", "item", "session").write_parquet(tmp_path / "b.parquet")
    same(prepared(tmp_path), clean)


BIG = 2**53  # from where on floats skip whole numbers
MIXED: dict[str, tuple[list[pl.DataType], list[Any], list[Any]]] = {
    "whole numbers": ([pl.Int64(), pl.Float64(), pl.Decimal(10, 2), pl.String()], [7, 8], [7, 8]),
    "beside text": (
        [pl.String(), pl.Int16(), pl.Float32(), pl.Float64(), pl.Decimal(38, 2), pl.Decimal(9, 0)],
        [7, 100],
        ["100", "7", "x"],
    ),
    "beside fractions": ([pl.Decimal(10, 3), pl.Float64()], [7.5, 10.0], ["10", "7.5"]),
    "large": ([pl.Int64(), pl.UInt64(), pl.Decimal(38, 0), pl.Decimal(38, 3), pl.String()],
              [BIG, BIG + 1, BIG + 2], [BIG, BIG + 1, BIG + 2]),
    "larger": ([pl.Decimal(38, 0), pl.Decimal(38, 3), pl.String()],
               [10**20, 10**20 + 1], [str(10**20), str(10**20 + 1)]),
}  # fmt: skip


@pytest.mark.parametrize("kinds", MIXED)
@pytest.mark.parametrize("role", ["session", "item"])
def test_ids_of_parts_with_other_types_are_the_same(role: str, kinds: str, tmp_path: Path) -> None:
    """Each part holds every id once, and one of text an x as well."""
    types, ids, expected = MIXED[kinds]
    other = "item" if role == "session" else "session"
    for number, kind in enumerate(types):
        raw = pl.Series(role, [Decimal(str(one)) for one in ids], pl.Decimal(38, 2)).cast(kind)
        if kind == pl.String():
            raw = pl.Series(role, [*map(str, ids), *(["x"] if "x" in expected else [])])
        clicks = pl.DataFrame([raw]).with_columns(pl.lit(number).alias(other), time=START + number)
        clicks.write_parquet(tmp_path / f"{number}.parquet")
    made = prepared(tmp_path, test=0.5)
    if role == "item":
        assert sorted(made.vocabulary.ids) == expected
        assert len(made.training) + len(made.test) == len(types)
    else:
        sessions = [*made.training.to_lists(), *made.test.to_lists()]
        assert list(map(len, sessions)) == [len(types)] * len(ids)  # x is one click


def test_text_ids_that_look_split_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.csv").write_text(table(rows=ROWS[:60]))
    (tmp_path / "b.csv").write_text(table(rows=ROWS[60:], item=lambda raw: f"{raw}.0"))
    made = prepared(tmp_path)
    pairs = sum(f"{raw}.0" in made.vocabulary.ids for raw in made.vocabulary.ids)
    said = rf"holds both (\d) and \1\.0, two items, and {pairs - 1} more such pairs"
    assert pairs and re.search(said, caplog.text)
    caplog.clear()
    prepared(tmp_path / "b.csv")
    assert "two items" not in caplog.text


def test_floats_that_do_not_tell_ids_apart_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for kind, least in ((pl.Float64, BIG), (pl.Float32, 2**24)):
        frame = FRAME.with_columns(item=pl.col("item") + least).cast({"item": kind})
        frame.write_parquet(path)
        with pytest.raises(ValueError, match=r"row 1: item=\S+, expected an id; floats this large"):
            prepared(path)
    FRAME.with_columns(item=(pl.col("item") + BIG - 10).cast(pl.Float64)).write_parquet(path)
    assert set(prepared(path).vocabulary.ids) == {raw + BIG - 10 for raw in range(1, 10)}


def test_ids_of_raw_bytes(tmp_path: Path, clean: Prepared) -> None:
    path = tmp_path / "a.parquet"
    raw = pl.DataFrame({"session": [1, 1], "item": [b"\xff\x00", b"M\xfcsli"], "time": [START] * 2})
    text = FRAME.with_columns(item=pl.format("i{}ü€👟", "item").cast(pl.Binary))
    pl.concat([raw, text]).write_parquet(path)
    said = (
        r"row 1: item=b'\\xff\\x00', expected an id in UTF-8; write raw bytes as text, such as hex"
    )
    with pytest.raises(ValueError, match=said):
        prepared(path)
    made = prepared(path, on_bad_rows="skip")
    same(made, clean, lambda raw: f"i{raw}ü€👟")
    assert made.report["bad_rows"][0]["rows"] == 2


def test_ids_of_types_that_have_no_text_in_common_are_refused(tmp_path: Path) -> None:
    days = FRAME.with_columns(session=pl.col("session").cast(pl.Date))
    days.write_parquet(tmp_path / "a.parquet")
    prepared(tmp_path)
    FRAME.write_parquet(tmp_path / "b.parquet")
    said = "b.parquet: column 'session' holds Int64, and Date in .*a.parquet; expected one type"
    with pytest.raises(ValueError, match=said):
        prepared(tmp_path)


def test_the_first_file_may_have_no_rows(tmp_path: Path, clean: Prepared) -> None:
    (tmp_path / "a.csv").write_text("session,item,time\n")
    (tmp_path / "b.csv").write_text(table(iso()))
    same(prepared(tmp_path), clean)


FOLDER = {
    "part-0.pq": "parquet",
    "b/CLICKS.PARQUET": "parquet",
    "b/part-1": "parquet",
    "B.CSV": "text",
    "b/a.Tsv.GZ": "text",
    "b/part-00000": "text",
}


@pytest.mark.parametrize("kind", ["parquet", "text"])
def test_files_of_a_folder_are_told_by_their_content(
    kind: str, tmp_path: Path, clean: Prepared
) -> None:
    (tmp_path / "b").mkdir()
    names = sorted(name for name in FOLDER if FOLDER[name] == kind)
    for number, name in enumerate(names):
        rows = ROWS[number * 50 : (number + 1) * 50 if name != names[-1] else None]
        if kind == "text":
            content = table(rows=rows).encode()
            (tmp_path / name).write_bytes(gzip.compress(content) if "GZ" in name else content)
        else:
            pl.DataFrame(rows, NAMES, orient="row").write_parquet(tmp_path / name)
    (tmp_path / "README").write_text("Clicks of a shop, since 2014.\n")
    (tmp_path / "empty").write_text("")
    with pytest.warns(UserWarning, match=r"left out: 2, .*/README, .*/empty$"):
        assert len(find_files(tmp_path)) == 3
    with pytest.warns(UserWarning):
        same(prepared(tmp_path), clean)


def test_a_text_file_may_have_any_name(tmp_path: Path, clean: Prepared) -> None:
    (tmp_path / "clicks.parquet").write_text(table())
    same(prepared(tmp_path / "clicks.parquet"), clean)


def test_hidden_files_are_left_out(tmp_path: Path, clean: Prepared) -> None:
    logs = tmp_path / "_logs"  # what was asked for is not hidden
    hidden = [".ipynb_checkpoints/clicks.csv", "_temporary/0/part.csv", "day/.part-0.csv"]
    for name in ("day/part-0.csv", *hidden):
        (logs / name).parent.mkdir(parents=True, exist_ok=True)
        (logs / name).write_text(table())
    for mark in ("day/_SUCCESS", "day/.part-0.csv.crc"):  # of which nothing is said
        (logs / mark).write_text("")
    (file,) = found = find_files(logs / "day/part-0.csv")
    for place in (logs, logs / "**" / "*.csv", str(logs)[:-1] + "?/**/*.csv"):
        with pytest.warns(UserWarning, match=r"left out: [123], hidden .*_temporary"):
            assert find_files(place) == found
    same(prepared(file), clean)
    for name in hidden:
        assert len(find_files(logs / name)) == 1
    assert len(find_files(logs / "_temporary" / "*" / "*.csv")) == 1
    assert len(find_files(logs / "_temp*" / "*" / "*.csv")) == 1


def test_a_file_is_read_once(tmp_path: Path, clean: Prepared) -> None:
    (tmp_path / "logs").mkdir()
    file = tmp_path / "logs" / "clicks.csv"
    file.write_text(table())
    (tmp_path / "logs" / "latest.csv").symlink_to(file)
    paths = [tmp_path / "logs", file, tmp_path / "logs" / ".." / "logs" / "*.csv"]
    assert find_files(paths) == (file,)
    same(prepared(paths), clean)


@pytest.mark.parametrize("mark", ["_delta_log/0.json", ".hoodie/x", "metadata/v1.metadata.json"])
def test_a_table_with_a_log_of_its_own_is_refused(mark: str, tmp_path: Path) -> None:
    folder = tmp_path / "table"
    for name in (mark, "data/day=1/part-0.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        FRAME.write_parquet(folder / name)
    for path in (tmp_path, folder, folder / "data", folder / "data" / "*" / "*.parquet"):
        with pytest.raises(ValueError, match=f"^{folder} is a (Delta|Hudi|Iceberg) table, "):
            find_files(path)
    assert len(find_files(folder / "data/day=1/part-0.parquet")) == 1  # the very file


# Columns and choices


@pytest.mark.parametrize(
    "header",
    [
        "sessionId;itemId;timestamp",
        "SESSION_ID;Product-ID;event_time",
        "visit;sku;ts",
        "user_session;product_id;DateTime",
        "Session Key;articleID;created_at",
    ],
)
def test_common_names_are_guessed(header: str, tmp_path: Path, clean: Prepared) -> None:
    (tmp_path / "a.csv").write_text(table(header=header.replace(";", ",")))
    made = prepared(tmp_path / "a.csv")
    same(made, clean)
    names = header.split(";")
    assert made.report["columns"] == dict(zip(NAMES, names, strict=True))


def test_the_guess_is_printed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table(delimiter=";", header="sid,thing,ts"))
    with caplog.at_level(logging.INFO):
        prepared(path, item="thing")
    said = f"{path}: session=sid (guessed), item=thing, time=ts (guessed), time_format=s, "
    assert said + "delimiter=';'" in caplog.text


def test_a_guess_that_might_be_another_column_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.csv"
    header = "sid,sku,ts"
    path.write_text(table(header=header).replace(header, f"{header},Item-ID,product", 1))
    path.write_text(re.sub(r"(?m)(?<=\d)$", ",1,1", path.read_text()))
    prepared(path, item="sku")
    assert not caplog.messages
    with pytest.raises(ValueError):
        prepared(path, min_support=10_000)
    said = f"{path}: item=Item-ID is a guess, and might be product or sku; dataset.item=COLUMN"
    assert caplog.messages == [f"{said} settles it"]


def test_where(tmp_path: Path, clean: Prepared) -> None:
    lines = ["session,item,time,event,shop"]
    for number, (session, item, second) in enumerate(ROWS):
        lines.append(f"{session},{item},{second},{'view' if number % 2 else 'look'},1")
        lines.append(f"{session},{item},{second + 1},buy,1")
        lines.append(f",{item},never,view,2")  # what is not asked for may be bad
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines))
    made = prepared(path, where={"event": ["view", "look"], "shop": 1})
    same(made, clean)
    assert made.report["rows"] == 3 * len(ROWS)
    step = made.report["steps"][1]
    assert step == {"rule": "rows with event=['view', 'look'], shop=1"} | {
        "clicks": len(ROWS),
        "sessions": None,
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pl.Float64(), pl.Float32(), pl.Int8(), pl.Decimal(5, 2)])
@pytest.mark.parametrize("asked", [1, 1.0, "1", "1.0", [1, 2.5]])
def test_where_asks_for_numbers(kind: pl.DataType, asked: Any, tmp_path: Path) -> None:
    rows = {"session": [1, 1, 1, 2, 2, 2], "item": [1, 2, 3, 1, 2, 3], "time": [START] * 6}
    events = pl.Series("event", [1, 1, 0, 1, 1, None]).cast(kind)
    pl.DataFrame(rows).with_columns(events).write_parquet(tmp_path / "a.parquet")
    made = prepared(tmp_path / "a.parquet", where={"event": asked}, test=0.5)
    assert made.report["steps"][1]["clicks"] == 4


INTERNAL = [
    "row", "row_", "time", "session", "item", "order", "piece", "s", "code", "keys", "part", "new",
    "before", "n", "first", "second", "short", "others", "line", "cells", "value", "_id", "_file",
    "_metadata", "broken", "local", "later",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("first", range(len(INTERNAL)))
def test_columns_may_have_any_names(first: int, form: str, tmp_path: Path, clean: Prepared) -> None:
    """Each of them in every role."""
    session, item, time, place, asked = [*INTERNAL, *INTERNAL][first : first + 5]
    columns = [[row[at] for row in ROWS] for at in (0, 1, 2, 2)]
    frame = pl.DataFrame([*columns, [1] * len(ROWS)], [session, item, time, place, asked])
    path = tmp_path / f"a.{form}"
    frame.write_csv(path) if form == "csv" else frame.write_parquet(path)
    rules = {"session": session, "item": item, "time": time, "order": place, "where": {asked: 1}}
    made = prepared(path, **rules)
    assert made.training.to_lists() == clean.training.to_lists()
    assert made.test.to_lists() == clean.test.to_lists()


@pytest.mark.parametrize("name", ["*", "^item$"])
def test_a_name_that_is_a_pattern_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(header=f"session,{name},time"))
    with pytest.raises(
        ValueError, match=rf"a.csv: no column can be called {re.escape(repr(name))}"
    ):
        prepared(tmp_path / "a.csv", item=name)


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_name_that_two_columns_have(tmp_path: Path, quote: str) -> None:
    path, name = tmp_path / "a.csv", f"{quote}item{quote}"
    path.write_text(f"session,{name},time,{name},note,note\n1,5,1396867800,7,x,y\n")
    with pytest.raises(ValueError) as error:
        prepared(path)
    assert str(error.value) == (
        f"{path}: 2 columns are called 'item'; expected one, rename the others"
    )
    path.write_text(table().replace("item", "item,item_duplicated_0,note,note", 1))
    with pytest.raises(ValueError, match="2 columns are called 'note'"):
        prepared(path, where={"note": "x"})
    rows = "".join(f"{n // 2},{n % 2},,x,y,{1396867800 + n}\n" for n in range(20))
    path.write_text(f"session,item,item_duplicated_0,note,note,time\n{rows}")
    assert len(prepared(path, min_support=1).vocabulary) == 2


def test_a_line_end_within_the_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table().replace("\n", "\r", 1), newline="")
    with pytest.raises(ValueError, match=r"no column known to be the time; .*'time\\r"):
        prepared(tmp_path / "a.csv")


def test_a_gap_makes_sessions_of_users(tmp_path: Path, clean: Prepared) -> None:
    # Each user has four sessions, eight hours apart.
    lines = ["visitorid,itemid,timestamp", *(f"u{s % 10},{i},{t}000" for s, i, t in ROWS)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    made = prepared(tmp_path / "a.csv", gap="30m")
    same(made, clean)
    assert made.report["columns"] == {"user": "visitorid", "item": "itemid", "time": "timestamp"}


def test_a_log_without_times(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("session,item\n" + "1,5\n1,6\n2,6\n2,5\n")
    made = prepared(tmp_path / "a.csv", order="file", test=0.5)
    assert (made.training.to_lists(), made.test.to_lists()) == ([[0, 1]], [[1, 0]])
    assert made.training.times is None and made.report["time_format"] is None


def test_an_order_by_position(tmp_path: Path) -> None:
    lines = ["session,item,time,place"]
    for session, at_place in ((1, [2, 0, 1]), (2, [0, 2, 1])):
        lines += [f"{session},{place},{START + session},{place}.0" for place in at_place]
    pl.read_csv("\n".join(lines).encode()).write_parquet(tmp_path / "a.parquet")
    made = prepared(tmp_path / "a.parquet", order="place", test=0.5)
    assert (made.training.to_lists(), made.test.to_lists()) == ([[0, 1, 2]], [[0, 1, 2]])


def test_a_layout_says_how_many_more_files(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text(table())
    layout = find_layout(find_files(tmp_path), Preparation())
    assert layout.describe().startswith(f"{tmp_path / 'a.csv'} and 2 more files: session=session")


def test_where_asks_for_truth_values(tmp_path: Path) -> None:
    rows = {"session": [1, 1, 1, 2, 2], "item": [1, 2, 3, 1, 2], "time": [1_396_828_800] * 5}
    log = tmp_path / "clicks.parquet"
    pl.DataFrame(rows | {"bot": [False, False, True, False, False]}).write_parquet(log)
    for asked in (False, "false", [False]):
        rules = Preparation(where={"bot": asked}, min_support=1, test=0.5)
        assert prepare(log, rules).training.num_clicks == 2


@pytest.mark.parametrize("name", ["session", "user", "item", "time", "event", "order"])
def test_a_column_is_one_name(name: str) -> None:
    for given in (["sku", "title"], OmegaConf.create(["sku"]), 3):
        with pytest.raises(ValueError, match=f"'{name}' must be the name of one column"):
            Preparation(**{name: given})
    with pytest.raises(ValueError, match="'time_format' must be a text, or None"):
        Preparation(time_format=["s"])  # type: ignore[arg-type]
