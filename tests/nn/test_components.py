"""Components made here are trained, evaluated, exported and served like those of the package."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_srgnn import Recommender
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data import SessionLoader, Sessions, Vocabulary
from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.evaluation.loop import assert_row_independent, evaluate
from pyg_srgnn.export.write import export
from pyg_srgnn.functional.graphs import SessionGraphs, summed
from pyg_srgnn.functional.lookups import LOOKUPS, Candidates, Hidden, Lookup, Pairs
from pyg_srgnn.nn import SRGNN
from pyg_srgnn.nn.component import Component
from tests.nn.test_srgnn import batch_of, exact_weights
from tests.reference.names import random_sessions, randomise
from tests.serving.running import in_thread

ITEMS, CHANNELS, BEST = 12, 4, 3
SESSIONS = [each for each in random_sessions(16, ITEMS) if len(set(each)) < ITEMS - BEST]
TARGETS = [each[0] if n % 2 else (5 * n + 2) % ITEMS for n, each in enumerate(SESSIONS)]
TRAINING = random_sessions(40, ITEMS, seed=2)
CLICKS = torch.bincount(torch.tensor([i for each in TRAINING for i in each]), minlength=ITEMS)


def popular_of(
    x: Tensor, graphs: SessionGraphs, taken: Pairs | None, hidden: Hidden | None, clicks: Tensor
) -> Candidates:
    """The items clicked most, by their clicks."""
    best = clicks.topk(BEST).indices
    item = best.repeat(graphs.num_graphs)
    session = torch.arange(graphs.num_graphs).repeat_interleave(BEST)
    share = clicks[item]
    if taken is not None:
        pairs = taken[0] * len(clicks) + taken[1]
        share = share.masked_fill(torch.isin(session * len(clicks) + item, pairs), 0)
    total = summed(share, session, graphs.num_graphs)
    share = share / total.clamp(min=1e-12)[session]
    return Candidates(session, item, share, (total / clicks.sum()).to(share.dtype), total > 0)


class Popular(Component):
    """The items clicked most, counted."""

    lookup = "popular"

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(CHANNELS + 1, 1)
        self.register_buffer("clicks", torch.zeros(ITEMS))

    def set_training(self, sessions: Sessions) -> None:
        self.clicks.copy_(torch.bincount(sessions.items, minlength=ITEMS))

    def tables(self) -> dict[str, Tensor]:
        return {"clicks": self.clicks}

    def forward(
        self, h: Tensor, s_h: Tensor, graphs: SessionGraphs, known: Tensor | None
    ) -> tuple[Tensor, None]:
        return self.gate(torch.cat([s_h, known.unsqueeze(1)], dim=1)).squeeze(1), None


class Again(Component):
    """The session's own items, which nothing else recommends, learned."""

    lookup = "own_items"
    exclusive = True

    def __init__(self) -> None:
        super().__init__()
        self.node = nn.Linear(CHANNELS, 1, bias=False)
        self.gate = nn.Linear(CHANNELS, 1)

    def forward(
        self, h: Tensor, s_h: Tensor, graphs: SessionGraphs, known: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        weight = self.node(h).squeeze(1).exp()
        total = summed(weight, graphs.batch, graphs.num_graphs)
        return self.gate(s_h).squeeze(1), (weight / total[graphs.batch]).log()


PARTS = {"popular": ["popular"], "again": ["again"], "both": ["again", "popular"]}


@pytest.fixture(autouse=True)
def lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOOKUPS, "popular", Lookup(popular_of, {"clicks": ("V",)}))


def make(parts: list[str], **options: object) -> SRGNN:
    model = SRGNN(ITEMS, CHANNELS, scale=3.0, **options)
    for part in parts:
        setattr(model, part, {"popular": Popular, "again": Again}[part]())
    randomise(model, 0, 0.5)
    model.set_training(Sessions.from_lists(TRAINING))
    return model.eval()


def dense(model: SRGNN, parts: list[str]) -> Tensor:
    """Probability of every item for every session [B, V], an item at a time."""
    batch = exact_weights(batch_of(SESSIONS), SESSIONS)
    h, s_h = model.nodes(batch), model(batch)
    scores = s_h @ model.item_vectors().T
    rows = []
    for number in range(len(SESSIONS)):
        own = batch.x[batch.batch == number].tolist()
        barred = set(own) if "again" in parts else set()
        rest = [i for i in range(ITEMS) if i not in barred]
        softmax = F.softmax(scores[number, rest], dim=0)
        p = {i: torch.zeros((), dtype=s_h.dtype) for i in range(ITEMS)}
        p |= dict(zip(rest, softmax, strict=True))
        best = CLICKS.topk(BEST).indices.tolist()
        clicked = {i: float(CLICKS[i]) for i in best if i not in barred}
        if "popular" in parts and clicked:
            total = sum(clicked.values())
            known = torch.tensor([total / float(CLICKS.sum())], dtype=s_h.dtype)
            gate = torch.sigmoid(model.popular.gate(torch.cat([s_h[number], known])))[0]
            p = {i: (1 - gate) * v + gate * clicked.get(i, 0) / total for i, v in p.items()}
        if "again" in parts:
            gate = torch.sigmoid(model.again.gate(s_h[number]))[0]
            inside = F.softmax(model.again.node(h[batch.batch == number])[:, 0], dim=0)
            again = dict(zip(own, inside, strict=True))
            p = {i: (1 - gate) * v + gate * again.get(i, 0) for i, v in p.items()}
        rows.append(torch.stack([p[i] for i in range(ITEMS)]))
    return torch.stack(rows)


@pytest.mark.parametrize("name", PARTS)
def test_scores_and_loss(name: str) -> None:
    model = make(PARTS[name]).double()
    batch = exact_weights(batch_of(SESSIONS, TARGETS), SESSIONS)
    wanted = dense(model, PARTS[name])
    torch.testing.assert_close(wanted.sum(dim=1), torch.ones_like(wanted[:, 0]))
    with torch.no_grad():
        found = model.scores(batch)
        values, items = model.topk(batch, 5)
    torch.testing.assert_close(found, wanted.log(), rtol=0, atol=1e-9)
    torch.testing.assert_close(values, found.topk(5).values)
    assert torch.equal(items, found.topk(5).indices)

    exact = -torch.stack([row[y] for row, y in zip(wanted, TARGETS, strict=True)]).log().mean()
    exact.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    loss = model.loss(batch)
    assert loss.item() == pytest.approx(exact.item(), abs=1e-9)
    loss.backward()
    for parameter, gradient in gradients.items():
        assert gradient.abs().max() > 1e-8, f"{parameter} is not tested"
        found = model.get_parameter(parameter).grad.to_dense()
        torch.testing.assert_close(found, gradient, rtol=0, atol=1e-8)


def test_the_order_of_components() -> None:
    """Exclusive ones are outermost, whichever was added first."""
    model = make(["again", "popular"], transitions=2)
    assert list(model.components) == ["transitions", "popular", "again"]


class Shop(SessionDataset):
    name = "components"

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        sessions = Sessions.from_lists([each for each in TRAINING if len(each) > 1])
        return *sessions.split_last(0.3), Vocabulary(range(ITEMS))


def test_it_is_trained_and_evaluated(tmp_path: Path) -> None:
    model = make(PARTS["both"], transitions=4)
    training, test = (Shop(tmp_path, part) for part in ("trainval", "test"))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    batch = training.batch(torch.arange(len(training)))
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = model.train().loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0] - 0.1
    model.eval()
    assert_row_independent(model, test, 10)
    found = evaluate(model, SessionLoader(test, 7), ITEMS)
    with torch.no_grad():
        scores = model.scores(test.batch(torch.arange(len(test))))
    targets = torch.cat([data.y for data in test])
    better = (scores >= scores.gather(1, targets.unsqueeze(1))).sum(dim=1)
    assert found["hr@5"] == pytest.approx((better <= 5).double().mean().item())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
@pytest.mark.parametrize("parts", [["popular"], ["again", "popular"]])
def test_it_is_exported_and_served(tmp_path: Path, kind: str, parts: list[str]) -> None:
    ids = [f"item {i}" for i in range(ITEMS)]
    model = make(parts, transitions=3, repeat="again" not in parts)
    settings = {"name": "srgnn", "num_items": ITEMS, "channels": CHANNELS}
    checkpoint = Checkpoint(
        *(model, settings, Vocabulary(ids), CLICKS, {"name": "components"}, "train", "honest"),
        tmp_path / "none",
    )
    folder = export(checkpoint, tmp_path / "export", kind)
    asked = [[ids[i] for i in session] for session in SESSIONS]
    wanted = Recommender.of(checkpoint).recommend(asked, ITEMS)
    with torch.no_grad():
        scores = model.scores(batch_of(SESSIONS))
    opened = Recommender.load(folder)
    torch.testing.assert_close(opened.scorer.scores(SESSIONS), scores, rtol=0, atol=1e-5)
    with in_thread(folder) as running:
        answers = running.post("/recommend/batch", {"sessions": asked, "k": ITEMS}).json()
    for answer, row, exported in zip(
        answers["results"], wanted, opened.recommend(asked, ITEMS), strict=True
    ):
        assert [item["id"] for item in answer["items"]] == [item for item, _ in row]
        for found in ([item["score"] for item in answer["items"]], [s for _, s in exported]):
            assert found == pytest.approx([score for _, score in row], abs=1e-5)
