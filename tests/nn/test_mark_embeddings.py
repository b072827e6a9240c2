"""Types of clicks and pauses in SRGNN against plain loops in float64, and weights of targets."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch

from pyg_srgnn.data.graphs import session_graphs
from pyg_srgnn.functional.marks import ClickMarks
from pyg_srgnn.nn import SRGNN, GRU4Rec, SessionModel
from tests.nn.agreement import agrees
from tests.nn.test_ingredients import ITEMS, SESSIONS, TARGETS
from tests.nn.test_srgnn import CHANNELS
from tests.reference import ingredients as reference
from tests.reference.names import randomise

TYPES = 3
DRAW = random.Random(0)
EVENTS = [[DRAW.randrange(TYPES) for _ in session] for session in SESSIONS]
PAUSES = [[DRAW.choice([0, 1, 5, 80, 2_000_000]) for _ in session] for session in SESSIONS]
CASES: dict[str, dict[str, Any]] = {
    "events": {"events": True, "num_events": TYPES},
    "gaps": {"gaps": True},
    "both": {"events": True, "num_events": TYPES, "gaps": True},
    "with others": {
        "events": True,
        "num_events": TYPES,
        "gaps": True,
        "scale": 3.0,
        "residual": "highway",
        "positions": 4,
        "last_k": 2,
        "repeat": True,
    },
}


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Session graphs in float64, too."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def batch_of(**more: Any) -> Batch:
    flat = [
        torch.tensor([one for row in rows for one in row]) for rows in (SESSIONS, EVENTS, PAUSES)
    ]
    lengths = torch.tensor([len(session) for session in SESSIONS])
    marks = ClickMarks(flat[1], TYPES, flat[2])
    return session_graphs(flat[0], lengths, torch.tensor(TARGETS), marks=marks, **more)


def make(**options: Any) -> SRGNN:
    return randomise(SRGNN(ITEMS, CHANNELS, **options).double(), 0, 0.5).eval()


def expected_of(model: SRGNN, options: dict[str, Any]) -> torch.Tensor:
    given = {k: v for k, v in options.items() if k not in ("events", "gaps", "num_events")}
    rows = []
    for session, events, pauses in zip(SESSIONS, EVENTS, PAUSES, strict=True):
        marks: dict[str, Any] = {"pauses": pauses} if options.get("gaps") else {}
        if options.get("events"):
            marks |= {"events": events, "num_events": TYPES}
        rows.append(reference.log_probabilities(model, session, **given, **marks))
    return torch.stack(rows)


@pytest.mark.parametrize("case", CASES)
def test_scores_loss_and_gradients(case: str) -> None:
    model, options, batch = make(**CASES[case]), CASES[case], batch_of()
    expected = expected_of(model, options)
    agrees(model, batch, expected)


def test_attention_is_that_of_the_readout() -> None:
    model, batch = make(**CASES["both"]), batch_of()
    attention = model.attention(batch)
    assert attention is not None
    without = make(**CASES["both"])
    for embedding in without.marks.click.values():
        torch.nn.init.zeros_(embedding.weight)
    assert not torch.allclose(attention, without.attention(batch))
    # An embedding that is the same for all types is a bias of the clicks.
    torch.nn.init.ones_(without.marks.click["event"].weight)
    one = without.attention(batch)
    torch.nn.init.zeros_(without.marks.click["event"].weight)
    without.readout.lin_click.bias.data += 1
    torch.testing.assert_close(one, without.attention(batch))


def test_it_starts_as_the_model_without_marks() -> None:
    torch.manual_seed(0)
    plain = SRGNN(ITEMS, CHANNELS, scale=3.0)
    torch.manual_seed(0)
    model = SRGNN(ITEMS, CHANNELS, scale=3.0, events=True, num_events=TYPES, gaps=True)
    model.load_state_dict(model.state_dict() | plain.state_dict())
    batch = batch_of()
    torch.testing.assert_close(model.scores(batch), plain.scores(batch), rtol=0, atol=1e-14)


def test_without_types_the_model_is_bit_for_bit_what_it_was() -> None:
    torch.manual_seed(0)
    plain = SRGNN(ITEMS, CHANNELS, scale=3.0)
    drawn = torch.rand(1)
    for options in ({"events": True}, {"events": True, "num_events": 0}, {"num_events": TYPES}):
        torch.manual_seed(0)
        model = SRGNN(ITEMS, CHANNELS, scale=3.0, **options)
        assert torch.equal(drawn, torch.rand(1))
        assert model.state_dict().keys() == plain.state_dict().keys()
        assert all(torch.equal(a, b) for a, b in zip(*map(_tensors, (model, plain)), strict=True))
        assert torch.equal(model.scores(batch_of()), plain.scores(batch_of()))


def _tensors(model: SRGNN) -> list[torch.Tensor]:
    return [*model.state_dict().values()]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SRGNN, {}),
        (SRGNN, {"repeat": True, "events": True}),
        (SRGNN, {"loss": "sampled", "sampling": "uniform"}),
        (GRU4Rec, {}),
    ],
)
def test_the_loss_weighs_targets(kind: type[SessionModel], options: dict[str, Any]) -> None:
    model = kind(ITEMS, CHANNELS, num_events=TYPES, **options).eval()
    weights = torch.linspace(0, 2, len(SESSIONS))
    batch, number = batch_of(weights=weights), torch.arange(len(SESSIONS))

    def loss_of(batch: Batch) -> float:
        torch.manual_seed(0)  # the negatives
        return model.loss(batch).item()

    found = loss_of(batch)
    assert found != pytest.approx(loss_of(batch_of()))
    one_by_one = 0.0
    for at in number.tolist():  # the weight of this one alone
        alone = torch.zeros(len(SESSIONS))
        alone[at] = 1
        one_by_one += float(weights[at]) * loss_of(batch_of(weights=alone))
    assert found == pytest.approx(one_by_one)
    assert loss_of(batch_of(weights=torch.ones(len(SESSIONS)))) == loss_of(batch_of())


def test_what_cannot_be_weighed_or_is_missing() -> None:
    binary = SRGNN(ITEMS, CHANNELS, loss="binary")
    with pytest.raises(ValueError, match="loss='binary' cannot weigh targets by their types"):
        binary.loss(batch_of(weights=torch.ones(len(SESSIONS))))
    with pytest.raises(ValueError, match="'binary_edges' must be False with events"):
        SRGNN(ITEMS, CHANNELS, binary_edges=True, events=True, num_events=2)
    lengths = torch.tensor([2])
    plain = session_graphs(torch.tensor([0, 1]), lengths)
    typed = SRGNN(ITEMS, CHANNELS, events=True, num_events=TYPES)
    with pytest.raises(ValueError, match=r"made for types of clicks \(dataset\.event\).*'event'"):
        typed.scores(plain)
    with pytest.raises(ValueError, match=r"made for pauses \(dataset\.pauses\).*'gap'"):
        SRGNN(ITEMS, CHANNELS, gaps=True).scores(plain)
