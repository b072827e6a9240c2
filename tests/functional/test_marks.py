"""Marks of clicks in session graphs: as plain loops give them."""

from __future__ import annotations

import random

import pytest
import torch

from pyg_srgnn.data.graphs import session_graph, session_graphs
from pyg_srgnn.functional.marks import GAPS, ClickMarks, gap_buckets, pauses_of
from tests.reference.marks import bucket, step_shares


def test_pauses_are_whole_seconds_within_a_session() -> None:
    clock = torch.tensor([5_000_000, 6_999_999, 6_000_000, 1, 60_000_001])
    assert pauses_of(clock, torch.tensor([3, 2])).tolist() == [0, 1, 0, 0, 60]
    assert pauses_of(clock, torch.tensor([3, 0, 2])).tolist() == [0, 1, 0, 0, 60]
    far = pauses_of(torch.tensor([0, 2**62]), torch.tensor([2]))
    assert far.tolist() == [0, 2**31 - 1]


def test_buckets_double() -> None:
    seconds = [0, 0, 1, 2, 3, 4, 7, 8, 59, 3_600, 2**20 - 1, 2**20, 2**31 - 1]
    found = gap_buckets(torch.tensor(seconds), torch.tensor([len(seconds)])).tolist()
    assert found == [0, *map(bucket, seconds[1:])]
    assert max(found) == GAPS - 1
    unknown = gap_buckets(torch.tensor([-1, -1, 5, 5]), torch.tensor([3, 1]))
    assert unknown.tolist() == [0, 0, bucket(5), 0]


@pytest.mark.parametrize("seed", range(5))
def test_session_graphs_hold_types_and_pauses(seed: int) -> None:
    draw = random.Random(seed)
    sessions = [[draw.randrange(4) for _ in range(draw.randint(1, 9))] for _ in range(8)]
    lengths = torch.tensor([len(session) for session in sessions])
    items = torch.tensor([item for session in sessions for item in session])
    event = torch.tensor([draw.randrange(3) for _ in items], dtype=torch.uint8)
    pause = torch.tensor([draw.choice([0, 1, 40, 9_000]) for _ in items], dtype=torch.int32)
    batch = session_graphs(items, lengths, marks=ClickMarks(event, 3, pause))
    starts = (lengths.cumsum(0) - lengths).tolist()
    for number, (session, start) in enumerate(zip(sessions, starts, strict=True)):
        here = slice(start, start + len(session))
        alone = session_graph(items[here], marks=ClickMarks(event[here], 3, pause[here]))
        graph = batch.get_example(number)
        assert {*alone.keys()} == {*graph.keys()}
        for key, value in alone.items():
            assert torch.equal(value, graph[key]), key
        assert alone.event.tolist() == event[here].tolist()
        assert alone.gap.tolist() == [0, *map(bucket, pause[here].tolist()[1:])]
        expected = step_shares(session, event[here].tolist(), 3)
        assert alone.edge_attr.shape == (len(expected), 3)
        for (u, v), share in zip(
            alone.x[alone.edge_index].T.tolist(), alone.edge_attr.tolist(), strict=True
        ):
            assert share == pytest.approx(expected[u, v])


def test_without_marks_a_graph_has_no_more_keys() -> None:
    items, lengths = torch.tensor([1, 2, 1, 3]), torch.tensor([3, 1])
    for graph in (
        session_graphs(items, lengths),
        session_graphs(items, lengths, marks=ClickMarks()),
        session_graph(items),
    ):
        assert {"event", "gap", "edge_attr"}.isdisjoint(graph.keys())
