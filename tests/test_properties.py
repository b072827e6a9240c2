"""Properties that hold for every input: graphs, batches, metrics, model (hypothesis).

The examples are bounded and always the same, so that a run is quick and repeatable.
"""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch

from pyg_srgnn.data import Sessions
from pyg_srgnn.data.graphs import session_graph, session_graphs
from pyg_srgnn.evaluation.metrics import RankingMetrics, ranks
from pyg_srgnn.functional.metrics import hit_rate, ndcg, reciprocal_rank
from pyg_srgnn.nn import SRGNN, SRGNNConv
from tests.data.test_graphs import assert_same
from tests.reference import dense_srgnn, graphs
from tests.reference import metrics as naive
from tests.reference.names import conv_names, model_names, randomise

ITEMS, CHANNELS = 6, 3

steady = settings(max_examples=60, deadline=None, derandomize=True, database=None)
few = settings(steady, max_examples=25)

sessions_of_few_items = st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=15)
many_sessions = st.lists(sessions_of_few_items, min_size=1, max_size=6)
ties = st.sampled_from(["conservative", "median", "standard"])
forms = st.fixed_dictionaries(
    {
        "reset_after": st.booleans(),
        "readout": st.sampled_from(["hybrid", "local", "average", "attention"]),
        "num_steps": st.integers(1, 3),
    }
)


@st.composite
def score_rows(draw, distinct=False, max_rows=6):
    """Scores [B, V] and targets [B]; few levels, so that ties are common, or no ties at all."""
    items = draw(st.integers(1, 8))
    levels = (
        st.permutations(range(-(items // 2), items - items // 2))
        if distinct
        else st.lists(st.sampled_from([-2.5, -1.0, 0.0, 0.5, 3.0]), min_size=items, max_size=items)
    )
    rows = draw(st.lists(levels, min_size=1, max_size=max_rows))
    targets = [draw(st.integers(0, items - 1)) for _ in rows]
    return torch.tensor(rows, dtype=torch.float32), torch.tensor(targets)


def batch_of(sessions, targets=None):
    return session_graphs(
        torch.tensor([i for s in sessions for i in s]),
        torch.tensor([len(s) for s in sessions]),
        None if targets is None else torch.tensor(targets),
    )


def close(a, b, tolerance=1e-9):
    torch.testing.assert_close(a.detach(), b.detach(), rtol=0, atol=tolerance)


# Graphs


@steady
@given(sessions_of_few_items)
def test_a_graph_holds_its_session(session):
    data = session_graph(torch.tensor(session))
    assert data.x[data.alias_index].tolist() == session
    assert data.x.unique().numel() == data.num_nodes == len(set(session))
    clicked = set(zip(data.alias_index.tolist(), data.alias_index.tolist()[1:], strict=False))
    edges = [tuple(e) for e in data.edge_index.T.tolist()]
    assert edges == sorted(clicked)
    assert data.x.tolist() == graphs.session_graph(session).nodes


@steady
@given(sessions_of_few_items)
def test_weights_sum_to_one_where_there_are_edges(session):
    data = session_graph(torch.tensor(session))
    for weight, end in ((data.edge_weight, 0), (data.edge_weight_in, 1)):
        assert ((weight > 0) & (weight <= 1)).all()
        totals = torch.zeros(data.num_nodes).index_add(0, data.edge_index[end], weight)
        close(totals[data.edge_index[end]], torch.ones(data.num_edges), 1e-6)


@steady
@given(sessions_of_few_items)
def test_a_session_backwards_swaps_the_two_weights(session):
    one = graphs.session_graph(session)
    forward, back = (session_graph(torch.tensor(s)) for s in (session, session[::-1]))
    there, again = (
        {
            (int(d.x[u]), int(d.x[v])): (float(out), float(into))
            for (u, v), out, into in zip(
                d.edge_index.T.tolist(), d.edge_weight, d.edge_weight_in, strict=True
            )
        }
        for d in (forward, back)
    )
    assert len(there) == len(one.counts)
    assert there == {(u, v): (out, into) for (v, u), (into, out) in again.items()}


@steady
@given(sessions_of_few_items, st.permutations(range(ITEMS)))
def test_renaming_items_renames_nodes_only(session, names):
    data = session_graph(torch.tensor(session))
    renamed = session_graph(torch.tensor([names[i] for i in session]))
    assert renamed.x.tolist() == [names[i] for i in data.x.tolist()]
    for key in ("edge_index", "edge_weight", "edge_weight_in", "alias_index"):
        assert torch.equal(renamed[key], data[key])


# Batches


@steady
@given(many_sessions, st.booleans())
def test_many_at_once_equal_one_at_a_time(sessions, with_target):
    targets = [s[0] for s in sessions] if with_target else None
    singles = [session_graph(torch.tensor(s), s[0] if with_target else None) for s in sessions]
    batch = batch_of(sessions, targets)
    assert_same(batch, Batch.from_data_list(singles))
    for part, single in zip(batch.to_data_list(), singles, strict=True):
        assert_same(part, single)


@steady
@given(st.lists(sessions_of_few_items, max_size=8))
def test_samples_are_all_prefixes(lists):
    sessions = Sessions.from_lists(lists)
    assert sessions.to_lists() == lists
    session, cut = sessions.samples(torch.arange(sessions.num_samples))
    found = list(zip(session.tolist(), cut.tolist(), strict=True))
    assert found == [(s, c) for s, clicks in enumerate(lists) for c in range(1, len(clicks))]


@steady
@given(st.lists(sessions_of_few_items, min_size=2, max_size=8), st.data())
def test_slices_are_those_of_lists(lists, data):
    bounds = st.none() | st.integers(-10, 10)
    part = slice(data.draw(bounds), data.draw(bounds))
    assert Sessions.from_lists(lists)[part].to_lists() == lists[part]


# Metrics


@steady
@given(score_rows(), ties, st.integers(1, 9))
def test_metrics_equal_loops(rows, ties, k):
    scores, target = rows
    places = ranks(scores, target, ties)
    both = zip(scores.tolist(), target.tolist(), strict=True)
    expected = [naive.rank(row, t, ties) for row, t in both]
    assert places.tolist() == expected
    pairs = ((hit_rate, naive.hit), (reciprocal_rank, naive.reciprocal), (ndcg, naive.ndcg))
    for metric, loop in pairs:
        wanted = torch.tensor([loop(p, k) for p in expected], dtype=torch.float64)
        close(metric(places, k), wanted, 1e-12)


@steady
@given(score_rows())
def test_ties_bound_each_other(rows):
    best, middle, worst = (ranks(*rows, t).double() for t in ("standard", "median", "conservative"))
    assert (best <= middle).all()
    assert (middle <= worst).all()
    assert torch.equal(best + worst, 2 * middle)
    assert ((best >= 1) & (worst <= rows[0].shape[1])).all()


@steady
@given(score_rows(), ties)
def test_only_the_order_of_scores_counts(rows, ties):
    scores, target = rows
    for other in (scores - 10, scores / 4, torch.atan(scores), scores.exp()):
        assert torch.equal(ranks(other, target, ties), ranks(scores, target, ties))


@steady
@given(score_rows(), ties, st.randoms(use_true_random=False))
def test_numbering_of_items_does_not_count(rows, ties, random):
    scores, target = rows
    order = list(range(scores.shape[1]))
    random.shuffle(order)
    place = torch.tensor(order).argsort()
    assert torch.equal(ranks(scores[:, order], place[target], ties), ranks(scores, target, ties))


@steady
@given(score_rows(distinct=True, max_rows=9), st.integers(1, 4), st.randoms(use_true_random=False))
def test_batches_and_order_of_rows_do_not_count(rows, size, random):
    scores, target = rows
    order = list(range(len(target)))
    random.shuffle(order)
    results = []
    for s, t, n in ((scores, target, len(target)), (scores[order], target[order], size)):
        metrics = RankingMetrics(scores.shape[1], ks=(1, 3))
        for part, wanted in zip(s.split(n), t.split(n), strict=True):
            metrics.update(part, wanted)
        results.append({k: float(v) for k, v in metrics.compute().items()})
    expected = naive.summary(scores.tolist(), target.tolist(), ks=(1, 3))
    for result in results:
        assert result.keys() == expected.keys()
        assert all(abs(result[k] - expected[k]) < 1e-12 for k in expected)


# Model


@few
@given(many_sessions, forms, st.integers(0, 1000))
def test_scores_equal_the_reference(sessions, form, seed):
    model = randomise(SRGNN(ITEMS, CHANNELS, **form).double(), seed)
    expected = dense_srgnn.scores(
        model_names(model),
        sessions,
        num_steps=form["num_steps"],
        reset_after=form["reset_after"],
        mode=form["readout"],
        single=True,
    )
    close(model.scores(batch_of(sessions)), expected)


@few
@given(many_sessions, forms, st.integers(0, 1000))
def test_scores_of_a_row_do_not_depend_on_other_rows(sessions, form, seed):
    """In float32, as it is used: 1e-6 of the scores' size."""
    model = randomise(SRGNN(ITEMS, CHANNELS, **form), seed)
    together = model.scores(batch_of(sessions))
    for i, session in enumerate(sessions):
        alone = model.scores(batch_of([session]))[0]
        torch.testing.assert_close(alone, together[i], rtol=1e-6, atol=1e-6)


@st.composite
def digraphs(draw):
    """Features [N, d] and any edges: loops and repetitions too, possibly none."""
    n = draw(st.integers(1, 6))
    node = st.integers(0, n - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    x = torch.randn(n, CHANNELS, generator=generator, dtype=torch.float64)
    return x, torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T, edges


@few
@given(digraphs(), st.booleans(), st.integers(1, 3))
def test_conv_equals_the_reference_on_any_digraph(graph, reset_after, num_steps):
    x, edge_index, edges = graph
    conv = randomise(SRGNNConv(CHANNELS, num_steps, reset_after).double())
    p = conv_names(conv)
    matrices = graphs.dense_unit_weights(edges, len(x))
    close(conv(x, edge_index), dense_srgnn.propagate(p, *matrices, x, num_steps, reset_after))


@few
@given(digraphs(), st.booleans(), st.randoms(use_true_random=False))
def test_conv_knows_no_order_of_edges_or_nodes(graph, reset_after, random):
    x, edge_index, edges = graph
    conv = randomise(SRGNNConv(CHANNELS, 2, reset_after).double())
    out = conv(x, edge_index)
    edge_order, node_order = list(range(len(edges))), list(range(len(x)))
    random.shuffle(edge_order)
    random.shuffle(node_order)
    close(conv(x, edge_index[:, edge_order]), out, 1e-12)
    place = torch.tensor(node_order).argsort()
    close(conv(x[node_order], place[edge_index]), out[node_order], 1e-12)
