"""Checkpoints of the authors' PyTorch code, written from a dense model in their form."""

from itertools import pairwise

import pytest
import torch

from pyg_srgnn.data.graphs import session_graphs
from pyg_srgnn.nn import SRGNN
from tests.reference.dense_srgnn import authors_scores, authors_state
from tests.reference.graphs import session_graph
from tests.reference.names import random_sessions

ITEMS, CHANNELS = 11, 6


def sessions_of_ids(count=20, seed=2):
    """Sessions of the authors' ids 1..V."""
    return [[i + 1 for i in s] for s in random_sessions(count, ITEMS, seed, longest=15)]


def without_repeated_edges():
    """Where counting edges once, as the authors' code does, is the same as counting them."""
    sessions = [s for s in sessions_of_ids(80) if max([1, *session_graph(s).counts.values()]) == 1]
    assert any(len(set(s)) < len(s) for s in sessions), "repeated items"
    assert any(a == b for s in sessions for a, b in pairwise(s)), "self-loops"
    assert any(len(s) == 1 for s in sessions)
    return sessions


def batch_of(sessions):
    """The package numbers items from 0 and knows no padding."""
    items = torch.tensor([i - 1 for s in sessions for i in s])
    return session_graphs(items, torch.tensor([len(s) for s in sessions]))


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a.detach().double(), b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_same_scores(seed):
    state = authors_state(ITEMS, CHANNELS, seed)
    sessions = without_repeated_edges()
    model = SRGNN.from_authors(state)
    scores = model.scores(batch_of(sessions))
    assert scores.shape == (len(sessions), ITEMS)
    close(scores, authors_scores(state, sessions))


def test_same_scores_to_more_digits_in_double_precision():
    state = authors_state(ITEMS, CHANNELS)
    sessions = [[1, 2, 3, 2, 4], [5], [7, 7], [1, 2, 1, 3, 1]]  # weights 1 and 1/2: exact floats
    model = SRGNN.from_authors({k: v.double() for k, v in state.items()}).double()
    close(model.scores(batch_of(sessions)), authors_scores(state, sessions), 1e-12)


def test_same_scores_when_repeated_edges_are_counted():
    state = authors_state(ITEMS, CHANNELS)
    sessions = sessions_of_ids()
    model = SRGNN.from_authors(state)
    model.binary_edges = False
    close(model.scores(batch_of(sessions)), authors_scores(state, sessions, binary=False))


def test_same_scores_with_the_authors_weights():
    """The authors count a repeated edge once: [1,2,1,2,1,3] has 1 -> 2 twice, 1 -> 3 once."""
    state = authors_state(ITEMS, CHANNELS)
    sessions = [[1, 2, 1, 2, 1, 3], *sessions_of_ids()]
    batch = batch_of(sessions)
    model = SRGNN.from_authors(state)
    once = model.scores(batch)
    close(once, authors_scores(state, sessions))
    model.binary_edges = False
    assert not torch.allclose(once[0], model.scores(batch)[0]), "the two rules differ"


def test_best_items_are_the_authors_best_items():
    """Index i of the package is the authors' id i + 1."""
    state = authors_state(ITEMS, CHANNELS)
    sessions = without_repeated_edges()
    _, items = SRGNN.from_authors(state).topk(batch_of(sessions), 3)
    assert torch.equal(items, authors_scores(state, sessions).topk(3).indices)


def test_the_padding_row_and_the_unused_layer_do_not_matter():
    state = authors_state(ITEMS, CHANNELS)
    other = dict(state)
    other["embedding.weight"] = state["embedding.weight"].clone()
    other["embedding.weight"][0] = 1e6
    for part in ("weight", "bias"):
        other[f"gnn.linear_edge_f.{part}"] = state[f"gnn.linear_edge_f.{part}"] + 1
    sessions = sessions_of_ids()
    a, b = (SRGNN.from_authors(s).scores(batch_of(sessions)) for s in (state, other))
    assert torch.equal(a, b)


def test_settings_are_the_authors():
    model = SRGNN.from_authors(authors_state(ITEMS, CHANNELS))
    assert model.embedding.weight.shape == (ITEMS, CHANNELS)
    assert model.conv.reset_after
    assert model.conv.num_steps == 1
    assert model.readout.mode == "hybrid"


def test_the_state_dict_is_left_alone_and_not_shared():
    state = authors_state(ITEMS, CHANNELS)
    before = {k: v.clone() for k, v in state.items()}
    model = SRGNN.from_authors(state)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert state.keys() == before.keys()
    assert all(torch.equal(state[k], before[k]) for k in state)


@pytest.mark.parametrize("key", sorted(set(authors_state(1, 1))))
def test_a_missing_key_is_named(key):
    state = authors_state(ITEMS, CHANNELS)
    del state[key]
    if key.startswith("gnn.linear_edge_f"):
        SRGNN.from_authors(state)  # never used, so not missed
        return
    with pytest.raises((KeyError, ValueError), match=key):
        SRGNN.from_authors(state)


def test_an_extra_key_is_named():
    state = authors_state(ITEMS, CHANNELS) | {"pos_embedding.weight": torch.zeros(3, CHANNELS)}
    with pytest.raises((KeyError, ValueError), match=r"pos_embedding\.weight"):
        SRGNN.from_authors(state)


def test_a_tensor_of_another_shape_is_refused():
    state = authors_state(ITEMS, CHANNELS)
    state["gnn.b_ih"] = torch.zeros(CHANNELS)
    with pytest.raises((ValueError, RuntimeError)):
        SRGNN.from_authors(state)
    state = authors_state(ITEMS, CHANNELS)
    state["linear_two.weight"] = torch.zeros(CHANNELS, CHANNELS + 1)
    with pytest.raises((ValueError, RuntimeError)):
        SRGNN.from_authors(state)
