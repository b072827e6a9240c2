"""Times without a zone become UTC as Python's own zones have it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import narwhals as nw
import polars as pl
import pytest

from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.clicklog.zones import localised
from pyg_srgnn.reports import preparation_table
from tests.reference.preparation import EPOCH

MICRO = timedelta(microseconds=1)
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Sao_Paulo",
    "Australia/Lord_Howe", "Africa/Casablanca", "Antarctica/Troll", "Asia/Kathmandu",
    "Pacific/Apia",
]  # fmt: skip


def expected(clock: datetime, zone: str) -> tuple[int | None, int]:
    """The first instant at which a clock shows a time, and how far away the second one is."""
    first, second = (
        clock.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)
    )
    if first.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != clock:
        return None, -1
    return (first - EPOCH) // MICRO, (second - first) // MICRO


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_every_quarter_of_an_hour(zone: str) -> None:
    start = datetime(2010, 3, 1)
    clocks = [start + timedelta(minutes=15 * n + n % 2) for n in range(2 * 366 * 96)]
    times = pl.Series("time", clocks).dt.epoch("us")
    frame = pl.DataFrame([times]).with_columns(local=True, row=0)
    made = localised(nw.from_native(frame.lazy()), zone, times[0], times[-1]).to_native().collect()
    wanted = [expected(clock, zone) for clock in clocks]
    assert made["later"].to_list() == [later for _, later in wanted]
    shown = made.filter(pl.col("later") >= 0)["time"].to_list()
    assert shown == [time for time, _ in wanted if time is not None]


def test_what_has_a_zone_stays() -> None:
    frame = pl.DataFrame({"time": [0, 1], "local": [False, True]})
    made = localised(nw.from_native(frame.lazy()), "Asia/Tokyo", 0, 1).to_native().collect()
    assert made["time"].to_list() == [0, 1 - 9 * 3_600_000_000]


HOUR = 3_600
AUTUMN = 1_414_281_600  # 2014-10-26T00:00Z: two o'clock in Berlin, for the first time
# A clock in Berlin, seconds of UTC since then, item. Users' clicks in the order of the file.
NIGHT = [
    ("a", "01:50", -600, 1), ("b", "02:30", 1_800, 4), ("a", "02:10", 600, 2),
    ("a", "02:40", 2_400, 3), ("b", "02:30", 1_800, 5), ("a", "02:05", HOUR + 300, 4),
    ("a", "02:20", HOUR + 1_200, 5), ("a", "03:00", 2 * HOUR, 6), ("b", "02:10", HOUR + 600, 6),
]  # fmt: skip
PLAIN = [(user, "12:00", 11 * HOUR, item) for user in ("c", "d") for item in (1, 2, 3)]


def night(path: Path, written: str = "2014-10-26 {}:00", **rules: Any) -> Any:
    rows = [(u, written.format(clock), i) for u, clock, _, i in (*NIGHT, *PLAIN)]
    frame = pl.DataFrame(rows, ["session", "time", "item"], orient="row")
    if path.suffix == ".parquet":
        frame.with_columns(pl.col("time").str.to_datetime()).write_parquet(path)
    else:
        frame.write_csv(path)
    options = {"min_support": 1, "test": 0.5, "time_zone": "Europe/Berlin"} | rules
    return prepare(path, Preparation(**options))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_the_hour_that_comes_twice_is_read_in_the_order_of_the_file(
    name: str, tmp_path: Path
) -> None:
    made = night(tmp_path / name)
    raw = [[made.vocabulary.ids[i] for i in session] for session in made.training.to_lists()]
    assert raw == [[4, 5, 6], [1, 2, 3, 4, 5, 6]]
    assert made.training.times.tolist() == [AUTUMN + HOUR + 600, AUTUMN + 2 * HOUR]
    assert made.test.times.tolist() == [AUTUMN + 11 * HOUR] * 2
    assert made.report["repeated_times"] == 7
    assert "times that the clock shows twice, by file order  7" in preparation_table(made.report)
    # Half an hour of silence, which the clock does not show.
    cut = night(tmp_path / name, gap="30m", session="session", test=0.2)
    assert len(cut.training) + len(cut.test) == 4 and cut.report["steps"][1]["sessions"] == 6


def test_a_log_that_ends_in_the_hour_that_comes_twice(tmp_path: Path) -> None:
    """In the order of the file, a session's time is packed with its row: it must have room."""
    rows = [f"{n},{item},2014-10-26 0{2 - n // 2}:30" for n in range(4) for item in (1, 2)]
    rows = [*rows[4:], *rows[:4], "0,3,2014-10-26 02:29"]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["session,item,time", *rows]))
    rules = {"min_support": 1, "test": 0.2, "time_zone": "Europe/Berlin"}
    in_time = prepare(path, Preparation(**rules))
    in_file = prepare(path, Preparation(order="file", **rules))
    assert in_file.test.times.tolist() == in_time.test.times.tolist() == [AUTUMN + HOUR + 1_740]


def test_other_forms_of_time(tmp_path: Path) -> None:
    made = night(tmp_path / "a.csv")
    pattern = night(tmp_path / "a.csv", "26.10.2014 {}", time_format="%d.%m.%Y %H:%M")
    assert pattern.training == made.training and pattern.test == made.test
    # Where some have a zone, that is theirs.
    (tmp_path / "b.csv").write_text(
        "session,item,time\n1,1,2014-07-01 12:00\n1,2,2014-07-01 10:00Z\n"
        "1,3,2014-07-01 12:00+0200\n2,1,2014-07-02\n2,2,2014-07-01T22:01:00.5Z\n"
    )
    rules = Preparation(min_support=1, test=0.5, time_zone="Europe/Berlin")
    mixed = prepare(tmp_path / "b.csv", rules)
    noon = 1_404_208_800  # 10:00Z
    assert mixed.training.to_lists() == [[0, 1, 2]]
    assert mixed.training.times.tolist() == [noon]
    assert mixed.report["repeated_times"] == 0


def test_a_time_that_the_clock_skips_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{n // 3},{n % 3},2014-03-30 0{n % 3 + 3}:{n // 3:02}:00" for n in range(30)]
    odd = ["7,1,2014-03-30 02:30:00", "7,1,soon", "8,2,2014-03-30 02:00"]
    path.write_text("\n".join(["session,item,time", *rows, *odd]))
    with pytest.raises(ValueError) as error:
        prepare(path, Preparation(time_zone="Europe/Berlin"))
    said = (
        f"{path}, line 32: time='2014-03-30 02:30:00', expected what a clock in Europe/Berlin "
        f"shows; is it of another zone? Give dataset.time_zone – time that Europe/Berlin skips "
        f"(and 1 more such row)"
    )
    assert said in str(error.value).splitlines()
    made = prepare(path, Preparation(time_zone="Europe/Berlin", on_bad_rows="skip"))
    found = {bad["reason"]: bad["rows"] for bad in made.report["bad_rows"]}
    assert found == {"unreadable time": 1, "time that Europe/Berlin skips": 2}
    assert prepare(path, Preparation(on_bad_rows="skip")).report["bad_rows"][0]["rows"] == 1


def test_a_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'time_zone' must be a name such as .* \(got 'Berlin'\)"):
        Preparation(time_zone="Berlin")
    path = tmp_path / "a.csv"
    path.write_text("session,item,time\n1,1,1396867800\n1,2,1396867801\n")
    with pytest.raises(
        ValueError, match=r"^dataset.time_zone is .* and those of \S+a.csv are written as s: leave"
    ):
        prepare(path, Preparation(time_zone="Europe/Berlin"))
    with pytest.raises(ValueError, match=r"a.csv has none: leave it out"):
        path.write_text("session,item\n1,1\n1,2\n")
        prepare(path, Preparation(time_zone="Europe/Berlin", order="file"))
