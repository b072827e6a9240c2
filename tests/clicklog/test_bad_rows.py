"""What is wrong with a log is told with file, line, what was found and what is expected."""

from __future__ import annotations

import gzip
import io
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.prepared import Prepared
from pyg_srgnn.clicklog.spec import Preparation

START = 1_396_867_800
HEADER = "session,item,time"
SECONDS = "seconds since 1970, such as 1396867869"
SKIP = "dataset.on_bad_rows=skip leaves such rows out, and counts them"
UNIT = "; is it in another unit? Give dataset.time_format=s, ms, us or ns"
ABSURD = "time before 1990 or after 2100"


def good(sessions: int = 20, clicks: int = 3) -> list[str]:
    return [
        f"{session},{100 + (session + click) % 4},{START + session * 60 + click}"
        for session in range(sessions)
        for click in range(clicks)
    ]


GOOD = good()


def log(*lines: str, at: int = 3, header: str = HEADER, rows: list[str] = GOOD) -> str:
    """A log with lines of one's own after some good ones: the first is line ``at + 2``."""
    return "\n".join([header, *rows[:at], *lines, *rows[at:]]) + "\n"


def prepared(path: Any, **rules: Any) -> Prepared:
    return prepare(path, Preparation(**{"min_support": 1, "test": 0.2} | rules))


def refused(path: Path, **rules: Any) -> str:
    """What is said of a log; FILE stands for it."""
    with pytest.raises(ValueError) as told:
        prepared(path, **rules)
    return str(told.value).replace(str(path), "FILE")


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clicks.csv"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(write(tmp_path_factory.mktemp("clean") / "clicks.csv", log()))


def agree(made: Prepared, clean: Prepared) -> None:
    assert made.training.to_lists() == clean.training.to_lists()
    assert made.test.to_lists() == clean.test.to_lists()


# Rows. Each case: its content, rules, for every reason the number of rows, and what is said.

QUOTES = "expected quotes around whole values, and each of them closed – a quote out of place"
OTHER = "session,item,time,other"
FOUR = [f"{row},v" for row in GOOD]
CASES: dict[str, tuple[str | bytes, dict[str, int], str]] = {
    "too long": (
        log("1,101,5,6", at=3),
        {"wrong number of columns": 1},
        "FILE, line 5: found 4 columns ('1,101,5,6'), expected 3 – wrong number of columns",
    ),
    "too long in columns that are not used": (
        log("1,101,1396867800,v,w", "1,101,1396867800,v,w", header=OTHER, rows=FOUR),
        {"wrong number of columns": 2},
        "FILE, line 5: found 5 columns ('1,101,1396867800,v,w'), expected 4 – wrong number of "
        "columns (and 1 more such row)",
    ),
    "too short": (
        log("1,101", "", "7"),
        {"wrong number of columns": 2},
        "FILE, line 5: found 2 columns ('1,101'), expected 3 – wrong number of columns "
        "(and 1 more such row)",
    ),
    "too short where the last column is optional": (
        log("1,101,5", at=60, header=OTHER, rows=[f"{row}," for row in GOOD]),
        {"wrong number of columns": 1},
        "FILE, line 62: found 3 columns ('1,101,5'), expected 4 – wrong number of columns",
    ),
    "the first row too short": (
        log("1,101", at=0),
        {"wrong number of columns": 1},
        "FILE, line 2: found 2 columns ('1,101'), expected 3 – wrong number of columns",
    ),
    "unreadable time": (
        log("1,101,soon", "1,101,1396867800x", "1,101,"),
        {"unreadable time": 3},
        f"FILE, line 5: time='soon', expected {SECONDS} – unreadable time (and 2 more such rows)",
    ),
    "no time": (
        log("1,101,"),
        {"unreadable time": 1},
        f"FILE, line 5: time is empty, expected {SECONDS} – unreadable time",
    ),
    "negative time": (
        log("1,101,-5"),
        {ABSURD: 1},
        f"FILE, line 5: time='-5', expected {SECONDS}{UNIT} – {ABSURD}",
    ),
    "absurd time": (
        log("1,101,1396867800000", "1,101,99999999999999999999999"),
        {ABSURD: 1, "unreadable time": 1},
        f"FILE, line 6: time='99999999999999999999999', expected {SECONDS} – unreadable time\n"
        f"FILE, line 5: time='1396867800000', expected {SECONDS}{UNIT} – {ABSURD}",
    ),
    "no session": (
        log(",101,1396867800"),
        {"no session": 1},
        "FILE, line 5: session is empty, expected an id – no session",
    ),
    "no item": (
        log('1,,1396867800', '1,"",1396867800'),
        {"no item": 2},
        "FILE, line 5: item is empty, expected an id – no item (and 1 more such row)",
    ),
    "a row counts once": (
        log(",,soon", "1,,soon", "1,101,soon"),
        {"no session": 1, "no item": 1, "unreadable time": 1},
        "FILE, line 5: session is empty, expected an id – no session\n"
        "FILE, line 6: item is empty, expected an id – no item\n"
        f"FILE, line 7: time='soon', expected {SECONDS} – unreadable time",
    ),
    "not UTF-8": (
        log("1,M\u00fcsli,1396867800").encode("latin-1"),
        {"bytes that are not UTF-8": 1},
        r"FILE, line 5: found b'1,M\xfcsli,1396867800', expected UTF-8 – bytes that are not UTF-8",
    ),
    "not UTF-8 where nobody looks": (
        log("1,101,1396867800,\u00fc", header=OTHER, rows=FOUR).encode("latin-1"),
        {"bytes that are not UTF-8": 1},
        r"FILE, line 5: found b'1,101,1396867800,\xfc', expected UTF-8 – bytes that are not UTF-8",
    ),
    "a quote that is not closed": (
        log('1,"101,1396867800'),
        {"a quote out of place": 1},
        f"FILE, line 5: found '1,\"101,1396867800', {QUOTES}",
    ),
    "a quote that is not closed in the last row and column": (
        log('1,101,"1396867800', at=60),
        {"a quote out of place": 1},
        f"FILE, line 62: found '1,101,\"1396867800', {QUOTES}",
    ),
    "text after a quote": (
        log('1,"101"1,1396867800'),
        {"a quote out of place": 1},
        f"FILE, line 5: found '1,\"101\"1,1396867800', {QUOTES}",
    ),
    "after blank lines": (
        log("", "  ", ",,", "1,101,soon"),
        {"unreadable time": 1},
        f"FILE, line 8: time='soon', expected {SECONDS} – unreadable time",
    ),
    "after newlines in fields": (
        log('"1\n2\n3",101,1396867800', '"1\n2\n3",101,1396867801', "1,101,soon", "1,2"),
        {"wrong number of columns": 1, "unreadable time": 1},
        "FILE, line 12: found 2 columns ('1,2'), expected 3 – wrong number of columns",
    ),
    "after bad rows": (
        log("1,2", "1,101,soon"),
        {"wrong number of columns": 1, "unreadable time": 1},
        "FILE, line 5: found 2 columns ('1,2'), expected 3 – wrong number of columns",
    ),
    "NUL bytes": (
        log("\0\0\0\0"),
        {"wrong number of columns": 1},
        r"FILE, line 5: found 1 column ('\x00\x00\x00\x00'), expected 3 – wrong number of columns",
    ),
    "a NUL byte in an id": (
        log("1,101\0,1396867800", "1\0,101,1396867800"),
        {"no item": 1, "no session": 1},
        r"FILE, line 6: session='1\x00', expected an id – no session"
        "\n"
        r"FILE, line 5: item='101\x00', expected an id – no item",
    ),
    "a NUL byte in the first row": (
        log("1,101\0,1396867800", at=0),
        {"no item": 1},
        r"FILE, line 2: item='101\x00', expected an id – no item",
    ),
    "the lines of old Macs": (
        log("1,101,soon", "1,2").replace("\n", "\r"),
        {"wrong number of columns": 1, "unreadable time": 1},
        "FILE, line 6: found 2 columns ('1,2'), expected 3 – wrong number of columns",
    ),
    "a backslash before a quote": (
        log('1,"10\\"",soon', at=0),
        {"unreadable time": 1},
        f"FILE, line 2: time='soon', expected {SECONDS} – unreadable time",
    ),
    "after a line that names the delimiter": (
        "sep=,\n" + log("1,101,soon"),
        {"unreadable time": 1},
        f"FILE, line 6: time='soon', expected {SECONDS} – unreadable time",
    ),
    "Windows newlines": (
        log("1,101,soon").replace("\n", "\r\n"),
        {"unreadable time": 1},
        f"FILE, line 5: time='soon', expected {SECONDS} – unreadable time",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_bad_row_is_refused(case: str, path: Path) -> None:
    content, _, said = CASES[case]
    assert refused(write(path, content)) == f"{said}\n{SKIP}"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_bad_rows_are_left_out_and_listed(case: str, path: Path, clean: Prepared) -> None:
    content, reasons, said = CASES[case]
    made = prepared(write(path, content), on_bad_rows="skip")
    report = made.report
    assert {bad["reason"]: bad["rows"] for bad in report["bad_rows"]} == reasons
    firsts = [bad["first"].replace(str(path), "FILE") for bad in report["bad_rows"]]
    assert all(line.rsplit(" – ", 1)[0] in firsts for line in said.splitlines())
    step = report["steps"][1]
    assert step["rule"] == "without bad rows"
    assert report["rows"] == step["clicks"] + sum(reasons.values())
    if case != "after newlines in fields":  # which has good rows of its own
        agree(made, clean)


def test_lines_after_skipped_ones_keep_their_numbers(path: Path) -> None:
    write(path, log('1,"2', '"a\nb",101,1396867800', "1,2", "", "1,101,soon"))
    report = prepared(path, on_bad_rows="skip").report
    late = f"{path}, line 10: time='soon', expected {SECONDS}"
    assert {"reason": "unreadable time", "rows": 1, "first": late} in report["bad_rows"]


def test_a_bad_row_in_a_later_file(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", log(""))
    write(tmp_path / "b.csv", log("1,2"))
    late = write(tmp_path / "c.csv", log("", "1,101,soon"))
    made = prepared(tmp_path, on_bad_rows="skip")
    assert made.report["rows"] == 3 * len(GOOD) + 2
    firsts = [bad["first"] for bad in made.report["bad_rows"]]
    assert firsts[0].startswith(f"{tmp_path / 'b.csv'}, line 5: found 2 columns")
    assert firsts[1] == f"{late}, line 6: time='soon', expected {SECONDS}"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_bad_rows_in_compressed_files(suffix: str, tmp_path: Path, clean: Prepared) -> None:
    content = log("1,M\u00fcsli,1396867800", "1,2", "", "1,101,soon").encode("latin-1")
    path = compressed(tmp_path / f"a.csv{suffix}", content)
    made = prepared(path, on_bad_rows="skip")
    agree(made, clean)
    lines = [bad["first"].split(":")[0] for bad in made.report["bad_rows"]]
    assert lines == [f"{path}, line {number}" for number in (5, 6, 8)]


def compressed(path: Path, content: bytes) -> Path:
    if path.suffix == ".gz":
        return write(path, gzip.compress(content))
    # A single column without quotes writes the lines as they are.
    lines = pl.DataFrame({"line": [content.rstrip(b"\n").decode("latin-1")]}).lazy()
    options: Any = {"include_header": False, "quote_style": "never"}
    if content.isascii():
        lines.sink_csv(path, compression="zstd", **options)
        return path
    plain = io.BytesIO()
    lines.sink_csv(plain, compression="zstd", compression_level=1, **options)
    return write(path, _not_utf8(content))


def _not_utf8(content: bytes) -> bytes:
    """A zstd frame of one raw block: no compressor of this package takes bytes."""
    size = len(content)
    block = (size << 3 | 1).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd" + b"\xa0" + size.to_bytes(4, "little") + block + content


# Values that only the whole column shows to be wrong


def test_milliseconds_read_as_seconds_and_the_other_way_round(path: Path) -> None:
    write(path, "\n".join([HEADER, *(f"{row}000" for row in GOOD)]))
    bad = f"FILE, line 2: time='{START}000', expected {SECONDS}{UNIT} – {ABSURD} "
    assert refused(path, time_format="s") == f"{bad}(and 59 more such rows)\n{SKIP}"
    nothing = f"there is no good row:\n{bad}(and 59 more such rows)"
    assert refused(path, time_format="s", on_bad_rows="skip") == nothing
    write(path, log())
    said = refused(path, time_format="ms")
    assert said.startswith(f"FILE, line 2: time='{START}', expected milliseconds since 1970")
    assert f"{UNIT} – {ABSURD} (and 59 more such rows)" in said


def test_a_great_time_does_not_run_over(path: Path) -> None:
    # 2^64 / 10^6 seconds more would come out as the same time.
    write(path, log(f"1,101,{START + 2**64 // 10**6}"))
    assert ABSURD in refused(path)
    write(path, log(f"1,101,{START * 1000 + 2**64 // 10**3}", rows=[f"{row}000" for row in GOOD]))
    assert ABSURD in refused(path)


def test_times_in_no_form_that_can_be_guessed(path: Path) -> None:
    write(path, f"{HEADER}\n1,101,7.4.2014\n1,102,8.4.2014\n")
    assert refused(path) == (
        "FILE: column 'time' holds '7.4.2014', which is neither a time since 1970 nor ISO 8601; "
        "give dataset.time_format, such as '%d.%m.%Y %H:%M'"
    )


def test_times_in_another_form_than_declared(path: Path) -> None:
    write(path, log())
    forms = {
        "iso": "ISO 8601, such as 2014-04-07T10:51:09Z",
        "%d.%m.%Y": "a time such as '%d.%m.%Y' describes",
    }
    for form, expected in forms.items():
        said = f"FILE, line 2: time='{START}', expected {expected} – unreadable time"
        assert refused(path, time_format=form).startswith(f"{said} (and 59 more such rows)")
    assert refused(path, time_format="minutes") == (
        "dataset.time_format='minutes': expected s, ms, us, ns, iso, number, or a pattern such as "
        "'%d.%m.%Y %H:%M'"
    )
    said = "FILE: column 'time': dataset.time_format='%Y-%m-%d %H': Invalid format string"
    assert refused(path, time_format="%Y-%m-%d %H").startswith(said)


def test_bad_rows_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "clicks.parquet"
    pl.read_csv(log(",101,1396867800").encode()).write_parquet(path)
    said = "FILE, row 4: session is empty, expected an id – no session"
    assert refused(path) == f"{said}\n{SKIP}"
    made = prepared(path, on_bad_rows="skip")
    assert made.report["bad_rows"][0]["first"] == said.replace("FILE", str(path)).split(" – ")[0]


def test_a_column_of_the_wrong_type(tmp_path: Path) -> None:
    path = tmp_path / "clicks.parquet"
    frame = pl.read_csv(log().encode())
    frame.with_columns(item=pl.concat_list("item")).write_parquet(path)
    assert refused(path) == "FILE: column 'item' holds values of type List(Int64)"
    frame.with_columns(time=pl.time(1, 2)).write_parquet(path)
    assert refused(path) == "FILE: column 'time' holds values of type Time; expected times"


# Files


def test_a_missing_column(path: Path) -> None:
    write(path, log())
    columns = "its columns are 'session', 'item', 'time'"
    for role in ("session", "item", "time"):
        said = f"FILE: there is no column 'x' (dataset.{role}); {columns}"
        assert refused(path, **{role: "x"}) == said
    assert refused(path, order="x") == (
        f"FILE: there is no column 'x' (dataset.order); {columns}. "
        "Give dataset.order=COLUMN, or dataset.order=time"
    )
    assert (
        refused(path, where={"x": 1}) == f"FILE: there is no column 'x' (dataset.where); {columns}"
    )
    write(path, log(header="a,item,time"))
    assert refused(path) == (
        "FILE: there is no column known to be the session; its columns are 'a', 'item', 'time'. "
        "Give dataset.session=COLUMN"
    )
    write(path, log(header="session,item,b"))
    assert refused(path) == (
        "FILE: there is no column known to be the time; its columns are 'session', 'item', 'b'. "
        "Give dataset.time=COLUMN, or dataset.order=file if there is none"
    )
    write(path, log(header="user,item,time"))
    assert refused(path) == (
        "FILE: there is a column 'user' of users and none of sessions; give dataset.gap=30m "
        "(how long a silence ends a session), or dataset.session=COLUMN"
    )


@pytest.mark.parametrize(
    "content", [b"", b"\n\r\n  \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)]
)
def test_an_empty_file(content: bytes, path: Path, tmp_path: Path) -> None:
    assert refused(write(path, content)) == "FILE is empty; expected one line per click"
    write(tmp_path / "a.csv", log())
    empty = f"{path} is empty; expected one line per click"
    with pytest.raises(ValueError, match=empty):
        prepared(tmp_path)


def test_a_header_only(path: Path, tmp_path: Path) -> None:
    for content in (HEADER, f"{HEADER}\n", f"{HEADER}\r\n\r\n"):
        assert refused(write(path, content)) == "FILE has a header and no row"
    write(tmp_path / "more.csv", HEADER)
    with pytest.raises(ValueError, match=r"has a header and no row, nor has any of the 1 others"):
        prepared(tmp_path)
    pl.read_csv(log().encode()).head(0).write_parquet(tmp_path / "a.parquet")
    assert refused(tmp_path / "a.parquet") == "FILE has a header and no row"


def test_a_wrong_delimiter(path: Path) -> None:
    write(path, log())
    assert refused(path, delimiter=";") == (
        "FILE: there is no column known to be the session; its columns are 'session,item,time'. "
        "With ',' there are 3: give dataset.delimiter=','"
    )


def test_a_header_that_is_missing_or_there(path: Path) -> None:
    write(path, "\n".join(GOOD))
    assert "That looks like a row: give dataset.columns=[…] if there is no header" in refused(path)
    assert refused(path, columns=["session", "item"]) == (
        "FILE: the first line has 3 columns between ',', dataset.columns names 2; "
        f"found '0,100,{START}'"
    )
    said = "FILE has a header: leave dataset.columns out"
    assert refused(write(path, log()), columns=HEADER.split(",")) == said


@pytest.mark.parametrize(
    "content", [log().encode("utf-16"), b"PK\x03\x04\x14\x00\x06\x00\x08", b"\x89PNG\r\n\x1a\n\0\0"]
)
def test_a_file_that_is_no_text(content: bytes, path: Path) -> None:
    said = f"FILE is not text in UTF-8; it begins with {content[:4]!r}"
    assert refused(write(path, content)) == said


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("share", [0.02, 0.6, 0.999])
def test_a_compressed_file_cut_short(suffix: str, share: float, tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = [f"{row},{draw.random()}" for row in good(3_000)]
    path = compressed(tmp_path / f"a.csv{suffix}", log(header=OTHER, rows=rows).encode())
    whole = path.read_bytes()
    said = "FILE is cut short or damaged, it cannot be decompressed; fetch it again"
    assert refused(write(path, whole[: int(share * len(whole))])) == said
    assert refused(path, on_bad_rows="skip") == said


def test_a_parquet_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.read_csv(log().encode()).write_parquet(path)
    write(path, path.read_bytes()[:-40])
    assert refused(path).startswith("FILE is not a whole Parquet file: ")


def test_files_with_other_columns(tmp_path: Path) -> None:
    first, other = tmp_path / "a.csv", tmp_path / "b.csv"
    write(first, log())
    write(other, log(header="session,product,time"))
    said = f"{other} has the columns session, product, time; expected those of {first}: "
    with pytest.raises(ValueError) as told:
        prepared(tmp_path)
    assert str(told.value) == said + "session, item, time"
    pl.read_csv(log().encode()).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(ValueError, match="either all Parquet or all text, found both"):
        prepared(tmp_path)


@pytest.mark.parametrize("name", ["none.csv", "none-*.csv", "folder"])
def test_a_path_to_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError) as told:
        prepared(tmp_path / name)
    said = f"{tmp_path / name}: there is no such file, nor a CSV or Parquet file in it"
    assert str(told.value) == said


# What is unusual, and not wrong


def test_repeated_rows_are_kept_and_counted(path: Path, clean: Prepared) -> None:
    write(path, log(*GOOD[:2], GOOD[1]))
    made = prepared(path)
    assert made.report["duplicates"] == 3 and made.report["bad_rows"] == []
    assert made.training[0].tolist() == [0, 0, 1, 1, 1, 2]
    agree(prepared(path, dedupe=True), clean)


def test_sessions_spread_over_the_file_in_no_order(path: Path, clean: Prepared) -> None:
    rows = random.Random(3).sample(GOOD, len(GOOD))
    agree(prepared(write(path, log(rows=rows))), clean)


def test_a_session_of_100_000_clicks(path: Path) -> None:
    rows = [f"x,{click % 1000},{START - 200_000 + click}" for click in range(100_000)]
    write(path, log(rows=[*GOOD, *rows]))
    made = prepared(path, max_length=50)
    last = [click % 1000 for click in range(99_950, 100_000)]
    assert made.vocabulary.decode(made.training[0].tolist()) == last
    rule = {"rule": "the last 50 clicks of longer sessions", "clicks": 110, "sessions": 21}
    assert rule in made.report["steps"]
    assert made.report["seconds"]["total"] < 20


def test_a_rule_that_leaves_nothing_is_named(path: Path) -> None:
    write(path, log())
    assert refused(path, min_support=100) == (
        "no session is left: of 60 clicks, none passes the rule "
        "'items of fewer than 100 clicks dropped'; lower dataset.min_support"
    )
    assert "'sessions of fewer than 4 clicks dropped'" in refused(path, min_length=4)
    assert refused(path, where={"item": "x"}).endswith("'rows with item=x'; look at dataset.where")
    assert refused(path, test="2030-01-01") == (
        "dataset.test=2030-01-01: the test part is empty; the log has 20 sessions "
        "from 2014-04-07T10:50:02Z to 2014-04-07T11:09:02Z"
    )
