"""Traps met in public implementations of SR-GNN: one test each, named after the trap.

Each test holds the package to the equations and, where the mistake can be written down, shows that
the mistake would give something else on the same input.
"""

import pytest
import torch
from torch_geometric.data import Batch

from pyg_srgnn.data.graphs import session_graph, session_graphs
from pyg_srgnn.evaluation.metrics import RankingMetrics, ranks
from pyg_srgnn.functional.metrics import hit_rate
from pyg_srgnn.nn import SRGNN, SessionReadout, SRGNNConv
from tests.reference import dense_srgnn as reference
from tests.reference import graphs
from tests.reference.names import model_names, random_sessions, randomise, readout_names

ITEMS, CHANNELS = 7, 4


def make(seed=0, **options):
    return randomise(SRGNN(ITEMS, CHANNELS, **options).double(), seed)


def batch_of(sessions):
    return session_graphs(
        torch.tensor([i for s in sessions for i in s]), torch.tensor([len(s) for s in sessions])
    )


def hidden(model, data):
    """Node features after propagation."""
    h = model.embedding(data.x)
    return model.conv(h, data.edge_index, data.edge_weight, data.edge_weight_in).detach()


def differ(a, b):
    return not torch.allclose(a, b, rtol=1e-3, atol=1e-3)


def same(a, b, tolerance=1e-9):
    torch.testing.assert_close(a.detach(), b.detach(), rtol=0, atol=tolerance)
    return True


@pytest.mark.parametrize("mode", ["local", "attention", "hybrid"])
def test_last_node_instead_of_last_click(mode):
    """In [1, 2, 1] the last click is item 1, the last new node item 2."""
    model = make(readout=mode)
    data = session_graph(torch.tensor([1, 2, 1]))
    h, p = hidden(model, data), readout_names(model.readout)
    right = reference.readout(p, h[[0, 1, 0]], mode)

    wrong_last = h[[0, 0, 1]]  # the same clicks, ending on the last node
    assert differ(right, reference.readout(p, wrong_last, mode))
    assert same(model(data)[0], right)
    if mode == "local":
        assert same(model(data)[0], h[0])


@pytest.mark.parametrize("mode", ["attention", "hybrid", "average"])
def test_attention_over_nodes_instead_of_clicks(mode):
    """In [1, 1, 1, 2] item 1 is three clicks and one node."""
    model = make(readout=mode)
    data = session_graph(torch.tensor([1, 1, 1, 2]))
    h, p = hidden(model, data), readout_names(model.readout)
    right = reference.readout(p, h[[0, 0, 0, 1]], mode)
    assert differ(right, reference.readout(p, h, mode))
    assert same(model(data)[0], right)


def test_incoming_direction_only():
    """In [0, 1] item 0 has no predecessor; what it hears comes from item 1, against the click."""
    model = make()
    data = session_graph(torch.tensor([0, 1]))
    before = hidden(model, data)
    with torch.no_grad():
        model.embedding.weight[1] += 1
    assert differ(before[0], hidden(model, data)[0])
    model(data).sum().backward()
    assert model.conv.lin_out.weight.grad.abs().max() > 0
    assert model.conv.lin_in.weight.grad.abs().max() > 0


def test_unnormalised_sums():
    """A node hears the mean of its neighbours: ten equal ones say what one says."""
    conv = randomise(SRGNNConv(CHANNELS).double())
    x = torch.randn(1, CHANNELS).double().repeat(11, 1)
    for flip in (False, True):
        few, many = torch.tensor([[0], [1]]), torch.stack([torch.zeros(10), torch.arange(1, 11)])
        few, many = (e.long().flip(0) if flip else e.long() for e in (few, many))
        assert same(conv(x, few)[0], conv(x, many)[0])
        raw = conv(x, many, torch.ones(10), torch.ones(10))
        assert differ(conv(x, many)[0], raw[0])

    for session in random_sessions(20, ITEMS):
        data = session_graph(torch.tensor(session))
        source, target = data.edge_index
        for weight, node in ((data.edge_weight, source), (data.edge_weight_in, target)):
            totals = torch.zeros(data.num_nodes).index_add(0, node, weight)
            assert torch.allclose(totals[node], torch.ones(len(node)))


def test_counts_are_not_forgotten():
    """[0, 1, 0, 1, 0, 2]: 0 -> 1 twice, 0 -> 2 once (the authors' code counts it once)."""
    data = session_graph(torch.tensor([0, 1, 0, 1, 0, 2]))
    weights = dict(zip(map(tuple, data.edge_index.T.tolist()), data.edge_weight, strict=True))
    assert weights[0, 1].item() == pytest.approx(2 / 3)
    assert weights[0, 2].item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("reset_after", [False, True])
def test_biases_after_aggregation_lost_for_nodes_without_edges(reset_after):
    """a = b, not zero, for the only click of a session; half of it at the ends of a chain."""
    model = make(reset_after=reset_after)
    p = model_names(model)
    for session in ([3], [1, 2]):
        data = session_graph(torch.tensor(session))
        a_in, a_out = graphs.dense_weights(graphs.session_graph(session))
        h = p["E"][session]
        right = reference.propagate(p, a_in, a_out, h, 1, reset_after)
        without = {k: v for k, v in p.items() if k != "b"}
        assert differ(right, reference.propagate(without, a_in, a_out, h, 1, reset_after))
        assert same(hidden(model, data), right)


def test_biases_before_aggregation_reach_only_nodes_with_edges():
    """b_in is part of what a neighbour says: a node without neighbours does not hear it."""
    conv = randomise(SRGNNConv(CHANNELS).double())
    x, none = torch.randn(1, CHANNELS).double(), torch.empty(2, 0, dtype=torch.int64)
    before = conv(x, none)
    with torch.no_grad():
        conv.lin_in.bias.add_(1)
        conv.lin_out.bias.add_(1)
    assert same(conv(x, none), before)


def test_update_gate_inverted_between_checkpoints():
    """z near one keeps nothing of h in the paper's form, and everything in the authors'."""
    x, none = torch.randn(3, CHANNELS).double(), torch.empty(2, 0, dtype=torch.int64)
    conv = randomise(SRGNNConv(CHANNELS, reset_after=True).double())
    with torch.no_grad():
        conv.lin_ih.bias[CHANNELS : 2 * CHANNELS] = -50
    assert same(conv(x, none), x)
    with torch.no_grad():
        conv.lin_ih.bias[CHANNELS : 2 * CHANNELS] = 50
    assert differ(conv(x, none), x)

    state = reference.authors_state(ITEMS, CHANNELS)
    for gate, keeps in ((50.0, True), (-50.0, False)):
        state["gnn.b_ih"][CHANNELS : 2 * CHANNELS] = gate
        model = SRGNN.from_authors(state)
        data = session_graph(torch.tensor([0, 1, 2]))
        assert differ(hidden(model, data), model.embedding(data.x)) != keeps
        right = reference.authors_scores(state, [[1, 2, 3]])
        assert same(model.scores(data).double(), right, 1e-5)


@pytest.mark.parametrize("readout", ["hybrid", "local", "average", "attention"])
@pytest.mark.parametrize("channels", [1, CHANNELS])
def test_squeeze_on_a_one_node_batch(readout, channels):
    """One session, one click, one node, one channel even: no axis may disappear."""
    model = SRGNN(ITEMS, channels, readout=readout)
    for data in (session_graph(torch.tensor([3]), target=1), batch_of([[3]])):
        assert model(data).shape == (1, channels)
        assert model.scores(data).shape == (1, ITEMS)
        assert [t.shape for t in model.topk(data, 1)] == [(1, 1), (1, 1)]
    assert model.loss(session_graph(torch.tensor([3]), target=1)).shape == ()
    assert SRGNN(1, channels, readout=readout).scores(batch_of([[0]])).shape == (1, 1)
    places = ranks(torch.zeros(1, 1), torch.tensor([0]))
    assert places.shape == hit_rate(places, 1).shape == (1,)


def test_an_attribute_that_is_not_offset_when_batched():
    """alias_index of the second session points at the second session's nodes."""
    sessions = [[1, 2, 1], [3, 3], [2, 4, 5, 2]]
    singles = [session_graph(torch.tensor(s)) for s in sessions]
    for batch in (Batch.from_data_list(singles), batch_of(sessions)):
        assert batch.alias_index.tolist() == [0, 1, 0, 2, 2, 3, 4, 5, 3]
        assert batch.x[batch.alias_index].tolist() == [i for s in sessions for i in s]
        assert batch.batch[batch.alias_index].tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    targets = Batch.from_data_list([session_graph(torch.tensor(s), 6) for s in sessions]).y
    assert targets.tolist() == [6, 6, 6], "and a target is not"


def test_sessions_of_a_batch_are_not_joined():
    """The last click of one session and the first of the next are no edge."""
    batch = batch_of([[1, 2], [3, 4], [4, 1]])
    source, target = batch.edge_index
    assert torch.equal(batch.batch[source], batch.batch[target])
    assert batch.num_edges == 3


def test_precision_at_20_computed_as_hit_rate_divided_by_20():
    """One relevant item, always first: HR@20 is 1, not 1/20."""
    metrics = RankingMetrics(30, ks=(5, 20))
    scores = torch.eye(30)[:8]
    metrics.update(scores, torch.arange(8))
    result = metrics.compute()
    assert float(result["hr@20"]) == float(result["hr@5"]) == 1
    assert hit_rate(torch.tensor([1]), 20).tolist() == [1]


def test_metrics_that_treat_scores_below_zero_as_misses():
    scores = -torch.arange(1.0, 9).repeat(3, 1)  # all negative, best first
    target = torch.tensor([0, 2, 7])
    assert ranks(scores, target).tolist() == [1, 3, 8]
    zero = scores + 1  # the best item has score zero
    for shifted in (scores, zero):
        metrics = RankingMetrics(8, ks=(1, 3))
        metrics.update(shifted, target)
        result = metrics.compute()
        assert float(result["hr@1"]) == pytest.approx(1 / 3)
        assert float(result["hr@3"]) == pytest.approx(2 / 3)
        assert float(result["mrr@3"]) == pytest.approx((1 + 1 / 3) / 3)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("readout", ["hybrid", "local", "average", "attention"])
def test_the_model_reading_other_rows_of_a_batch(readout, training):
    """A row's scores with other rows, in another order, or alone."""
    model = make(readout=readout, num_steps=2).train(training)
    sessions = random_sessions(12, ITEMS)
    together = model.scores(batch_of(sessions))
    assert same(model.scores(batch_of(sessions[::-1])).flip(0), together, 1e-12)
    for i, session in enumerate(sessions):
        assert same(model.scores(batch_of([session]))[0], together[i], 1e-12)
        assert same(model.scores(session_graph(torch.tensor(session)))[0], together[i], 1e-12)


def test_gradient_of_one_row_stays_in_its_session():
    """No item of another session moves a row's vector."""
    readout = randomise(SessionReadout(CHANNELS).double())
    data = batch_of([[1, 2, 1], [3, 4], [5]])
    h = torch.randn(data.num_nodes, CHANNELS).double().requires_grad_()
    readout(h, data.alias_index, data.batch)[1].sum().backward()
    assert h.grad.abs().sum(1).gt(0).tolist() == [False, False, True, True, False]
