"""SRGNN against the dense reference: scores, both losses, and the gradient of every parameter."""

import copy
import pickle

import pytest
import torch

from pyg_srgnn.data.graphs import session_graph, session_graphs
from pyg_srgnn.nn import SRGNN, session_model
from tests.reference import dense_srgnn as reference
from tests.reference.graphs import session_graph as naive_graph
from tests.reference.names import model_names, random_sessions, randomise

ITEMS, CHANNELS = 9, 4
SESSIONS = random_sessions(14, ITEMS)
TARGETS = [(5 * i + 2) % ITEMS for i in range(len(SESSIONS))]
READOUTS = ["hybrid", "local", "average", "attention"]
LOSSES = {"cross_entropy": reference.cross_entropy, "binary": reference.binary_cross_entropy}


def make(seed=0, scale=0.4, **options):
    """A float64 model whose every parameter is drawn at random."""
    model = SRGNN(ITEMS, CHANNELS, **options).double()
    return randomise(model, seed, scale)


def batch_of(sessions, targets=None):
    items = torch.tensor([i for s in sessions for i in s])
    lengths = torch.tensor([len(s) for s in sessions])
    return session_graphs(items, lengths, None if targets is None else torch.tensor(targets))


def exact_weights(batch, sessions):
    """Replace the stored float32 weights of the edges by float64 ones."""
    graphs = [naive_graph(s) for s in sessions]
    out = [g.out_weight(*e) for g in graphs for e in sorted(g.counts)]
    into = [g.in_weight(*e) for g in graphs for e in sorted(g.counts)]
    batch.edge_weight = torch.tensor(out, dtype=torch.float64)
    batch.edge_weight_in = torch.tensor(into, dtype=torch.float64)
    return batch


def close(a, b, tolerance):
    torch.testing.assert_close(a.detach(), b.detach(), rtol=0, atol=tolerance)


def compare(model, batch, loss, single, readout):
    """Scores, loss and all gradients of `model` against the dense reference, to 1e-9."""
    p = {k: v.requires_grad_() for k, v in model_names(model).items()}
    dense = reference.scores(
        p,
        SESSIONS,
        num_steps=model.conv.num_steps,
        reset_after=model.conv.reset_after,
        mode=readout,
        single=single,
    )
    expected = LOSSES[loss](dense, TARGETS)
    expected.backward()

    close(model.scores(batch), dense, 1e-9)
    value = model.loss(batch)
    close(value, expected, 1e-9)
    value.backward()
    gradients = model_names(model, lambda parameter: parameter.grad)
    assert gradients.keys() == p.keys()
    assert sum(g.numel() for g in gradients.values()) == sum(w.numel() for w in model.parameters())
    for name, parameter in p.items():
        assert parameter.grad.abs().max() > 1e-8, f"{name} is not tested"
        close(gradients[name], parameter.grad, 1e-9)


def test_sessions_are_hard_enough():
    graphs = [naive_graph(s) for s in SESSIONS]
    assert {len(s) for s in SESSIONS} >= {1, 2, 40}
    assert any(u == v for g in graphs for u, v in g.counts), "self-loops"
    assert any(c > 1 for g in graphs for c in g.counts.values()), "repeated edges"
    assert any(g.alias[-1] != len(g.nodes) - 1 for g in graphs), "last click is an old node"


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("reset_after", [False, True])
def test_scores_loss_and_gradients(reset_after, readout, num_steps, loss):
    model = make(reset_after=reset_after, readout=readout, num_steps=num_steps, loss=loss)
    compare(model, batch_of(SESSIONS, TARGETS), loss, single=True, readout=readout)


@pytest.mark.parametrize("reset_after", [False, True])
def test_readout_bias(reset_after):
    model = make(reset_after=reset_after, readout_bias=True)
    assert "b_3" in model_names(model)
    compare(model, batch_of(SESSIONS, TARGETS), "cross_entropy", single=True, readout="hybrid")


def test_weights_in_double_precision():
    model = make(num_steps=2)
    batch = exact_weights(batch_of(SESSIONS, TARGETS), SESSIONS)
    compare(model, batch, "cross_entropy", single=False, readout="hybrid")


def test_one_session_as_plain_data():
    model = make()
    p = model_names(model)
    for session, target in zip(SESSIONS, TARGETS, strict=True):
        data = session_graph(torch.tensor(session), target)
        expected = reference.scores(p, [session], single=True)
        assert model(data).shape == (1, CHANNELS)
        close(model.scores(data), expected, 1e-9)
        close(model.loss(data), reference.cross_entropy(expected, [target]), 1e-9)


def test_scores_are_products_with_the_initial_embeddings():
    model = make()
    batch = batch_of(SESSIONS)
    close(model.scores(batch), model(batch) @ model.embedding.weight.T, 1e-12)
    assert model.scores(batch).shape == (len(SESSIONS), ITEMS)


def test_single_precision_is_close():
    model = make(num_steps=2)
    exact = model.scores(batch_of(SESSIONS))
    single = copy.deepcopy(model).float().scores(batch_of(SESSIONS))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-4)


def test_topk():
    model = make()
    batch = batch_of(SESSIONS)
    values, items = model.topk(batch, 4)
    for row, best, names in zip(model.scores(batch).tolist(), values, items, strict=True):
        order = sorted(range(ITEMS), key=lambda i: -row[i])[:4]
        assert names.tolist() == order
        assert best.tolist() == [row[i] for i in order]
    values, items = model.topk(session_graph(torch.tensor([1, 2])), 2)
    assert values.shape == items.shape == (1, 2)


def test_topk_of_more_than_all_items_is_all_items():
    _, items = make().topk(batch_of(SESSIONS), ITEMS + 5)
    assert all(sorted(row) == list(range(ITEMS)) for row in items.tolist())


@pytest.mark.parametrize("k", [0, -3])
def test_topk_of_nothing_is_refused(k):
    with pytest.raises(ValueError, match=str(k)):
        make().topk(batch_of(SESSIONS), k)


def test_a_step_of_training_learns():
    torch.manual_seed(0)
    model = SRGNN(ITEMS, 8)
    batch = batch_of(SESSIONS, TARGETS)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    first = model.loss(batch).item()
    for _ in range(20):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
    assert model.loss(batch).item() < first - 0.1


@pytest.mark.parametrize(
    ("init", "bound", "deviation"),
    [("authors", 0.1, 0.1 / 3**0.5), ("simplified", 0.1, 0.1 / 3**0.5), ("paper", None, 0.1)],
)
def test_initialisations(init, bound, deviation):
    """d = 100, where the authors' 1/sqrt(d) is 0.1 as well; every parameter, biases too."""
    torch.manual_seed(0)
    model = SRGNN(300, 100, reset_after=True, readout_bias=True, init=init)
    for name, parameter in model.named_parameters():
        assert parameter.abs().max() > 0, name
        if bound is not None:
            assert parameter.abs().max() <= bound, name
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert weights.std().item() == pytest.approx(deviation, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("init", "bound"), [("authors", 0.5), ("simplified", 0.1)])
def test_authors_initialisation_follows_the_size(init, bound):
    model = SRGNN(500, 4, init=init)
    assert bound * 0.95 < max(p.abs().max().item() for p in model.parameters()) <= bound


def test_default_recipe():
    model = SRGNN(ITEMS)
    assert model.embedding.weight.shape == (ITEMS, 100)
    assert model.conv.num_steps == 1
    assert not model.conv.reset_after
    assert model.readout.lin_out.bias is None


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"loss": "hinge"}, r"loss.*cross_entropy.*hinge"),
        ({"init": "zeros"}, r"init.*authors.*zeros"),
        ({"readout": "max"}, r"SRGNN: 'readout'.*hybrid.*max"),
        ({"num_steps": 0}, r"num_steps.*0"),
        ({"channels": 0}, r"channels.*0"),
    ],
)
def test_wrong_options_are_named(options, names):
    with pytest.raises(ValueError, match=names):
        SRGNN(ITEMS, **options)


def test_a_catalogue_needs_items():
    with pytest.raises(ValueError, match="num_items"):
        SRGNN(0)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("products", ["full", "bfloat16", "auto"])
def test_products_of_the_loss(products, fast, monkeypatch):
    """Only the loss knows of them, and "auto" is one of the other two."""
    monkeypatch.setattr(session_model, "bfloat16_is_fast", lambda device: fast)
    torch.manual_seed(0)
    full = SRGNN(ITEMS, 16)
    model = SRGNN(ITEMS, 16, products=products)
    model.load_state_dict(full.state_dict())
    batch = session_graphs(torch.tensor([0, 1, 2, 1]), torch.tensor([3, 1]), torch.tensor([3, 4]))
    torch.testing.assert_close(model.scores(batch), full.scores(batch), rtol=0, atol=0)
    rounded = products == "bfloat16" or (products == "auto" and fast)
    assert (model.loss(batch).item() != full.loss(batch).item()) == rounded
    assert model.loss(batch).item() == pytest.approx(full.loss(batch).item(), rel=1e-2)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(clone):
    model = make()
    batch = batch_of(SESSIONS)
    assert torch.equal(clone(model).scores(batch), model.scores(batch))


def test_the_session_vector_can_be_exported():
    """Inference as a fixed program: conv and readout on tensors alone."""

    class Vector(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x, edge_index, edge_weight, edge_weight_in, alias_index):
            h = self.model.embedding(x)
            h = self.model.conv(h, edge_index, edge_weight, edge_weight_in)
            return self.model.readout(h, alias_index, torch.zeros_like(x), 1)

    model = make()
    data = [session_graph(torch.tensor(s)) for s in ([0, 1, 2, 1], [5, 1, 5, 5, 2, 8])]
    keys = ("x", "edge_index", "edge_weight", "edge_weight_in", "alias_index")
    n, e, t = (torch.export.Dim(name, min=2) for name in ("nodes", "edges", "clicks"))
    shapes = ({0: n}, {1: e}, {0: e}, {0: e}, {0: t})
    inputs = [tuple(d[k] for k in keys) for d in data]
    program = torch.export.export(Vector(model), inputs[0], dynamic_shapes=shapes)
    for d, example in zip(data, inputs, strict=True):
        close(program.module()(*example), model(d), 1e-12)
