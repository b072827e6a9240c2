"""Datasets with known users: the older part of their graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch

from pyg_srgnn.data.graphs import session_graph, session_graphs
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.datasets import ClickLog
from pyg_srgnn.datasets.window import known_to
from pyg_srgnn.functional.earlier import EARLIER, Earlier
from pyg_srgnn.functional.marks import ClickMarks
from tests.clicklog.test_users import RULES, log, write
from tests.data.test_graphs import assert_same
from tests.reference.names import random_sessions
from tests.reference.users import earlier_clicks, older_graph


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


def opened(root: Path, split: str = "train", **rules: Any) -> ClickLog:
    file = root / "log.csv"
    return ClickLog(
        root, split, path=file if file.is_file() else write(log(), file), **RULES | rules
    )


def edges_of(data: Any) -> dict[tuple[int, int], tuple[float, float]]:
    found: dict[tuple[int, int], tuple[float, float]] = {}
    pairs = zip(data.earlier_edge.tolist(), data.earlier_weight.tolist(), strict=True)
    for (u, v), (out, into) in pairs:
        before = found.get((u, v), (0.0, 0.0))
        found[u, v] = before[0] + out, before[1] + into
    return found


def test_the_older_part_is_that_of_plain_loops() -> None:
    sessions, earlier = random_sessions(40, 8, seed=1), random_sessions(40, 8, seed=2)
    for session, before in zip(sessions, [[], *earlier[1:]], strict=True):
        marks = ClickMarks(earlier=Earlier.of([before]))
        data = session_graph(torch.tensor(session), marks=marks)
        graph = older_graph(session, before)
        assert [*data.x.tolist(), *data.earlier_x.tolist()] == graph.nodes
        expected = {
            (u, v): pytest.approx((graph.out_weight(u, v), graph.in_weight(u, v)))
            for u, v in graph.counts
        }
        assert edges_of(data) == expected
        assert data.earlier_edge[:, 0].tolist() == graph.alias[:-1]
        assert_same(
            data.from_dict({k: v for k, v in data.items() if k not in EARLIER}),
            session_graph(torch.tensor(session)),
        )


@pytest.mark.parametrize("split", ["train", "valid", "trainval", "test"])
def test_a_batch_is_that_of_single_samples(root: Path, split: str) -> None:
    dataset = opened(root, split, valid=0.3)
    index = [3, 0, 5, 1, len(dataset) - 1]
    batch = dataset.batch(index)
    assert_same(batch, Batch.from_data_list([dataset[i] for i in index]))
    assert_same(batch.get_example(2), dataset[5])


@pytest.mark.parametrize("split", ["train", "valid", "trainval", "test"])
def test_samples_have_the_earlier_clicks_of_their_session(root: Path, split: str) -> None:
    rows = log()
    expected = earlier_clicks(rows, RULES["test"], 4)
    dataset = opened(root, split, valid=0.3, user_clicks=4)
    training, test = dataset.parts
    first = {"train": 0, "trainval": 0, "test": len(training)}
    skipped = first.get(split, len(training) - len(dataset.sessions))
    known = expected[skipped : skipped + len(dataset.sessions)]
    session, cut = dataset.sessions.samples(torch.arange(len(dataset)))
    found = 0
    for data, s, before in zip(dataset, session.tolist(), cut.tolist(), strict=True):
        items, earlier = (dataset.vocabulary.encode(one) for one in known[s])
        graph = older_graph(items[:before], earlier)
        assert [*data.x.tolist(), *data.earlier_x.tolist()] == graph.nodes
        assert edges_of(data).keys() == graph.counts.keys()
        found += bool(earlier)
    assert found > 5
    assert len(expected) == len(training) + len(test)


def test_a_model_with_other_items_sees_the_same_clicks(root: Path) -> None:
    dataset, gone = opened(root, "test", user_clicks=1_000), 105
    kept = [raw for raw in dataset.vocabulary.ids if raw != gone]
    other = known_to(dataset, Vocabulary(kept[::-1]))
    decode, again = dataset.vocabulary.decode, other.vocabulary.decode
    expected = [
        {*decode(data.earlier_x.tolist())} - {gone, *decode(data.x.tolist())}
        for data in dataset
        if decode(data.y.tolist()) != [gone] and {*decode(data.x.tolist())} != {gone}
    ]
    assert [{*again(data.earlier_x.tolist())} for data in other] == expected
    assert max(map(len, expected)) > 3


def test_without_a_user_column_nothing_changes(root: Path) -> None:
    known = opened(root)
    plain = ClickLog(root, path=root / "log.csv", min_support=1, test=0.3, max_length=None)
    assert plain.earlier_clicks == 0
    assert plain.processed_dir != known.processed_dir
    assert plain.fingerprint != known.fingerprint
    assert opened(root, user_clicks=3).processed_dir == known.processed_dir
    for number in (0, 7):
        with_users = known[number]
        left = {key: value for key, value in with_users.items() if key not in EARLIER}
        assert_same(plain[number], with_users.from_dict(left))
    assert {*EARLIER} < {*known[0].keys()}
    anonymous = session_graphs(torch.tensor([1, 2]), torch.tensor([2]))
    assert {*EARLIER}.isdisjoint(anonymous.keys())
