from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmarks.launches import Launches
from pyg_srgnn.data import Sessions
from pyg_srgnn.data.fixed import FixedBatches, fixed_graphs
from pyg_srgnn.data.graphs import session_graphs
from pyg_srgnn.nn import SRGNN, contrast, r_drop
from tests.reference.names import random_sessions

ITEMS = 30
SESSIONS = Sessions.from_lists([*random_sessions(20, ITEMS), [3] * 15, [1, 2, 1, 2, 1, 2, 5]])
MIXTURE = {"repeat": True, "neighbours": 4, "transitions": 5, "residual": "highway"}


def usual(numbers: list[int]):
    """The same batch as a loader builds it."""
    number = torch.tensor(numbers)
    session, cut = SESSIONS.samples(number)
    prefixes = [SESSIONS[int(s)][: int(c)] for s, c in zip(session, cut, strict=True)]
    targets = SESSIONS.items[SESSIONS.offsets[session] + cut]
    return session_graphs(torch.cat(prefixes), cut, targets, number)


def gradients(model: SRGNN) -> list[torch.Tensor]:
    return [p.grad.clone().to_dense() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    "options",
    [
        {},
        MIXTURE | {"scale": 12.0, "positions": 4},
        MIXTURE | {"similar": 5, "last_k": 2, "frequency": True, "counts_half_life": 0.5},
        MIXTURE | {"repeat": "counts", "leave_out": "session", "neighbours_leave_out": True},
        {"readout": "average", "popularity": [0.5], "item_bias": True, "num_steps": 2},
        MIXTURE | {"text_channels": 7, "text_neighbours": 6, "text_expert": True},
        MIXTURE | {"sequence": "alone", "softmaxes": 2, "readout_levels": 3},
    ],
    ids=["plain", "default", "similar", "counts", "average", "texts", "encoders"],
)
@pytest.mark.parametrize("size", [12, 9, 1])
def test_loss_and_gradients_are_those_of_the_usual_batch(
    options: dict[str, object], size: int
) -> None:
    torch.manual_seed(0)
    model = SRGNN(ITEMS, 6, **options).double().train()
    if model.text is not None:
        model.set_text(torch.randn(ITEMS, 7, dtype=torch.float64))
    model.set_training(SESSIONS)
    numbers = torch.randperm(SESSIONS.num_samples)[:size].tolist()
    found = []
    for batch in (usual(numbers), FixedBatches(SESSIONS, ITEMS, 12)(numbers)):
        model.zero_grad()
        torch.manual_seed(1)  # which items count as cold
        loss = model.loss(batch)
        loss.backward()
        found.append((loss.detach(), gradients(model)))
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("term", [r_drop, contrast])
@pytest.mark.parametrize("size", [12, 7])
def test_what_weighs_nothing_has_no_part_in_other_terms(
    term: Callable[[SRGNN, object], torch.Tensor], size: int
) -> None:
    torch.manual_seed(0)
    model = SRGNN(ITEMS, 6, repeat=True, output_dropout=0.5).double().train()
    model.set_training(SESSIONS)
    numbers = list(range(SESSIONS.num_samples))[-size:]
    found = []
    for batch in (usual(numbers), FixedBatches(SESSIONS, ITEMS, 12)(numbers)):
        torch.manual_seed(1)  # what is dropped of the items' vectors
        found.append(term(model, batch).item())
    assert found[0] > 0 and found[1] == pytest.approx(found[0], rel=1e-6)


def test_sizes_are_few() -> None:
    batches = FixedBatches(SESSIONS, ITEMS, 8)
    sizes, whole = set(), set()
    for numbers in torch.randperm(SESSIONS.num_samples).split(8):
        batch = batches(numbers.tolist())
        assert batch.x.shape == batch.alias_index.shape == batch.batch.shape
        assert batch.global_size == len(numbers) and batch.num_graphs == 9
        sizes.add(batch.x.numel())
        whole.add(batch.session_clicks)
        lengths = SESSIONS.offsets.diff()[SESSIONS.samples(batch.row)[0]]
        assert lengths.sum() <= batch.session_clicks <= 2 * lengths.sum()
    assert all(size % 8 == 0 for size in sizes)
    assert all(size.bit_count() == 1 for size in whole)


def test_graphs_are_built_without_waiting() -> None:
    start, cut = SESSIONS.offsets[:3], torch.tensor([2, 1, 2])
    with Launches() as counted:
        fixed_graphs(SESSIONS.items, start, cut, 8, ITEMS)
    assert not counted.waits and counted.total <= 40, counted.calls
