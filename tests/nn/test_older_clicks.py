"""Earlier sessions of known users in SRGNN against plain loops in float64."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch

from pyg_srgnn.data import Sessions
from pyg_srgnn.data.graphs import graphs_of, session_graphs
from pyg_srgnn.functional.earlier import Earlier
from pyg_srgnn.functional.marks import ClickMarks
from pyg_srgnn.nn import SRGNN, GRU4Rec
from tests.nn.agreement import agrees
from tests.nn.test_ingredients import ITEMS, SESSIONS, TARGETS
from tests.nn.test_srgnn import CHANNELS
from tests.reference import ingredients as reference
from tests.reference.names import randomise

DRAW = random.Random(0)
BEFORE = [[DRAW.randrange(ITEMS) for _ in range(DRAW.randint(0, 6))] for _ in SESSIONS]
KNOWN: dict[str, Any] = {"earlier": True, "num_earlier": 20}
CASES: dict[str, dict[str, Any]] = {
    "alone": {},
    "with others": {
        **{"scale": 3.0, "residual": "highway", "positions": 4, "last_k": 2, "repeat": True},
        "frequency": True,
    },
    "add": {"residual": "add"},
}


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Session graphs in float64, too."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def batch_of(before: list[list[int]] | None = None) -> Batch:
    items = torch.tensor([item for session in SESSIONS for item in session])
    lengths = torch.tensor([len(session) for session in SESSIONS])
    marks = None if before is None else ClickMarks(earlier=Earlier.of(before))
    rows = torch.arange(len(SESSIONS))
    return session_graphs(items, lengths, torch.tensor(TARGETS), rows, marks)


def make(**options: Any) -> SRGNN:
    return randomise(SRGNN(ITEMS, CHANNELS, **options).double(), 0, 0.5).eval()


def test_no_gradient_is_undefined_on_the_way() -> None:
    assert [] in BEFORE, "the case needs a session without earlier clicks"
    model, batch = make(**KNOWN), batch_of(BEFORE)
    with torch.autograd.detect_anomaly(check_nan=True):
        model.loss(batch).backward()


@pytest.mark.parametrize("case", CASES)
def test_scores_loss_and_gradients(case: str) -> None:
    model, batch = make(**CASES[case], **KNOWN), batch_of(BEFORE)
    expected = torch.stack(
        [
            reference.log_probabilities(model, session, **CASES[case], earlier=before)
            for session, before in zip(SESSIONS, BEFORE, strict=True)
        ]
    )
    agrees(model, batch, expected)


def test_without_users_the_model_is_bit_for_bit_what_it_was() -> None:
    torch.manual_seed(0)
    plain = SRGNN(ITEMS, CHANNELS, scale=3.0, repeat=True)
    drawn = torch.rand(1)
    for options in ({"earlier": True}, {"earlier": True, "num_earlier": 0}, {"num_earlier": 20}):
        torch.manual_seed(0)
        model = SRGNN(ITEMS, CHANNELS, scale=3.0, repeat=True, **options)
        assert torch.equal(drawn, torch.rand(1))
        assert model.state_dict().keys() == plain.state_dict().keys()
        for batch in (batch_of(), batch_of(BEFORE)):  # nor does it look at what the data have
            assert torch.equal(model.scores(batch), plain.scores(batch_of()))
            assert torch.equal(model.loss(batch), plain.loss(batch_of()))


def test_who_is_not_known_is_scored_as_without_users() -> None:
    known = make(scale=3.0, **KNOWN)
    plain = SRGNN(ITEMS, CHANNELS, scale=3.0).double().eval()
    plain.load_state_dict({k: v for k, v in known.state_dict().items() if "older" not in k})
    nothing = [[] for _ in SESSIONS]
    for batch in (batch_of(), batch_of(nothing)):
        torch.testing.assert_close(known.scores(batch), plain.scores(batch), rtol=0, atol=1e-14)
    some = [before if number % 2 else [] for number, before in enumerate(BEFORE)]
    found, wanted = known.scores(batch_of(some)), known.scores(batch_of(BEFORE))
    torch.testing.assert_close(found[1::2], wanted[1::2])
    torch.testing.assert_close(found[::2], plain.scores(batch_of())[::2])
    assert not torch.allclose(wanted, plain.scores(batch_of()))


def test_factors_that_vanish_leave_the_model_without_a_history() -> None:
    known, plain = make(**KNOWN), make()
    plain.load_state_dict({k: v for k, v in known.state_dict().items() if "older" not in k})
    assert known.older is not None
    known.older.node.data.zero_()
    known.older.lin_out.weight.data.zero_()
    known.older.log_factor.data.fill_(-80.0)
    torch.testing.assert_close(known.scores(batch_of(BEFORE)), plain.scores(batch_of()))


def test_attention_has_a_weight_for_each_click_of_the_session_alone() -> None:
    attention = make(**KNOWN).attention(batch_of(BEFORE))
    assert attention is not None
    assert attention.numel() == sum(map(len, SESSIONS))


def test_neighbours_of_earlier_items_do_not_give_the_target_away() -> None:
    """What a sample's own session added to their neighbourhood is left out in training, too."""
    model = make(neighbours=3, neighbours_leave_out=True, **KNOWN)
    whole = [[*session, target] for session, target in zip(SESSIONS, TARGETS, strict=True)]
    model.set_training(Sessions.from_lists(whole))
    batch = batch_of(BEFORE)
    lengths = torch.tensor([len(session) for session in whole])
    batch.row = lengths.cumsum(0) - torch.arange(len(whole)) - 2  # the last of each session
    graph, batches = model.global_graph, torch.arange(len(whole))
    assert graph is not None
    session = batches.repeat_interleave(batch.earlier_nodes)
    weight = graph.weight_without(batch.earlier_x, session, batch.y, batches)
    assert weight is not None
    assert not torch.equal(weight, graph.weight[batch.earlier_x])
    found = model._older(batch, graphs_of(batch), counted=True).embedded
    torch.testing.assert_close(found, model._clicked(batch.earlier_x, weight))
    served = model._older(batch, graphs_of(batch), counted=False).embedded
    torch.testing.assert_close(served, model.clicked(batch.earlier_x))


def test_what_does_not_go_together() -> None:
    with pytest.raises(ValueError, match="'binary_edges' must be False with earlier"):
        SRGNN(ITEMS, CHANNELS, binary_edges=True, **KNOWN)
    SRGNN(ITEMS, CHANNELS, binary_edges=True, earlier=True)
    model, batch = GRU4Rec(ITEMS, CHANNELS, num_earlier=20).eval(), batch_of(BEFORE)
    assert torch.equal(model.scores(batch), model.scores(batch_of()))
