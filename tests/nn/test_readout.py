"""SessionReadout against a loop over clicks."""

import copy
import pickle

import pytest
import torch

from pyg_srgnn.nn import SessionReadout
from tests.reference import dense_srgnn as reference
from tests.reference.graphs import session_graph
from tests.reference.names import leaf, random_sessions, randomise, readout_names

CHANNELS = 5
MODES = ["hybrid", "local", "average", "attention"]
OWN = {"hybrid": {"W_1", "W_2", "c", "q", "W_3"}, "attention": {"W_1", "W_2", "c", "q"}}


def make(mode="hybrid", bias=False, seed=0):
    return randomise(SessionReadout(CHANNELS, mode, bias).double(), seed)


def nodes_of(sessions, seed=0):
    """Random node features and the index vectors that a batch of session graphs has."""
    aliases, batch, start = [], [], 0
    for i, session in enumerate(sessions):
        graph = session_graph(session)
        aliases += [start + node for node in graph.alias]
        batch += [i] * len(graph.nodes)
        start += len(graph.nodes)
    h = torch.randn(start, CHANNELS, generator=torch.Generator().manual_seed(seed)).double()
    return h, torch.tensor(aliases), torch.tensor(batch)


def by_loop(p, h, alias, sessions, mode):
    rows, t = [], 0
    for session in sessions:
        clicks = torch.stack([h[alias[t + i]] for i in range(len(session))])
        rows.append(reference.readout(p, clicks, mode))
        t += len(session)
    return torch.stack(rows)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_values_and_every_gradient(mode, bias):
    sessions = random_sessions(12, num_items=6)
    module = make(mode, bias)
    h, alias, batch = nodes_of(sessions)
    h.requires_grad_()
    out = module(h, alias, batch)
    out.square().sum().backward()

    p = {k: v.requires_grad_() for k, v in readout_names(module).items()}
    extra = {"b_3"} if bias and mode == "hybrid" else set()
    assert set(p) == OWN.get(mode, set()) | extra
    dense_h = leaf(h).requires_grad_()
    expected = by_loop(p, dense_h, alias, sessions, mode)
    expected.square().sum().backward()

    assert out.shape == (len(sessions), CHANNELS)
    torch.testing.assert_close(out.detach(), expected.detach(), rtol=0, atol=1e-10)
    torch.testing.assert_close(h.grad, dense_h.grad, rtol=1e-11, atol=1e-9)
    gradients = readout_names(module, lambda parameter: parameter.grad)
    for name, parameter in p.items():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_gradcheck(mode):
    module = make(mode)
    h, alias, batch = nodes_of([[1, 2, 1], [3], [0, 1, 1]])
    assert torch.autograd.gradcheck(lambda h: module(h, alias, batch), h.requires_grad_())


def test_local_is_the_last_click():
    h, alias, batch = nodes_of([[1, 2, 1], [3, 4]])
    assert torch.equal(make("local")(h, alias, batch), h[[0, 3]])


def test_average_counts_every_click():
    h, alias, batch = nodes_of([[1, 2, 1]])
    expected = (2 * h[0] + h[1]) / 3
    torch.testing.assert_close(make("average")(h, alias, batch)[0], expected)


def test_attention_is_not_normalised():
    """Twice the clicks, twice the sum: a softmax over the clicks would hide how many there are."""
    module = make("attention")
    h, alias, batch = nodes_of([[1], [1, 1]])
    h[1] = h[0]
    one, two = module(h, alias, batch)
    torch.testing.assert_close(two, 2 * one)


def test_order_of_the_hybrid_is_last_then_global():
    module = make("hybrid")
    with torch.no_grad():
        module.lin_out.weight.zero_()
        module.lin_out.weight[:, :CHANNELS] = torch.eye(CHANNELS)
    h, alias, batch = nodes_of([[1, 2, 3]])
    torch.testing.assert_close(module(h, alias, batch)[0], h[2])


@pytest.mark.parametrize("mode", MODES)
def test_number_of_sessions_may_be_given(mode):
    sessions = random_sessions(4, num_items=5)
    module = make(mode)
    h, alias, batch = nodes_of(sessions)
    assert torch.equal(module(h, alias, batch, 4), module(h, alias, batch))
    assert torch.equal(module(h, alias, batch, batch_size=4), module(h, alias, batch))


@pytest.mark.parametrize("mode", MODES)
def test_one_session_of_one_click(mode):
    module = make(mode)
    h, alias, batch = nodes_of([[2]])
    out = module(h, alias, batch)
    assert out.shape == (1, CHANNELS)
    expected = by_loop(readout_names(module), h, alias, [[2]], mode)
    torch.testing.assert_close(out.detach(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("mode", MODES)
def test_lower_precision(mode, dtype):
    module = make(mode)
    h, alias, batch = nodes_of([[1, 2, 1], [3], [0, 1, 1]])
    exact = module(h, alias, batch)
    out = module.to(dtype)(h.to(dtype), alias, batch)
    assert out.dtype == dtype
    tolerance = 50 * torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), exact, rtol=tolerance, atol=tolerance)


def test_unknown_mode():
    with pytest.raises(ValueError, match=r"SessionReadout.*hybrid.*'softmax'"):
        SessionReadout(4, "softmax")


@pytest.mark.parametrize("mode", MODES)
def test_repr(mode):
    text = repr(SessionReadout(7, mode))
    assert text.startswith("SessionReadout(7")
    assert mode in text


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(clone):
    module = make()
    nodes = nodes_of(random_sessions(4, num_items=5))
    assert torch.equal(clone(module)(*nodes), module(*nodes))


def test_reset_parameters_draws_anew():
    module = SessionReadout(16, bias=True)
    before = [p.detach().clone() for p in module.parameters()]
    module.reset_parameters()
    for old, new in zip(before, module.parameters(), strict=True):
        assert not torch.equal(old, new)
        assert new.abs().max() <= 0.25


@pytest.mark.parametrize("positions", [0, 3])
def test_attention_weighs_the_clicks(positions):
    """Their weighted sum is what the mode of attention alone reads out."""
    torch.manual_seed(0)
    readout = SessionReadout(4, "attention", positions=positions).double()
    h, alias = torch.randn(5, 4).double(), torch.tensor([0, 1, 0, 2, 3, 4, 3])
    batch = torch.tensor([0, 0, 0, 1, 1])
    alpha = readout.attention(h, alias, batch)
    sums = torch.stack(
        [sum(alpha[t] * h[alias[t]] for t in clicks) for clicks in (range(4), range(4, 7))]
    )
    torch.testing.assert_close(readout(h, alias, batch), sums)
    with pytest.raises(ValueError, match="mode=average\\) has no attention"):
        SessionReadout(4, "average").attention(h, alias, batch)
