"""Session graphs: one at a time against loops, many at once against one at a time."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_srgnn.data.graphs import session_graph, session_graphs
from pyg_srgnn.functional.graphs import SessionGraphs, graph_tensors, graphs_of_some
from tests.reference import graphs as reference
from tests.reference.names import random_sessions

KEYS = {"x", "edge_index", "edge_weight", "edge_weight_in", "alias_index"}
SESSIONS = random_sessions(30, num_items=8, seed=1)


def flat(sessions):
    return (
        torch.tensor([i for s in sessions for i in s], dtype=torch.int64),
        torch.tensor([len(s) for s in sessions], dtype=torch.int64),
    )


def one_by_one(sessions, targets=None):
    targets = [None] * len(sessions) if targets is None else targets
    return [session_graph(torch.tensor(s), t) for s, t in zip(sessions, targets, strict=True)]


def assert_same(a, b):
    """Equal keys, dtypes, shapes and values."""
    a, b = a.to_dict(), b.to_dict()
    assert a.keys() == b.keys()
    for key, left in a.items():
        right = b[key]
        if isinstance(left, torch.Tensor):
            assert left.dtype == right.dtype, key
            assert left.shape == right.shape, key
            assert torch.equal(left, right), key
        else:
            assert left == right, key


def test_example_of_the_paper():
    data = session_graph(torch.tensor([1, 2, 3, 2, 4]))
    assert data.x.tolist() == [1, 2, 3, 4]
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 2, 3, 1]]
    assert data.edge_weight.tolist() == [1, 0.5, 0.5, 1]
    assert data.edge_weight_in.tolist() == [0.5, 1, 1, 0.5]
    assert data.alias_index.tolist() == [0, 1, 2, 1, 3]


def test_keys_and_dtypes():
    data = session_graph(torch.tensor([5, 3, 5]), target=7)
    assert isinstance(data, Data)
    assert {key: value.dtype for key, value in data.to_dict().items()} == {
        "x": torch.int64,
        "edge_index": torch.int64,
        "edge_weight": torch.float32,
        "edge_weight_in": torch.float32,
        "alias_index": torch.int64,
        "y": torch.int64,
    }
    assert data.y.tolist() == [7]
    assert set(session_graph(torch.tensor([5])).to_dict()) == KEYS
    assert data.num_nodes == 2
    data.validate()


def test_target_zero_is_a_target():
    assert session_graph(torch.tensor([1]), target=0).y.tolist() == [0]


@pytest.mark.parametrize("session", SESSIONS, ids=lambda s: f"{len(s)} clicks")
def test_one_session_against_loops(session):
    data = session_graph(torch.tensor(session))
    graph = reference.session_graph(session)
    edges = sorted(graph.counts)
    assert data.x.tolist() == graph.nodes
    assert data.alias_index.tolist() == graph.alias
    assert list(zip(*data.edge_index.tolist(), strict=True)) == edges
    expected_out = torch.tensor([graph.out_weight(*e) for e in edges], dtype=torch.float32)
    expected_in = torch.tensor([graph.in_weight(*e) for e in edges], dtype=torch.float32)
    assert torch.equal(data.edge_weight, expected_out)
    assert torch.equal(data.edge_weight_in, expected_in)


def test_a_click_with_nothing_before_it():
    data = session_graph(torch.tensor([3]))
    assert data.x.tolist() == [3]
    assert data.edge_index.shape == (2, 0)
    assert data.edge_weight.shape == data.edge_weight_in.shape == (0,)
    assert data.alias_index.tolist() == [0]


@pytest.mark.parametrize("with_target", [True, False])
@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_many_at_once_equal_one_at_a_time(count, with_target):
    sessions = SESSIONS[:count]
    targets = [(7 * i) % 8 for i in range(count)] if with_target else None
    batch = session_graphs(*flat(sessions), None if targets is None else torch.tensor(targets))
    expected = Batch.from_data_list(one_by_one(sessions, targets))
    assert isinstance(batch, Batch)
    assert type(batch) is type(expected)
    assert_same(batch, expected)
    assert batch.num_graphs == expected.num_graphs == count
    assert batch.num_nodes == expected.num_nodes
    assert batch.num_edges == expected.num_edges
    assert batch.batch_size == count


@pytest.mark.parametrize("kept", [[0, 3, 4, 29], [7], list(range(30)), []])
def test_some_of_many_are_the_graphs_of_these(kept):
    tensors = graph_tensors(*flat(SESSIONS))
    clicks, edges = len(tensors["alias_index"]), tensors["edge_index"].size(1)
    marks = {
        "event": torch.arange(clicks),
        "edge_attr": torch.rand(edges, 3),
        "gap": torch.arange(clicks) + 100,
    }
    x, tensors = tensors["x"], tensors | marks
    del tensors["x"]
    node, found = graphs_of_some(SessionGraphs(**tensors, num_graphs=30), torch.tensor(kept).long())
    assert found.num_graphs == len(kept)
    if kept:
        wanted = graph_tensors(*flat([SESSIONS[i] for i in kept]))
        assert torch.equal(x[node], wanted.pop("x"))
        for name, tensor in wanted.items():
            assert torch.equal(getattr(found, name), tensor), name
        starts = [sum(map(len, SESSIONS[:i])) for i in range(31)]
        event = [click for i in kept for click in range(starts[i], starts[i + 1])]
        assert found.event.tolist() == event and torch.equal(found.gap, found.event + 100)
        at = torch.isin(tensors["edge_index"][0], node)
        assert torch.equal(found.edge_attr, marks["edge_attr"][at])
    else:
        assert node.numel() == found.alias_index.numel() == found.edge_index.numel() == 0


def test_sessions_without_edges_only():
    sessions = [[4], [2], [4]]
    assert_same(session_graphs(*flat(sessions)), Batch.from_data_list(one_by_one(sessions)))


def test_large_item_indices_do_not_mix_sessions():
    """Items near 2^31 and 2^40: a key built from (session, item) must not overflow or collide."""
    sessions = [[2**31, 1, 2**31], [2**40, 2**31, 2**40], [1, 0, 1]]
    assert_same(session_graphs(*flat(sessions)), Batch.from_data_list(one_by_one(sessions)))


def test_batch_comes_apart_again():
    sessions, targets = SESSIONS, [i % 8 for i in range(len(SESSIONS))]
    batch = session_graphs(*flat(sessions), torch.tensor(targets))
    singles = one_by_one(sessions, targets)
    parts = batch.to_data_list()
    assert len(parts) == len(singles)
    for i, (part, single) in enumerate(zip(parts, singles, strict=True)):
        assert_same(part, single)
        assert_same(batch.get_example(i), single)
        assert_same(batch[i], single)
    picked = batch.index_select([3, 0])
    assert_same(picked[0], singles[3])
    assert_same(Batch.from_data_list(parts), batch)


def test_batch_moves_and_clones_like_any_other():
    batch = session_graphs(*flat(SESSIONS[:5]))
    assert_same(batch.clone(), batch)
    assert_same(batch.to("cpu"), batch)
    assert_same(batch.clone().to_data_list()[4], batch.to_data_list()[4])


def test_wrong_input_is_refused():
    items = torch.tensor([1, 2, 3])
    for lengths in ([3, 0], [2], [2, 2], []):
        with pytest.raises(ValueError):
            session_graphs(items, torch.tensor(lengths, dtype=torch.int64))
    with pytest.raises(ValueError):
        session_graphs(items, torch.tensor([1, 2]), torch.tensor([1]))
    with pytest.raises(ValueError):
        session_graph(items[:0])


def test_inputs_are_left_alone():
    items, lengths = flat(SESSIONS)
    before = items.clone(), lengths.clone()
    session_graphs(items, lengths)
    assert torch.equal(items, before[0])
    assert torch.equal(lengths, before[1])
