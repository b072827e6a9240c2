"""SRGNNConv on any directed graph, against dense matrices."""

import copy
import itertools
import pickle
import random
import shutil

import pytest
import torch
import torch_geometric.typing
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import HeteroConv, to_hetero
from torch_geometric.transforms import ToSparseTensor
from torch_geometric.utils import to_torch_csc_tensor

from pyg_srgnn.data.graphs import session_graph
from pyg_srgnn.nn import SRGNNConv
from tests.reference.dense_srgnn import propagate
from tests.reference.graphs import dense_given_weights, dense_unit_weights
from tests.reference.names import conv_names, leaf, randomise

CHANNELS = 4
FORMS = [False, True]


def make(seed=0, **options):
    return randomise(SRGNNConv(CHANNELS, **options).double(), seed)


def digraph(n=7, edges=15, seed=0):
    """Any directed graph: self-loops, repeated edges, and node n - 1 without edges."""
    rng = random.Random(seed)
    pairs = [(rng.randrange(n - 1), rng.randrange(n - 1)) for _ in range(edges - 2)]
    pairs += [pairs[0], (2, 2)]
    x = torch.randn(n, CHANNELS, generator=torch.Generator().manual_seed(seed)).double()
    return x, torch.tensor(pairs, dtype=torch.int64).T.contiguous(), pairs


def weights(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(2, count, generator=generator).double())


def expected(conv, x, matrices):
    return propagate(conv_names(conv), *matrices, leaf(x), conv.num_steps, conv.reset_after)


def close(a, b, tolerance=1e-12):
    return torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("reset_after", FORMS)
def test_unit_counts_when_weights_are_left_out(reset_after, num_steps, bias):
    conv = make(reset_after=reset_after, num_steps=num_steps, bias=bias)
    x, edge_index, pairs = digraph()
    close(conv(x, edge_index), expected(conv, x, dense_unit_weights(pairs, len(x))))


@pytest.mark.parametrize("num_steps", [1, 3])
@pytest.mark.parametrize("reset_after", FORMS)
def test_given_weights_and_every_gradient(reset_after, num_steps):
    conv = make(reset_after=reset_after, num_steps=num_steps)
    x, edge_index, pairs = digraph()
    x.requires_grad_()
    w_out, w_in = weights(len(pairs))
    out = conv(x, edge_index, w_out, w_in)
    out.square().sum().backward()

    p = {k: v.requires_grad_() for k, v in conv_names(conv).items()}
    h = leaf(x).requires_grad_()
    matrices = dense_given_weights(pairs, w_out.tolist(), w_in.tolist(), len(x))
    dense = propagate(p, *matrices, h, num_steps, reset_after)
    dense.square().sum().backward()

    close(out.detach(), dense.detach())
    close(x.grad, h.grad, 1e-9)
    gradients = conv_names(conv, lambda parameter: parameter.grad)
    assert gradients.keys() == p.keys()
    assert sum(g.numel() for g in gradients.values()) == sum(w.numel() for w in conv.parameters())
    for name, parameter in p.items():
        close(gradients[name], parameter.grad, 1e-9)
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("given", ["edge_weight", "edge_weight_in"])
def test_one_weight_given_and_the_other_left_out(given):
    conv = make()
    x, edge_index, pairs = digraph()
    a_in, a_out = dense_unit_weights(pairs, len(x))
    weight, _ = weights(len(pairs))
    given_in, given_out = dense_given_weights(pairs, weight.tolist(), weight.tolist(), len(x))
    matrices = (a_in, given_out) if given == "edge_weight" else (given_in, a_out)
    close(conv(x, edge_index, **{given: weight}), expected(conv, x, matrices))


@pytest.mark.parametrize("given", ["edge_weight", "edge_weight_in"])
def test_weights_in_a_column(given):
    conv = make(num_steps=2)
    x, edge_index, pairs = digraph()
    weight, _ = weights(len(pairs))
    column = conv(x, edge_index, **{given: weight[:, None]})
    close(column, conv(x, edge_index, **{given: weight}), 0)
    close(
        conv(x, edge_index[:, :1], **{given: weight[:1]}),
        conv(x, edge_index[:, :1], **{given: weight[:1, None]}),
        0,
    )


@pytest.mark.parametrize("given", ["edge_weight", "edge_weight_in"])
@pytest.mark.parametrize("shape", [(1,), (14,), (1, 1), (1, 15), (15, 2), (15, 1, 1), ()])
def test_weights_of_another_shape(given, shape):
    x, edge_index, _ = digraph()
    with pytest.raises(ValueError, match=rf"SRGNNConv: '{given}' must have shape \[15\].*\(got \["):
        make()(x, edge_index, **{given: torch.ones(shape).double()})


def test_gradients_reach_the_weights_of_edges():
    conv = make()
    x, edge_index, pairs = digraph()
    w_out, w_in = (w.requires_grad_() for w in weights(len(pairs)))
    conv(x, edge_index, w_out, w_in).sum().backward()
    assert w_out.grad.abs().min() > 0
    assert w_in.grad.abs().min() > 0


@pytest.mark.parametrize("reset_after", FORMS)
def test_gradcheck(reset_after):
    conv = make(reset_after=reset_after)
    x, edge_index, pairs = digraph(n=4, edges=6)
    w_out, w_in = weights(len(pairs))
    inputs = [t.requires_grad_() for t in (x, w_out, w_in)]
    assert torch.autograd.gradcheck(lambda x, a, b: conv(x, edge_index, a, b), inputs)


@pytest.mark.parametrize("direction", ["in", "out"])
def test_each_direction_is_heard(direction):
    """Node 1 of 0 -> 1 -> 2 changes with what lies before it and with what lies after it."""
    conv = make()
    x, pairs = torch.zeros(3, CHANNELS).double(), [(0, 1), (1, 2)]
    edge_index = torch.tensor(pairs).T
    changed = x.clone()
    changed[0 if direction == "in" else 2] = 1
    assert not torch.allclose(conv(x, edge_index)[1], conv(changed, edge_index)[1])
    close(conv(changed, edge_index), expected(conv, changed, dense_unit_weights(pairs, 3)))


def test_directions_are_not_mixed_up():
    """Reversing the edges is not the same graph."""
    conv = make()
    x, edge_index, _ = digraph()
    assert not torch.allclose(conv(x, edge_index), conv(x, edge_index.flip(0)))


@pytest.mark.parametrize("reset_after", FORMS)
def test_a_graph_without_edges(reset_after):
    conv = make(reset_after=reset_after, num_steps=2)
    x = torch.randn(3, CHANNELS).double()
    no_edges = torch.empty(2, 0, dtype=torch.int64)
    close(conv(x, no_edges), expected(conv, x, (torch.zeros(3, 3).double(),) * 2))
    empty = torch.empty(0)
    close(conv(x, no_edges, empty, empty), conv(x, no_edges))


@pytest.mark.parametrize("reset_after", FORMS)
def test_a_graph_without_nodes(reset_after):
    conv = make(reset_after=reset_after, num_steps=2)
    x = torch.empty(0, CHANNELS).double().requires_grad_()
    out = conv(x, torch.empty(2, 0, dtype=torch.int64))
    assert out.shape == (0, CHANNELS)
    out.sum().backward()
    assert x.grad.shape == (0, CHANNELS)


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("reset_after", FORMS)
def test_one_node(reset_after, loop):
    conv = make(reset_after=reset_after)
    x = torch.randn(1, CHANNELS).double()
    pairs = [(0, 0)] if loop else []
    edge_index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    out = conv(x, edge_index)
    assert out.shape == (1, CHANNELS)
    close(out, expected(conv, x, dense_unit_weights(pairs, 1)))


def test_a_self_loop_is_an_edge_like_any_other():
    conv = make()
    x = torch.randn(2, CHANNELS).double()
    pairs = [(0, 0), (0, 1)]
    edge_index = torch.tensor(pairs).T
    close(conv(x, edge_index), expected(conv, x, dense_unit_weights(pairs, 2)))
    assert not torch.allclose(conv(x, edge_index), conv(x, edge_index[:, 1:]))


@pytest.mark.parametrize("channels", [1, 3])
def test_other_sizes(channels):
    conv = randomise(SRGNNConv(channels, num_steps=2).double())
    x = torch.randn(5, channels).double()
    pairs = [(0, 1), (1, 2), (4, 0)]
    close(conv(x, torch.tensor(pairs).T), expected(conv, x, dense_unit_weights(pairs, 5)))


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("reset_after", FORMS)
def test_lower_precision(reset_after, dtype, given):
    """Same dtype out as in, although the weights of stored graphs are float32."""
    conv = make(reset_after=reset_after, num_steps=2)
    x, edge_index, pairs = digraph()
    edge_weights = [w.float() for w in weights(len(pairs))] if given else [None, None]
    exact = conv(x, edge_index, *[w.double() if given else None for w in edge_weights])
    out = conv.to(dtype)(x.to(dtype), edge_index, *edge_weights)
    assert out.dtype == dtype
    tolerance = 50 * torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), exact, rtol=tolerance, atol=tolerance)
    out.float().sum().backward()
    assert all(p.grad.dtype == dtype for p in conv.parameters())


def test_double_features_with_stored_weights():
    conv = make()
    x, edge_index, pairs = digraph()
    single = [w.float() for w in weights(len(pairs))]
    out = conv(x, edge_index, *single)
    assert out.dtype == torch.float64
    close(out, conv(x, edge_index, *[w.double() for w in single]))


def test_non_contiguous_input():
    conv = make()
    x, edge_index, pairs = digraph()
    w_out, w_in = weights(len(pairs))
    strided_x = torch.stack([x, -x], dim=1).reshape(len(x), -1).T.contiguous().T[:, :CHANNELS]
    strided_edges = torch.stack([edge_index[0], edge_index[1]], dim=1).T
    strided_weight = torch.stack([w_out, w_in], dim=1)
    assert not strided_x.is_contiguous()
    assert not strided_edges.is_contiguous()
    assert not strided_weight[:, 0].is_contiguous()
    out = conv(strided_x, strided_edges, strided_weight[:, 0], strided_weight[:, 1])
    close(out, conv(x, edge_index, w_out, w_in))


def test_inputs_are_left_alone():
    conv = make(num_steps=2)
    x, edge_index, pairs = digraph()
    inputs = (x, edge_index, *weights(len(pairs)))
    before = [t.clone() for t in inputs]
    conv(*inputs)
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))


def test_order_of_edges_does_not_matter():
    conv = make(num_steps=2)
    x, edge_index, pairs = digraph()
    w_out, w_in = weights(len(pairs))
    order = torch.randperm(len(pairs))
    out = conv(x, edge_index[:, order], w_out[order], w_in[order])
    close(out, conv(x, edge_index, w_out, w_in))


def test_numbering_of_nodes_does_not_matter():
    conv = make(num_steps=2)
    x, edge_index, pairs = digraph()
    w_out, w_in = weights(len(pairs))
    order = torch.randperm(len(x))
    place = order.argsort()
    out = conv(x[order], place[edge_index], w_out, w_in)
    close(out, conv(x, edge_index, w_out, w_in)[order])


def test_graphs_side_by_side_do_not_touch():
    conv = make(num_steps=3)
    graphs = [digraph(n, edges, seed) for seed, (n, edges) in enumerate([(4, 5), (7, 9), (5, 4)])]
    starts = [0, *itertools.accumulate(len(x) for x, _, _ in graphs)]
    x = torch.cat([x for x, _, _ in graphs])
    edge_index = torch.cat([e + s for (_, e, _), s in zip(graphs, starts, strict=False)], dim=1)
    close(conv(x, edge_index), torch.cat([conv(x, e) for x, e, _ in graphs]))


def test_shared_weights_in_every_step():
    one, two = make(num_steps=1), make(num_steps=2)
    x, edge_index, _ = digraph()
    close(two(x, edge_index), one(one(x, edge_index), edge_index))
    assert [p.shape for p in one.parameters()] == [p.shape for p in two.parameters()]


def test_authors_gate_is_a_gru_cell_with_the_gate_turned():
    """reset_after=True is torch.nn.GRUCell once z becomes 1 - z."""
    conv = make(reset_after=True)
    cell = torch.nn.GRUCell(2 * CHANNELS, CHANNELS).double()
    sign = torch.ones(3 * CHANNELS, 1).double()
    sign[CHANNELS : 2 * CHANNELS] = -1
    with torch.no_grad():
        cell.weight_ih.copy_(conv.lin_ih.weight * sign)
        cell.weight_hh.copy_(conv.lin_hh.weight * sign)
        cell.bias_ih.copy_(conv.lin_ih.bias * sign[:, 0])
        cell.bias_hh.copy_(conv.lin_hh.bias * sign[:, 0])
    x = torch.randn(3, CHANNELS).double()
    a = conv.bias.expand(3, -1)
    close(conv(x, torch.empty(2, 0, dtype=torch.int64)), cell(a, x))


def test_biases():
    names = {n for n, _ in SRGNNConv(3).named_parameters()}
    directions = {"lin_in.weight", "lin_in.bias", "lin_out.weight", "lin_out.bias", "bias"}
    gates = {"lin_ih.weight", "lin_hh.weight"}
    assert names == directions | gates
    after = {n for n, _ in SRGNNConv(3, reset_after=True).named_parameters()}
    assert after == names | {"lin_ih.bias", "lin_hh.bias"}
    for form in FORMS:
        without = {n for n, _ in SRGNNConv(3, reset_after=form, bias=False).named_parameters()}
        assert not any("bias" in n for n in without)


def test_reset_parameters_draws_anew():
    conv = SRGNNConv(16, reset_after=True)
    before = [p.detach().clone() for p in conv.parameters()]
    conv.reset_parameters()
    for old, new in zip(before, conv.parameters(), strict=True):
        assert not torch.equal(old, new)
        assert new.abs().max() <= 0.25


def test_repr():
    text = repr(SRGNNConv(16, num_steps=2))
    assert text.startswith("SRGNNConv(16")
    assert "num_steps=2" in text
    assert "\n" not in text
    assert repr(SRGNNConv(16, reset_after=True)) != repr(SRGNNConv(16))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(clone):
    conv = make(reset_after=True, num_steps=2)
    x, edge_index, _ = digraph()
    other = clone(conv)
    close(other(x, edge_index), conv(x, edge_index), 0)
    with torch.no_grad():
        other.lin_in.weight.add_(1)
    assert not torch.allclose(other(x, edge_index), conv(x, edge_index))


def test_state_dict_round_trip():
    conv, other = make(seed=0), make(seed=1)
    x, edge_index, _ = digraph()
    other.load_state_dict(conv.state_dict())
    close(other(x, edge_index), conv(x, edge_index), 0)


@pytest.mark.parametrize("shape", [(3, CHANNELS + 1), (3, CHANNELS - 1)])
def test_wrong_channels(shape):
    with pytest.raises(ValueError, match=rf"SRGNNConv.*{CHANNELS}.*{shape[1]}"):
        make()(torch.zeros(shape).double(), torch.empty(2, 0, dtype=torch.int64))


@pytest.mark.parametrize("num_steps", [0, -1])
def test_wrong_num_steps(num_steps):
    with pytest.raises(ValueError, match=rf"SRGNNConv.*num_steps.*{num_steps}"):
        SRGNNConv(CHANNELS, num_steps=num_steps)


@pytest.mark.parametrize("channels", [0, -4])
def test_wrong_size(channels):
    with pytest.raises(ValueError, match=rf"SRGNNConv.*channels.*{channels}"):
        SRGNNConv(channels)


needs_compiler = pytest.mark.skipif(
    not any(shutil.which(c) for c in ("g++", "clang++", "c++")),
    reason="torch.compile needs a C++ compiler, and none of g++, clang++, c++ is installed",
)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(("reset_after", "given"), [(False, True), (True, False)])
def test_compile_without_graph_breaks(reset_after, given):
    """Traced whole, forward and backward, and right for graphs of other sizes too."""
    torch.compiler.reset()
    conv = make(reset_after=reset_after, num_steps=2)
    compiled = torch.compile(copy.deepcopy(conv), fullgraph=True, backend="aot_eager")
    for n, edges in ((7, 15), (5, 9), (9, 20)):
        x, edge_index, pairs = digraph(n, edges)
        edge_weights = weights(len(pairs)) if given else ()
        out, plain = compiled(x, edge_index, *edge_weights), conv(x, edge_index, *edge_weights)
        close(out, plain)
        conv.zero_grad()
        compiled.zero_grad()
        out.sum().backward()
        plain.sum().backward()
        for a, b in zip(compiled.parameters(), conv.parameters(), strict=True):
            close(a.grad, b.grad)


@pytest.mark.slow
@needs_compiler
def test_compile_to_machine_code():
    torch.compiler.reset()
    conv = make()
    x, edge_index, pairs = digraph()
    with torch.no_grad():
        out = torch.compile(conv, fullgraph=True)(x, edge_index, *weights(len(pairs)))
        close(out, conv(x, edge_index, *weights(len(pairs))))


@pytest.mark.slow
@pytest.mark.parametrize("reset_after", FORMS)
def test_export(reset_after):
    """One exported program serves graphs of every size."""
    conv = make(reset_after=reset_after, num_steps=2)
    x, edge_index, pairs = digraph()
    nodes, edges = torch.export.Dim("nodes", min=2), torch.export.Dim("edges", min=2)
    shapes = ({0: nodes}, {1: edges}, {0: edges}, {0: edges})
    program = torch.export.export(
        conv, (x, edge_index, *weights(len(pairs))), dynamic_shapes=shapes
    )
    for n, count in ((7, 15), (5, 9)):
        x, edge_index, pairs = digraph(n, count)
        inputs = (x, edge_index, *weights(len(pairs)))
        close(program.module()(*inputs), conv(*inputs))


def test_export_without_weights():
    conv = make()
    x, edge_index, _ = digraph()
    program = torch.export.export(conv, (x, edge_index))
    close(program.module()(x, edge_index), conv(x, edge_index))


sparse_layouts = [torch.sparse_csr, torch.sparse_coo]
if torch_geometric.typing.WITH_TORCH_SPARSE:
    sparse_layouts.append(None)  # torch_sparse.SparseTensor


@pytest.mark.parametrize("layout", sparse_layouts)
@pytest.mark.parametrize("weighted", [True, False])
def test_sparse_adjacency_as_pyg_makes_it(layout, weighted):
    conv = make(num_steps=2)
    data = session_graph(torch.tensor([5, 2, 5, 3, 2, 5, 5, 1]))
    x = torch.randn(data.num_nodes, CHANNELS).double()
    if weighted:
        data.edge_weight = weights(data.num_edges)[0]  # apart from the default
        expected = conv(x, data.edge_index, data.edge_weight, data.edge_weight_in)
    else:
        data = Data(edge_index=data.edge_index, num_nodes=data.num_nodes)
        expected = conv(x, data.edge_index)
    data = ToSparseTensor(layout=layout)(data)
    assert data.edge_index is None
    close(conv(x, data.adj_t, edge_weight_in=data.get("edge_weight_in")), expected)


def test_sparse_adjacency_by_columns_and_with_weights_beside_it():
    conv = make()
    x = torch.randn(3, CHANNELS).double()
    edge_index = torch.tensor([[0, 0, 1, 2], [1, 2, 2, 0]])
    w_out, w_in = weights(4)
    by_target = edge_index[1].argsort(stable=True)
    csc = to_torch_csc_tensor(edge_index.flip(0), w_out, (3, 3))
    close(conv(x, csc), conv(x, edge_index, w_out))
    csr = csc.to_sparse_csr()
    given = conv(x, csr, torch.ones(4), w_in[by_target])
    close(given, conv(x, edge_index, torch.ones(4), w_in))


def test_gradients_reach_the_values_of_a_sparse_adjacency():
    conv = make()
    x = torch.randn(2, CHANNELS).double()
    adj_t = torch.tensor([[0, 0.5], [0.25, 0]]).double().to_sparse_csr().requires_grad_()
    conv(x, adj_t).sum().backward()
    assert adj_t.grad.values().abs().min() > 0


def test_a_sparse_adjacency_of_other_nodes():
    x, _, _ = digraph()
    with pytest.raises(ValueError, match=r"SRGNNConv: 'adj_t' must have shape \[7, 7\].*\[7, 6\]"):
        make()(x, torch.eye(7)[:, :6].to_sparse_csr())


def test_a_bipartite_graph_is_refused():
    x, edge_index, _ = digraph()
    for pair in ((x, x), (x, None)):
        with pytest.raises(ValueError, match=r"SRGNNConv.*bipartite graphs are not supported, bec"):
            make()(pair, edge_index)


def hetero(bipartite):
    """Items that follow one another and are bought together, and perhaps users who click them."""
    x, edge_index, _ = digraph()
    data = HeteroData()
    data["item"].x = x
    data["item", "to", "item"].edge_index = edge_index
    data["item", "with", "item"].edge_index = edge_index.flip(0)[:, 3:]
    if bipartite:
        data["user"].x = x[:2]
        data["user", "clicks", "item"].edge_index = torch.tensor([[0, 1], [2, 3]])
    return data


def test_hetero_conv_within_a_node_type():
    data = hetero(bipartite=False)
    convs = {kind: make(seed) for seed, kind in enumerate(data.edge_types)}
    found = HeteroConv(convs)(data.x_dict, data.edge_index_dict)["item"]
    close(found, sum(conv(data["item"].x, data[kind].edge_index) for kind, conv in convs.items()))
    weight = {("item", "to", "item"): weights(15)[0][:, None]}
    found = HeteroConv(convs)(data.x_dict, data.edge_index_dict, edge_weight_dict=weight)["item"]
    first, second = convs
    expected = convs[first](data["item"].x, data[first].edge_index, weight[first])
    close(found, expected + convs[second](data["item"].x, data[second].edge_index))


def test_hetero_conv_between_node_types_is_refused():
    data = hetero(bipartite=True)
    conv = HeteroConv({kind: make() for kind in data.edge_types})
    with pytest.raises(ValueError, match=r"SRGNNConv.*bipartite"):
        conv(data.x_dict, data.edge_index_dict)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = make()

    def forward(self, x, edge_index):
        return self.conv(x, edge_index).relu()


def test_to_hetero_within_a_node_type_and_between_two():
    data = hetero(bipartite=False)
    model = to_hetero(Net(), data.metadata())
    x = data["item"].x
    each = [model.conv["__".join(k)](x, data[k].edge_index) for k in data.edge_types]
    close(model(data.x_dict, data.edge_index_dict)["item"], sum(each).relu())
    data = hetero(bipartite=True)
    data["item", "by", "user"].edge_index = torch.tensor([[2, 3], [0, 1]])
    model = to_hetero(Net(), data.metadata())
    with pytest.raises(ValueError, match=r"SRGNNConv.*bipartite"):
        model(data.x_dict, data.edge_index_dict)


def test_in_another_pyg_model():
    from torch_geometric.nn import GCNConv, Sequential

    model = Sequential(
        "x, edge_index",
        [
            (GCNConv(3, CHANNELS), "x, edge_index -> x"),
            (SRGNNConv(CHANNELS, num_steps=2), "x, edge_index -> x"),
            (torch.nn.Linear(CHANNELS, 2), "x -> x"),
        ],
    )
    _, edge_index, _ = digraph()
    out = model(torch.randn(7, 3), edge_index)
    assert out.shape == (7, 2)
    out.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
