"""The plain reference of the preparation is right: known counts, and small cases by hand."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.reference.preparation import Prepared, authors, last, reference, samples

DIGINETICA = {
    "session": "session_id",
    "item": "item_id",
    "time": "eventdate",
    "order": "timeframe",
    "test": "7d",
    "strict": True,
}
YOOCHOOSE = {
    "session": "session_id",
    "item": "item_id",
    "time": "timestamp",
    "order": "file",
    "test": "1d",
    "strict": True,
}
ALL = {"min_support": 1, "test": 0.0}  # no item is rare, and everything is training
DAY = 86_400


def log(*clicks: tuple[Any, ...], names: str = "session item time") -> list[dict[str, Any]]:
    return [dict(zip(names.split(), click, strict=True)) for click in clicks]


def raw(prepared: Prepared) -> tuple[list[list[Any]], list[list[Any]]]:
    """Training and test sessions in raw ids."""
    ids = list(prepared.items)
    return (
        [[ids[number] for number in session] for session in prepared.training],
        [[ids[number] for number in session] for session in prepared.test],
    )


def agree(of_authors: Prepared, of_rules: Prepared) -> None:
    def from_one(sessions: list[list[int]]) -> list[list[int]]:
        return [[number + 1 for number in session] for session in sessions]

    assert of_authors.training == from_one(of_rules.training)
    assert of_authors.test == from_one(of_rules.test)
    assert of_authors.training_times == of_rules.training_times
    assert of_authors.test_times == of_rules.test_times
    assert [int(item) for item in of_authors.items] == list(of_rules.items)
    assert of_authors.split == of_rules.split


# ---------------------------------------------------------------------------- The authors' script


def test_the_sample_file_gives_the_known_counts(benchmark_data: Path) -> None:
    file = benchmark_data / "sample" / "sample_train-item-views.csv"
    prepared = authors(file, "diginetica")
    assert prepared.split == (469, 47)
    assert len(prepared.training) == 469
    assert sum(len(session) for session in prepared.training) == 1_674
    assert len(prepared.items) == 309
    assert prepared.training[:5] == [[1, 2, 3], [4, 5], [6, 7], [8, 9, 9], [10, 11, 11, 11]]
    assert len(samples(prepared.training)[1]) == 1_205
    assert len(prepared.test) == 39  # of 47, eight keep fewer than two known items
    assert len(samples(prepared.test)[1]) == 99

    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter=";"))
    agree(prepared, reference(rows, **DIGINETICA))


def test_diginetica_is_sorted_by_timeframe_and_split_by_day(tmp_path: Path) -> None:
    popular = "".join(f"p{n};NA;{n % 3 + 1};{n};2016-05-01\n" * 2 for n in range(15))
    (tmp_path / "views.csv").write_text(
        "sessionId;userId;itemId;timeframe;eventdate\n" + popular +
        # sorted by number, not by text, and equal ones in file order
        "a;NA;1;1000;2016-05-02\na;NA;3;900;2016-05-02\na;NA;2;900;2016-05-02\n"
        # on the split day: in neither part, though its items count
        "b;NA;4;1;2016-05-03\nb;NA;1;2;2016-05-03\n"
        # spread over the file; the date is that of the last row there, not of the last click
        "c;NA;3;7;2016-05-10\nd;NA;1;1;2016-05-10\nd;NA;4;3;2016-05-10\nd;NA;2;5;2016-05-10\n"
        "c;NA;2;5;2016-05-02\n"
        # item 4 stands in b, d and e five times: not rare, but unknown to training
        "e;NA;4;1;2016-05-09\ne;NA;4;2;2016-05-09\ne;NA;4;2;2016-05-09\ne;NA;3;2;2016-05-09\n"
    )  # fmt: skip
    prepared = authors(tmp_path / "views.csv", "diginetica")
    assert prepared.items == {"1": 1, "2": 2, "3": 3}
    assert prepared.training[15:] == [[3, 2, 1], [2, 3]]
    assert prepared.test == [[1, 2]]
    assert prepared.split == (17, 2)


def test_yoochoose_stays_in_file_order_and_is_split_to_the_second(tmp_path: Path) -> None:
    at = "2014-04-{}.{}Z".format
    popular = [(n, at(f"01T00:00:{n:02}", "000"), item) for n in range(5) for item in (10, 20, 30)]
    rest = [
        (60, at("07T10:00:00", "999"), 20),  # the last second less a day: in neither part
        (60, at("07T10:00:00", "001"), 10),
        (50, at("07T09:59:59", "999"), 30),  # file order, whatever the times say
        (50, at("07T09:59:59", "000"), 10),
        (70, at("07T10:00:01", "000"), 10),
        (70, at("07T10:00:01", "000"), 10),
        (80, at("08T09:00:00", "000"), 99),  # rare, and then its session is short
        (80, at("08T09:00:00", "000"), 10),
        (90, at("08T10:00:00", "500"), 30),
        (90, at("08T10:00:00", "700"), 20),
        (95, at("09T00:00:00", "000"), 10),  # one click: it does not move the split
    ]
    file = tmp_path / "clicks.dat"
    file.write_text("".join(f"{s},{time},{item},0\n" for s, time, item in popular + rest))
    prepared = authors(file, "yoochoose")
    assert prepared.training == [[1, 2, 3]] * 5 + [[3, 1]]
    assert prepared.test == [[1, 1], [3, 2]]
    assert prepared.split == (6, 2)
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines, ["session_id", "timestamp", "item_id", "category"]))
    agree(prepared, reference(rows, **YOOCHOOSE))


def test_samples_come_longest_first_and_the_last_ones_may_cut_a_session() -> None:
    lists = samples([[1, 2, 3], [4, 5, 6, 7], [8, 9]])
    prefixes, targets, owners = lists
    assert prefixes == [[1, 2], [1], [4, 5, 6], [4, 5], [4], [8]]
    assert targets == [3, 2, 7, 6, 5, 9]
    assert owners == [0, 0, 1, 1, 1, 2]
    assert last(lists, 2) == ([[4, 5], [4], [8]], [6, 5, 9], [1, 1, 2])
    assert last(lists, 4) == ([[8]], [9], [2])


# ------------------------------------------------------------------------------ The general rules


def test_sessions_are_numbered_and_sorted_by_their_last_click() -> None:
    rows = log(("a", 7, 50), ("b", 8, 10), ("a", 9, 30), ("b", 7, 40), ("c", 8, 1), ("c", 8, 40))
    prepared = reference(rows, **ALL)
    assert prepared.training == [[0, 1], [0, 0], [2, 1]]  # b and c end together; b began first
    assert prepared.items == {8: 0, 7: 1, 9: 2}
    assert prepared.training_times == [40, 40, 50]


@pytest.mark.parametrize(
    ("order", "expected", "times"),
    [
        ("time", [[3, 1, 2]], [30]),
        ("file", [[1, 2, 3]], [10]),  # of the last row
        ("place", [[2, 3, 1]], [10]),  # equal places stay in file order; 10 follows 9
    ],
)
def test_order(order: str, expected: list[list[int]], times: list[int]) -> None:
    rows = log((1, 1, 20, "10"), (1, 2, 30, "9"), (1, 3, 10, "9"), names="session item time place")
    prepared = reference(rows, order=order, **ALL)
    assert raw(prepared)[0] == expected
    assert prepared.training_times == times


@pytest.mark.parametrize(
    ("value", "time_format"),
    [
        ("1396867869", "s"),
        ("1396867869277", "ms"),
        ("1396867869277001", "us"),
        ("1396867869277001002", "ns"),
        ("2014-04-07T10:51:09.277Z", "iso"),
        ("2014-04-07 10:51:09", "iso"),
        ("2014-04-07T12:51:09+02:00", "iso"),
        ("07.04.2014 10:51:09", "%d.%m.%Y %H:%M:%S"),
    ],
)
def test_time_format(value: str, time_format: str) -> None:
    rows = log((1, 1, value), (1, 2, value))
    assert reference(rows, time_format=time_format, **ALL).training_times == [1_396_867_869]


def test_text_ids_stay_text_and_whole_numbers_become_numbers() -> None:
    text = reference(log((1, "red shoe", 1), (1, "7", 2)), **ALL)
    assert text.items == {"red shoe": 0, "7": 1}
    assert reference(log((1, "9", 1), (1, "7", 2)), **ALL).items == {9: 0, 7: 1}
    assert reference(log((1, "9", 1), (1, "07", 2)), **ALL).items == {"9": 0, "07": 1}


def test_names_of_columns_and_where() -> None:
    rows = log(
        ("x", "view", 5, 1), ("x", "buy", 6, 2), ("x", "view", 7, 3), names="sid event product ts"
    )
    prepared = reference(
        rows, session="sid", item="product", time="ts", where={"event": "view"}, **ALL
    )
    assert raw(prepared)[0] == [[5, 7]]


def test_dedupe_keeps_the_first_of_equal_rows() -> None:
    rows = log((1, 5, 1), (1, 6, 1), (1, 5, 1), (2, 5, 1), (2, 5, 2), (1, 5, 2))
    assert raw(reference(rows, **ALL))[0] == [[5, 6, 5, 5], [5, 5]]
    assert raw(reference(rows, dedupe=True, **ALL))[0] == [[5, 6, 5], [5, 5]]
    in_file = reference(rows, dedupe=True, order="file", **ALL)
    assert raw(in_file)[0] == [[5, 6, 5], [5, 5]]
    placed = log((1, 5, 1, 8), (1, 5, 1, 9), (1, 5, 1, 8), names="session item time place")
    assert raw(reference(placed, dedupe=True, order="place", **ALL))[0] == [[5, 5]]


def test_gap_cuts_a_users_clicks_where_silence_is_longer() -> None:
    rows = log(
        ("u", 4, 1801), ("v", 9, 1802), ("u", 1, 0), ("u", 2, 1), ("u", 3, 1801),
        ("u", 5, 3602), ("u", 6, 3603), ("v", 8, 5),
        names="user item time",
    )  # fmt: skip
    # u: silence of 1,800 s from 2 to 3, and of 1,801 s from 4 to 5
    assert raw(reference(rows, gap="30m", **ALL))[0] == [[1, 2, 4, 3], [8, 9], [5, 6]]
    shorter = reference(rows, gap="1799s", **ALL)
    assert raw(shorter)[0] == [[1, 2], [4, 3], [8, 9], [5, 6]]
    in_file = reference(rows, gap="30m", order="file", **ALL)
    assert raw(in_file)[0] == [[9, 8], [4, 1, 2, 3], [5, 6]]  # cut by time, then in file order
    within = reference(rows, session="user", gap="30m", **ALL)
    assert raw(within)[0] == [[1, 2, 4, 3], [8, 9], [5, 6]]


def test_collapse_counts_immediate_repeats_once() -> None:
    rows = log((1, 5, 1), (1, 5, 2), (1, 6, 3), (1, 5, 4), (1, 5, 9), (2, 7, 1), (2, 7, 2))
    prepared = reference(rows, collapse=True, **ALL)
    assert raw(prepared)[0] == [[5, 6, 5]]  # session 2 is one click
    assert prepared.training_times == [9]


def test_max_length_keeps_the_most_recent_clicks() -> None:
    rows = log((1, 5, 1), (1, 6, 2), (1, 7, 3), (1, 7, 4), (2, 8, 1), (2, 9, 2))
    assert raw(reference(rows, max_length=2, **ALL))[0] == [[8, 9], [7, 7]]
    collapsed = reference(rows, max_length=2, collapse=True, **ALL)
    assert raw(collapsed)[0] == [[8, 9], [6, 7]]  # collapsed first


def of_lists(*sessions: Sequence[Any], times: Sequence[int] = ()) -> list[dict[str, Any]]:
    """Session n at time n, or at the time given, in seconds."""
    at = times or range(len(sessions))
    return log(*((n, item, at[n]) for n, session in enumerate(sessions) for item in session))


def test_the_filters_run_once_or_until_nothing_changes() -> None:
    rows = of_lists([3], [3], [1, 3], [2, 1, 2], [1, 1, 1, 1], [1, 2], [2, 3, 4])
    # Single clicks do not count, so 3 is rare (2 of 4), as 4 is; [1] and [2] are short then.
    once = reference(rows, min_support=4, test=0.0)
    assert raw(once)[0] == [[2, 1, 2], [1, 1, 1, 1], [1, 2]]
    # Which makes 2 rare, and two more sessions short; 1 keeps the four clicks it needs.
    stable = reference(rows, min_support=4, until_stable=True, test=0.0)
    assert raw(stable)[0] == [[1, 1, 1, 1]]


def test_min_length() -> None:
    rows = of_lists([1], [1, 1], [1, 1, 1], [1, 1, 2])
    for least, expected in [(1, [[1], [1, 1], [1, 1, 1], [1, 1]]), (3, [[1, 1, 1]])]:
        prepared = reference(rows, min_length=least, min_support=2, test=0.0)
        assert raw(prepared)[0] == expected


def test_the_last_fraction_is_test() -> None:
    rows = of_lists(*[[1, n % 2] for n in range(9)])
    assert reference(rows, min_support=1, test=0.25).split == (7, 2)  # of 2.25
    assert reference(rows, min_support=1, test=0.3).split == (6, 3)  # of 2.7


@pytest.mark.parametrize(
    ("test", "strict", "training", "held_out"),
    [
        ("1d", False, [[1, 2], [2, 2], [1, 1]], [[2, 1], [2, 2, 2]]),
        ("1d", True, [[1, 2], [2, 2]], [[2, 1], [2, 2, 2]]),
        ("2d", False, [[1, 2]], [[2, 2], [1, 1], [2, 1], [2, 2, 2]]),
        ("1970-01-02", False, [[1, 2]], [[2, 2], [1, 1], [2, 1], [2, 2, 2]]),
        ("1970-01-03", True, [[1, 2], [2, 2], [1, 1]], [[2, 1], [2, 2, 2]]),
    ],
)
def test_days_and_dates(
    test: str, strict: bool, training: list[list[int]], held_out: list[list[int]]
) -> None:
    times = [0, DAY, 2 * DAY - 1, 2 * DAY, 3 * DAY - 1]
    rows = of_lists([1, 2], [2, 2], [1, 1], [2, 1], [2, 2, 2], times=times)
    assert raw(reference(rows, min_support=1, test=test, strict=strict)) == (training, held_out)


def test_days_count_from_the_last_session_that_the_filters_leave() -> None:
    rows = of_lists([1, 1], [1, 1], [1], [1, 2], times=[0, DAY, 5 * DAY, 6 * DAY])
    prepared = reference(rows, min_support=2, test="1d")
    assert prepared.training_times == [0]
    assert prepared.test_times == [DAY]


def test_a_session_keeps_the_time_of_a_rare_last_click() -> None:
    rows = log((1, 5, 1), (1, 5, 2), (1, 6, 99), (2, 5, 3), (2, 5, 50))
    prepared = reference(rows, min_support=2, test=0.0)
    assert prepared.training_times == [50, 99]


def test_unknown_items_leave_the_test_sessions() -> None:
    rows = of_lists([1, 2], [2, 1], [1, 9, 2], [9, 2], [9, 9])
    prepared = reference(rows, min_support=1, test=0.6)
    assert raw(prepared) == ([[1, 2], [2, 1]], [[1, 2]])
    assert prepared.split == (2, 3)


@pytest.mark.parametrize(
    ("recent", "expected"),
    [
        (1, [[1, 2, 3], [4, 5, 6, 7], [8, 9]]),
        (2, [[4, 5, 6], [8, 9]]),  # of 6 samples 3: the two shortest prefixes, and the last one
        (3, [[4, 5], [8, 9]]),
        (4, [[8, 9]]),  # 1.5 samples are one
        (7, []),
    ],
)
def test_recent_keeps_the_last_samples_and_the_whole_catalogue(
    recent: int, expected: list[list[int]]
) -> None:
    rows = of_lists([1, 2, 3], [4, 5, 6, 7], [8, 9])
    prepared = reference(rows, recent=recent, **ALL)
    assert raw(prepared)[0] == expected
    assert len(prepared.items) == 9
    mine, all_of_it = (samples(reference(rows, recent=n, **ALL).training) for n in (recent, 1))
    assert mine[:2] == last(all_of_it, recent)[:2]


def test_whole_files_through_both(tmp_path: Path) -> None:
    """Many sessions of a generated file, and not only the cases somebody thought of."""
    from benchmarks.click_log import write

    file = tmp_path / "clicks.dat"
    write(file, rows=4_000, seed=3)
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines, ["session_id", "timestamp", "item_id", "category"]))
    prepared = authors(file, "yoochoose")
    assert len(prepared.training) > 100
    assert prepared.test
    agree(prepared, reference(rows, **YOOCHOOSE))
