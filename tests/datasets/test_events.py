"""Datasets with types of clicks: which samples, of which weight, and no look at the target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch_geometric.data import Batch

from pyg_srgnn.datasets import ClickLog, SessionLoader
from pyg_srgnn.evaluation.rank_table import describe_rows
from tests.clicklog.test_events import EVENTS, log, write
from tests.data.test_graphs import assert_same

RULES: dict[str, Any] = {"min_support": 1, "test": 0.3, "event": "event", "events": EVENTS}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(log(), tmp_path_factory.mktemp("events") / "log.csv")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


def opened(root: Path, file: Path, split: str = "train", **rules: Any) -> ClickLog:
    return ClickLog(root, split, path=file, **RULES | {"pauses": "time"} | rules)


@pytest.mark.parametrize("targets", [None, ["purchase"]])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_batch_is_that_of_single_samples(
    root: Path, file: Path, split: str, targets: list[str] | None
) -> None:
    dataset = opened(root, file, split, targets=targets)
    index = [3, 0, 5, 1]
    batch = dataset.batch(index)
    assert_same(batch, Batch.from_data_list([dataset[i] for i in index]))
    assert batch.edge_attr.shape == (batch.edge_index.size(1), len(EVENTS))
    part = dataset[2:6]
    assert_same(part.batch([1, 0]), Batch.from_data_list([part[1], part[0]]))
    number = sum(batch.num_graphs for batch in SessionLoader(dataset, 7, shuffle=True))
    assert number == len(dataset)


def test_samples_without_the_targets_that_are_asked_for_are_left_out(
    root: Path, file: Path
) -> None:
    every, some = opened(root, file), opened(root, file, targets=["cart", "purchase"])
    assert every.sessions.events is not None
    of_target = every.sessions.events[every.sessions.is_target].tolist()
    kept = [row for row, event in enumerate(of_target) if event > 0]
    assert 0 < len(kept) < len(every)
    assert [int(data.row) for data in some] == kept
    assert_same(
        some[0].__class__.from_dict({k: v for k, v in some[0].items() if k != "target_weight"}),
        every[kept[0]].__class__.from_dict(
            {k: v for k, v in every[kept[0]].items() if k != "target_weight"}
        ),
    )
    assert every.processed_dir == some.processed_dir  # it is a choice of samples, not a preparation


def test_weights_are_those_of_the_types_with_a_mean_of_one(root: Path, file: Path) -> None:
    dataset = opened(root, file)
    assert dataset.sessions.events is not None
    of_target = dataset.sessions.events[dataset.sessions.is_target].tolist()
    values = [list(EVENTS.values())[event] for event in of_target]
    mean = sum(values) / len(values)
    weights = dataset.batch(range(len(dataset))).target_weight
    assert weights.tolist() == pytest.approx([value / mean for value in values])
    assert float(weights.mean()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("split", "more"),
    [
        ("test", {}),
        ("valid", {}),
        ("train", {"events": {"view": 2, "cart": 2, "purchase": 2}}),
        ("train", {"targets": ["purchase"]}),
    ],
)
def test_there_are_none_where_all_weigh_alike_or_nothing_is_trained(
    root: Path, file: Path, split: str, more: dict[str, Any]
) -> None:
    assert "target_weight" not in opened(root, file, split, **more).batch([0, 1])


def test_nothing_of_the_target_or_what_follows_is_in_the_graph(root: Path, tmp_path: Path) -> None:
    """The type and time of a target, and all later clicks, change no key but weight and target."""
    rows = [
        {"session": session, "item": item, "time": 1_500_000_000 + 9_000 * session + 10 * at}
        for session in range(20)
        for at, item in enumerate((1, 2, 3, 2, 4))
    ]
    here = [row | {"event": "view"} for row in rows]
    there = [dict(row) for row in here]
    for at, row in enumerate(there):
        if at % 5 >= 2:  # the target of cut 2, and what follows
            row["event"], row["time"] = "purchase", row["time"] + 4_000
    one, other = (
        opened(root, write(log, tmp_path / name), "trainval")
        for name, log in (("one.csv", here), ("other.csv", there))
    )
    for row in range(1, len(one), 4):  # samples of cut 2
        seen, other_seen = one[row], other[row]
        assert int(seen.alias_index.numel()) == 2
        for key in {*seen.keys()} - {"target_weight"}:
            assert torch.equal(seen[key], other_seen[key]), key
        assert {"event", "gap", "edge_attr"} < {*seen.keys()}
    assert not torch.equal(one[2].event, other[2].event)  # the next sample knows


def test_ranks_say_the_type_of_the_target(root: Path, file: Path) -> None:
    for targets in (None, ["cart", "purchase"]):
        test = opened(root, file, "test", targets=targets)
        rows = describe_rows(test, opened(root, file, "trainval").sessions)
        assert test.sessions.events is not None
        of_target = test.sessions.events[test.sessions.is_target].tolist()
        names = [list(EVENTS)[of_target[row]] for row in rows["row"]]
        assert rows["event"].to_list() == names
        assert len(rows) == len(test)
    plain = ClickLog(root, "test", path=file, min_support=1, test=0.3)
    assert "event" not in describe_rows(plain, plain.sessions).columns


def test_a_split_without_such_targets_is_an_error(root: Path, tmp_path: Path) -> None:
    rows = [
        {"session": session, "item": item, "time": 1_500_000_000 + 100 * session, "event": event}
        for session in range(20)
        for item, event in ((1, "purchase"), (2, "view"), (3, "cart" if session < 10 else "view"))
    ]
    file = write(rows, tmp_path / "log.csv")
    expected = (
        r"dataset\.targets=\['purchase'\]: the train part has no click of these types behind "
        r"another one of its session"
    )
    with pytest.raises(ValueError, match=expected):
        opened(root, file, targets=["purchase"])
    assert len(opened(root, file, targets=["cart"])) > 0
    with pytest.raises(ValueError, match=r"the test part has no click of these types"):
        opened(root, file, "test", targets=["cart"])


def test_a_log_without_types_has_the_cache_it_had(root: Path, file: Path) -> None:
    plain = ClickLog(root, path=file, min_support=1, test=0.3)
    assert "event" not in plain.parameters()
    assert "pauses" not in plain.parameters()
    assert plain.events == {}
    assert {"event", "gap", "edge_attr", "target_weight"}.isdisjoint(plain[0].keys())
    typed = opened(root, file)
    assert plain.processed_dir != typed.processed_dir
    assert plain.fingerprint != typed.fingerprint
    assert pl.Series(plain.sessions.items.numpy()).equals(pl.Series(typed.sessions.items.numpy()))
