"""R-Drop, contrast, dropout of the items' vectors, and augmented samples, against plain loops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pyg_srgnn.data import Sessions
from pyg_srgnn.data.graphs import graphs_of, session_graphs
from pyg_srgnn.functional.lookups import LOOKUPS
from pyg_srgnn.nn import SRGNN, GRU4Rec, SessionModel, contrast, r_drop
from tests.nn.test_ingredients import CHANNELS, ITEMS, SESSIONS, TARGETS, make
from tests.nn.test_srgnn import batch_of
from tests.reference import ingredients
from tests.reference import regularisation as reference
from tests.reference.names import randomise


def gradients(model: SessionModel, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {n: p.grad.to_dense().clone() for n, p in model.named_parameters() if p.grad is not None}


def same(model: SessionModel, found: Tensor, wanted: Tensor) -> None:
    assert found.item() == pytest.approx(wanted.item(), abs=1e-9)
    assert found.item() > 1e-3
    one, other = gradients(model, found), gradients(model, wanted)
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"repeat": True, "scale": 3.0, "softmaxes": 2}])
def test_divergence_of_two_passes(options: dict[str, Any]) -> None:
    model = make(dropout=0.4, **options).train()
    batch = batch_of(SESSIONS, TARGETS)
    torch.manual_seed(1)
    passes = [model.log_distribution(batch, counted=True) for _ in range(2)]
    wanted = [reference.divergence(*rows) for rows in zip(*passes, strict=True)]
    torch.manual_seed(1)
    same(model, r_drop(model, batch), sum(wanted) / len(wanted))
    with torch.no_grad():
        assert r_drop(model.eval(), batch).item() == pytest.approx(0, abs=1e-12)


def test_divergence_where_an_item_is_left_out() -> None:
    model = make(repeat=True, dropout=0.4).train()
    batch = batch_of([list(range(ITEMS)), [0, 1]], [3, 5])
    loss = r_drop(model, batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("kind", ["srgnn", "gru4rec"])
def test_contrast_of_sessions_with_the_same_target(kind: str) -> None:
    model: SessionModel = make(popularity=[0.3]).train()
    if kind == "gru4rec":
        model = randomise(GRU4Rec(ITEMS, CHANNELS).double(), 0, 0.5)
    batch = batch_of(SESSIONS, TARGETS)
    assert len(set(TARGETS)) < len(TARGETS)
    wanted = reference.contrast(list(model.encode(batch)), TARGETS)
    same(model, contrast(model, batch), wanted)


def test_contrast_of_a_session_alone() -> None:
    model = make().train()
    for sessions, targets in (([[0, 1]], [2]), ([[0], [1, 2]], [3, 4])):
        batch = batch_of(sessions, targets)
        loss = contrast(model, batch)
        assert loss.item() == 0
        assert all(not each.any() for each in gradients(model, contrast(model, batch)).values())


@pytest.mark.parametrize("scale", [None, 3.0])
def test_dropout_of_the_items_vectors(scale: float | None) -> None:
    model = make(output_dropout=0.5, scale=scale)
    batch = batch_of(SESSIONS, TARGETS)
    with torch.no_grad():
        table = model.embedding.weight
        assert torch.equal(model.scores(batch), make(scale=scale).scores(batch))
        s_h = model.train()(batch)
        assert torch.equal(s_h, model(batch)), "clicked items are whole"
        torch.manual_seed(2)
        mask = torch.nn.functional.dropout(torch.ones_like(table), 0.5)
        rows = [row * kept for row, kept in zip(table, mask, strict=True)]
        if scale:
            rows = [ingredients.unit(row) if bool(row.any()) else row for row in rows]
        scores = torch.stack([torch.stack([torch.dot(s, v) for v in rows]) for s in s_h])
        logs = scores - torch.log(torch.exp(scores).sum(dim=1, keepdim=True))
        wanted = -sum(float(row[y]) for row, y in zip(logs, TARGETS, strict=True)) / len(TARGETS)
        torch.manual_seed(2)
        assert model.loss(batch).item() == pytest.approx(wanted, abs=1e-9)
        with model.output.whole():
            assert torch.equal(model.item_vectors(), model.eval().item_vectors())


@pytest.mark.parametrize("component", ["transitions", "similar"])
@pytest.mark.parametrize(("steps", "own"), [(6, 1 / 6), (10, 1 / 10), (11, 0), (None, 1)])
def test_samples_without_some_clicks_leave_their_own_counts_out(
    component: str, steps: int | None, own: float
) -> None:
    """What a click added to the count of the target depends on the steps there were in full."""
    model = SRGNN(ITEMS, CHANNELS, **{component: ITEMS})
    model.set_training(Sessions.from_lists([[0, 5], [0, 1, 4, 2, 3, 7, 5]]))
    counts = {5: 1 + 1 / 6, 1: 1, 4: 1 / 2, 2: 1 / 3, 3: 1 / 4, 7: 1 / 5}
    counts[5] -= own
    batch = session_graphs(
        *(torch.tensor([0]), torch.tensor([1]), torch.tensor([5])),
        steps=None if steps is None else torch.tensor([steps]),
    )
    source = getattr(model, component).source()
    tables = {name: table.detach() for name, table in source.tables.items()}
    if "power" in tables:
        tables["power"] = torch.ones(1)
    found = LOOKUPS[source.lookup].find(
        batch.x, graphs_of(batch), None, model._hidden(batch), **tables
    )
    share = found.share.flatten()[found.pairs()[1] == 5].sum().item()
    assert share == pytest.approx(counts[5] / sum(counts.values()), rel=1e-5)
