from __future__ import annotations

import csv
import random

import pytest

from pyg_srgnn.datasets import RetailRocket
from pyg_srgnn.datasets.download import DownloadError
from tests.reference.preparation import reference

START = 1_430_622_000_000  # May 2015, in milliseconds


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "retailrocket" / "raw"
    folder.mkdir(parents=True)
    return folder / "events.csv"


def write(path):
    """Events of 40 days in no order, carts and purchases among them, silences around 30 minutes."""
    generator = random.Random(17)
    rows = []
    for visitor in range(300):
        instant = START + generator.randrange(40 * 86_400_000)
        for _ in range(generator.choice([1, 2, 3, 6, 12])):
            event = generator.choice(["view"] * 8 + ["addtocart", "transaction"])
            item = 1 + int(generator.paretovariate(0.6)) % 150
            sale = generator.randrange(10_000) if event == "transaction" else ""
            rows.append([instant, visitor, event, item, sale])
            instant += generator.choice([1_000, 90_000, 1_800_000, 1_800_001, 90_000_000])
    generator.shuffle(rows)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([["timestamp", "visitorid", "event", "itemid", "transactionid"], *rows])


@pytest.mark.filterwarnings("ignore:.* is used unchecked")
def test_the_views_give_the_reference_sessions(raw, tmp_path):
    write(raw)
    with raw.open(newline="") as file:
        expected = reference(
            csv.DictReader(file),
            user="visitorid",
            item="itemid",
            time="timestamp",
            time_format="ms",
            where={"event": "view"},
            gap="30m",
            test="7d",
        )
    whole, test = RetailRocket(tmp_path, "trainval"), RetailRocket(tmp_path, "test")
    assert whole.sessions.to_lists() == expected.training and len(expected.training) > 100
    assert test.sessions.to_lists() == expected.test and len(expected.test) > 10
    assert whole.sessions.times.tolist() == expected.training_times
    assert whole.vocabulary.ids == list(expected.items)


@pytest.mark.filterwarnings("ignore:.* is used unchecked")
def test_views_carts_and_purchases(raw, tmp_path):
    write(raw)
    with raw.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["event"] != "transaction"]
    expected = reference(
        rows,
        user="visitorid",
        item="itemid",
        time="timestamp",
        time_format="ms",
        gap="30m",
        test="7d",
    )
    events = {"view": 1, "addtocart": 3}
    whole = RetailRocket(tmp_path, "trainval", events=events, targets=["addtocart"], pauses="time")
    assert whole.sessions.to_lists() == expected.training
    types = {}  # of each click of a visitor on an item, in order
    for row in sorted(rows, key=lambda row: int(row["timestamp"])):
        types.setdefault(row["event"], []).append(int(row["itemid"]))
    clicked = whole.vocabulary.decode(whole.sessions.items[whole.sessions.events == 1].tolist())
    assert set(clicked) <= set(types["addtocart"]) and len(clicked) > 30
    assert len(whole) < whole.sessions.num_samples
    assert whole.sessions.pauses.max() >= 1_800  # of two silences, where the click between is rare
    with pytest.raises(ValueError, match="'targets' must be None without 'events'"):
        RetailRocket(tmp_path, targets=["addtocart"])


def test_what_to_put_where(tmp_path):
    with pytest.raises(DownloadError) as error:
        RetailRocket(tmp_path)
    text = str(error.value)
    assert str(tmp_path / "retailrocket" / "raw" / "events.csv") in text
    assert "kaggle.com/datasets/retailrocket/ecommerce-dataset" in text and "login" in text
