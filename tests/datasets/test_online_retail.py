"""Online Retail: published counts, the lines that count, the order of lines, what goes wrong."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pyg_srgnn.datasets import OnlineRetail
from pyg_srgnn.datasets.download import DownloadError
from tests.reference.preparation import reference, texts

unchecked = pytest.mark.filterwarnings("ignore:.* is used unchecked")


def put(root: Path, lines: pl.DataFrame) -> Path:
    file = root / "online_retail" / "raw" / "lines.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines.write_parquet(file)
    return file


def invoices() -> pl.DataFrame:
    """Invoices of 1 to 9 lines, two a minute, one line in three of which does not count."""
    rows = []
    for invoice in range(120):
        for line in range(invoice % 9 + 1):
            odd = (invoice + line) % 18
            name = ["cup", "CUP ", "tray", "Tray"][(invoice * line) % 4]
            rows.append(
                {
                    "invoice": f"{'C' if odd == 3 else ''}{500 + invoice}",
                    "stock_code": "POST" if odd == 6 else f"{10_000 + (invoice * 7 + line) % 40}A",
                    "description": None if odd == 9 else " " if odd == 10 else f"{name} {odd % 3}",
                    "quantity": -1 if odd == 12 else 2,
                    "invoice_date": datetime(2011, 1, 1) + timedelta(minutes=invoice // 2),
                    "unit_price": 0.0 if odd == 15 else 1.5,
                    "country": "France",
                }
            )
    return pl.DataFrame(rows)


def raw_ids(dataset: OnlineRetail) -> list[list[Any]]:
    return dataset.sessions.to_lists(dataset.vocabulary)


@unchecked
@pytest.mark.parametrize("cold", ["drop", "keep"])
def test_the_lines_that_count_give_the_reference_sessions(tmp_path: Path, cold: str) -> None:
    lines = invoices()
    put(tmp_path, lines)
    counting = [
        {
            "session": row["invoice"],
            "item": row["stock_code"],
            "time": row["invoice_date"].isoformat(),
            "description": row["description"],
        }
        for row in lines.to_dicts()
        if row["description"] is not None
        and row["quantity"] > 0
        and row["unit_price"] > 0
        and not row["invoice"].startswith("C")
        and row["stock_code"][:5].isdigit()
    ]
    assert 0.5 < len(counting) / lines.height < 0.8
    expected = reference(counting, order="file", min_support=1, drop_longer=6, test=0.3, cold=cold)
    of_items = texts(counting, ["description"])
    for split, sessions in (("trainval", expected.training), ("test", expected.test)):
        made = OnlineRetail(tmp_path, split, test=0.3, max_lines=6, cold=cold)
        assert made.sessions.to_lists() == sessions and len(sessions) > 10
        assert made.vocabulary.ids == list(expected.items)
        assert made.texts == [of_items.get(raw) for raw in expected.items]
    assert not list((tmp_path / "online_retail").glob("**/*.clicks"))


@unchecked
def test_shuffled_lines_stay_in_their_invoice(tmp_path: Path) -> None:
    put(tmp_path, invoices())
    plain, shuffled = (
        OnlineRetail(tmp_path, "trainval", shuffle_lines=shuffle) for shuffle in (False, True)
    )
    put(tmp_path / "again", invoices())
    again = OnlineRetail(tmp_path / "again", "trainval", shuffle_lines=True)
    assert raw_ids(shuffled) == raw_ids(again) != raw_ids(plain)
    assert [sorted(one) for one in raw_ids(shuffled)] == [sorted(one) for one in raw_ids(plain)]
    assert shuffled.sessions.times.tolist() == plain.sessions.times.tolist()
    assert shuffled.processed_dir != plain.processed_dir


@unchecked
def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    file = put(tmp_path, invoices().rename({"stock_code": "StockCode"}))
    with pytest.raises(ValueError, match=rf"{file}: there is no column 'stock_code'; .* StockCode"):
        OnlineRetail(tmp_path)
    put(tmp_path, invoices().with_columns(pl.col("unit_price").cast(pl.String)))
    with pytest.raises(ValueError, match=r"lines.parquet: .*"):
        OnlineRetail(tmp_path)
    said = r"'max_lines' must be .* \(got 1\); 'test' must be .* \(got 2\); 'cold' must be one of"
    with pytest.raises(ValueError, match=said):
        OnlineRetail(tmp_path, max_lines=1, test=2, cold="maybe")


def test_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as error:
        OnlineRetail(tmp_path)
    assert str(tmp_path / "online_retail" / "raw" / "lines.parquet") in str(error.value)
    assert "archive.ics.uci.edu/dataset/352" in str(error.value)


def published(benchmark_data: Path) -> Path:
    if not (benchmark_data / "online_retail" / "lines.parquet").is_file():
        pytest.skip(f"no online_retail/lines.parquet in {benchmark_data}")
    return benchmark_data


@unchecked
def test_the_counts_of_the_published_lines(benchmark_data: Path, tmp_path: Path) -> None:
    settings = {"mirror": published(benchmark_data), "cold": "keep"}
    for test, sizes, cold, share in (
        (0.1, [13_579, 209_426, 1_509, 22_209], 21, 0.012),
        (0.3, [10_562, 161_350, 4_526, 70_285], 180, 0.065),
    ):
        made = OnlineRetail(tmp_path, "test", test=test, **settings)
        parts = made.report["parts"]
        found = [parts[p][unit] for p in ("training", "test") for unit in ("sessions", "clicks")]
        assert found == sizes and made.num_items == 3_604
        unseen = made.report["distributions"]["unseen_test_items"]
        assert unseen["items"] == cold and round(unseen["share"], 3) == share
        assert None not in made.texts and made.texts[0] == "WHITE HANGING HEART T-LIGHT HOLDER"
    steps = {step["rule"]: step for step in made.report["steps"]}
    assert steps["read"]["clicks"] == 527_725
    assert steps["sessions"]["sessions"] == 19_773


@unchecked
def test_the_new_items_of_all_invoices(benchmark_data: Path, tmp_path: Path) -> None:
    """Of invoices of any length, those of one line too: 189 and 26 items, 4.8 and 0.8 %."""
    dataset = OnlineRetail(tmp_path, mirror=published(benchmark_data))
    (lines,) = dataset.click_files()
    frame = pl.read_parquet(lines)
    assert frame["stock_code"].n_unique() == 3_900
    sizes = Counter(Counter(frame["invoice"]).values())
    assert sum(n for size, n in sizes.items() if size <= 40) == 16_580
    ordered = frame["invoice"].unique(maintain_order=True)
    for share, items, of_lines in ((0.3, 189, 0.048), (0.1, 26, 0.008)):
        late = ordered.tail(round(share * len(ordered)))
        is_late = frame["invoice"].is_in(late.implode())
        after, before = frame.filter(is_late), frame.filter(~is_late)
        new = after.filter(~after["stock_code"].is_in(before["stock_code"].unique().implode()))
        assert new["stock_code"].n_unique() == items
        assert round(new.height / after.height, 3) == of_lines
