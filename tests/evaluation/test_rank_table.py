"""What kind of sample a row is, against plain loops; the file of ranks, and files that are none."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import torch

from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.evaluation.rank_table import (
    baselines_of,
    describe_rows,
    ranks_of,
    read_ranks,
    write_ranks,
)
from tests.reference.names import random_sessions
from tests.reports.tables import random_table, save

ITEMS = 35
TRAINING = random_sessions(12, 30, seed=1, longest=9)  # five items and more are in none of these
TEST = [*random_sessions(25, ITEMS, seed=3, longest=12), [3], [7, 7, 7], [34, 33]]
TIMES = [1_711_756_800 + 50_000 * n for n in range(len(TEST))]  # 2024-03-30, a day has 86,400 s


class Clicks(SessionDataset):
    """A dataset without raw files."""

    name = "clicks"

    def __init__(self, root: Path, timed: bool = True) -> None:
        self.timed = timed
        super().__init__(root, "test")

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        test = Sessions.from_lists(TEST, TIMES if self.timed else None)
        return Sessions.from_lists(TRAINING), test, Vocabulary(range(ITEMS))


def expected() -> list[dict[str, object]]:
    """The columns by plain loops."""
    clicks = Counter(item for session in TRAINING for item in session)
    popular = sorted(clicks, key=lambda item: (-clicks[item], item))
    rows: list[dict[str, object]] = []
    for number, session in enumerate(TEST):
        for cut in range(1, len(session)):
            target = session[cut]
            seen = target in clicks
            rows.append(
                {
                    "row": len(rows),
                    "session": number,
                    "prefix": cut,
                    "repeat": target in session[:cut],
                    "seen": seen,
                    "clicks": clicks[target],
                    "decile": 1 + popular.index(target) * 10 // len(popular) if seen else None,
                    "day": datetime.fromtimestamp(TIMES[number], UTC).date(),
                }
            )
    return rows


def test_rows_are_those_of_a_loop(tmp_path: Path) -> None:
    found = describe_rows(Clicks(tmp_path), Sessions.from_lists(TRAINING)).to_dicts()
    wanted = expected()
    assert found == wanted
    assert len({row["decile"] for row in wanted}) == 11 and len({row["day"] for row in wanted}) > 9
    assert {row["repeat"] for row in wanted} == {row["seen"] for row in wanted} == {True, False}


def test_a_decile_holds_a_tenth_of_the_items_that_are_seen(tmp_path: Path) -> None:
    """Of the items, not of the clicks: the first tenth of 20 items is two of them."""
    training = Sessions.from_lists([[item] * (40 - item) for item in range(20)])
    found = describe_rows(Clicks(tmp_path), training)
    targets = [session[cut] for session in TEST for cut in range(1, len(session))]
    for target, decile in zip(targets, found["decile"], strict=True):
        assert decile == (target // 2 + 1 if target < 20 else None)


def test_some_rows_keep_their_numbers(tmp_path: Path) -> None:
    wanted = expected()
    found = describe_rows(Clicks(tmp_path)[[9, 2, 30]], Sessions.from_lists(TRAINING))
    assert found.to_dicts() == [wanted[9], wanted[2], wanted[30]]


def test_a_dataset_without_times_has_no_days(tmp_path: Path) -> None:
    found = describe_rows(Clicks(tmp_path, timed=False), Sessions.from_lists(TRAINING))
    assert found["day"].dtype == pl.Date and found["day"].null_count() == len(found)
    assert found.drop("day").to_dicts() == [
        {key: value for key, value in row.items() if key != "day"} for row in expected()
    ]


def test_nothing_was_trained_on(tmp_path: Path) -> None:
    found = describe_rows(Clicks(tmp_path), Sessions.from_lists([]))
    assert not found["seen"].any() and found["decile"].null_count() == len(found)


def test_the_file_holds_ranks_of_the_model_and_of_baselines(tmp_path: Path) -> None:
    rows = describe_rows(Clicks(tmp_path), Sessions.from_lists(TRAINING))
    rank = torch.arange(1, len(rows) + 1)
    last = torch.full((len(rows),), torch.iinfo(torch.int64).max)  # targets without a score
    halves = rank / 2 + 0.5  # of ties=median
    path = tmp_path / "of a=1" / "[x]*" / "ranks.parquet"  # as a sweep names its directories
    write_ranks(path, rows, rank, {"stan": last, "session_popularity": halves.double()})
    table = read_ranks(path)
    assert table.columns[:4] == ["row", "session", "prefix", "rank"]
    assert table.select(rows.columns).equals(rows)
    assert baselines_of(table) == ["stan", "session_popularity"]
    assert ranks_of(table).to_list() == rank.tolist() and ranks_of(table).dtype == pl.Int32
    assert set(ranks_of(table, "stan")) == {torch.iinfo(torch.int32).max}
    assert ranks_of(table, "session_popularity").to_list() == halves.tolist()
    with pytest.raises(ValueError, match=r"'markov'; there are stan, session_popularity"):
        ranks_of(table, "markov")


def test_the_order_of_the_rows_in_the_file_does_not_matter(tmp_path: Path) -> None:
    table = random_table()
    save(table.sample(fraction=1, shuffle=True, seed=1), tmp_path / "a.parquet")
    assert not pl.read_parquet(tmp_path / "a.parquet")["row"].is_sorted()
    assert read_ranks(tmp_path / "a.parquet").select(table.columns).equals(table)


def test_ranks_of_an_earlier_version_lack_the_clicks(tmp_path: Path) -> None:
    table = random_table().drop("clicks")
    save(table, tmp_path / "ranks.parquet")
    assert read_ranks(tmp_path / "ranks.parquet").select(table.columns).equals(table)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PAR1" + bytes(50) + b"PAR1", None])
def test_another_file_is_no_ranks(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ranks.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ranks.parquet holds no ranks"):
        read_ranks(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (pl.exclude("prefix"), "column prefix is missing among row, session, repeat"),
        (pl.exclude("rank", "day"), "column day, rank is missing"),
        (
            [pl.exclude("rank"), pl.col("rank").cast(str)],
            "column rank holds String, expected a num",
        ),
        ([pl.exclude("row"), pl.col("row") > 3], "column row holds Boolean, expected Int64"),
        ([pl.exclude("rank"), pl.col("rank") - 3], r"rank holds -?\d+ in row \d+, expected a rank"),
        ([pl.exclude("row"), pl.col("row") // 2], "23 rows are there more than once"),
        (
            [pl.exclude("repeat"), pl.when(pl.col("row") > 4).then("repeat").alias("repeat")],
            "column repeat is empty in 5 rows",
        ),
        ([pl.all(), pl.lit(0).alias("rank_stan")], "rank_stan holds 0 in row 0"),
        (
            [pl.exclude("clicks"), pl.lit("9").alias("clicks")],
            "column clicks holds String, expected Int64",
        ),
    ],
)
def test_ranks_that_are_damaged(tmp_path: Path, change: list[pl.Expr], said: str) -> None:
    path = tmp_path / "ranks.parquet"
    random_table().select(change).write_parquet(path)
    with pytest.raises(ValueError, match=said) as error:
        read_ranks(path)
    assert str(path) in str(error.value)
