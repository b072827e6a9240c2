"""Both stages against plain loops, and that they learn."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pyg_srgnn.data import Sessions
from pyg_srgnn.llm.item_stage import TextStates, align_items, contrast, retrieval
from pyg_srgnn.llm.session_stage import next_item_loss, train_epoch
from tests.llm.toy import NAMES

pytestmark = pytest.mark.slow


def states(items, group=None, channels=16):
    made = torch.randn(len(items), channels, generator=torch.Generator().manual_seed(5)) + 3
    group = torch.arange(len(items)) if group is None else torch.tensor(group)
    return TextStates(made, torch.tensor(items), group)


@torch.no_grad()
def test_the_contrast_in_plain_loops(aligned):
    """Items 4 and 9 have the same text: neither is a wrong answer of the other."""
    model, tau = aligned(), 0.2
    texts = states([4, 7, 9, 2], group=[0, 1, 0, 2])
    rows = [3, 0, 2]
    mapped = {i: model.into(model.item_vectors[texts.items[i]]) for i in rows}
    cosine = {
        (i, j): float(F.cosine_similarity(texts.directions[i], mapped[j], dim=0))
        for i in rows
        for j in rows
        if i == j or texts.group[i] != texts.group[j]
    }
    e = {pair: torch.tensor(value / tau).exp() for pair, value in cosine.items()}
    losses = []
    for i in rows:
        of_text = sum(value for (a, _), value in e.items() if a == i)
        of_vector = sum(value for (_, b), value in e.items() if b == i)
        losses += [(of_text / e[i, i]).log(), (of_vector / e[i, i]).log()]
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(contrast(model, texts, torch.tensor(rows), tau), expected)


def test_stage_1_trains_the_map_from_vectors_alone(aligned):
    model = aligned()
    texts = states(list(range(12)))
    before = {name: value.clone() for name, value in model.trained().items()}
    assert retrieval(model, texts, k=12) == 1
    assert retrieval(model, texts) < 0.5
    losses = align_items(model, texts, steps=100, batch_size=8, lr=1e-2, progress=False)
    assert len(losses) == 100 and sum(losses[-10:]) < sum(losses[:10]) / 2
    assert retrieval(model, texts) > 0.8
    changed = {name for name, value in model.trained().items() if not value.equal(before[name])}
    assert changed == {"into.weight", "into.bias", "back.weight", "back.bias"}
    # Mapped back, a text's state is nearest to its own item's vector.
    with torch.no_grad():
        vectors = model.item_vectors[:12]
        plain = texts.length * texts.directions + texts.mean
        scores = model.back(plain) @ vectors.T
        mapped = texts.directions @ (vectors @ model.into.weight.T).T
    torch.testing.assert_close(scores.argmax(dim=1), mapped.argmax(dim=1))


def test_the_same_seed_gives_the_same_map(aligned):
    texts = states(list(range(12)))
    maps = []
    for seed in (0, 0, 1):
        model = aligned()
        align_items(model, texts, steps=5, batch_size=4, seed=seed, progress=False)
        maps.append(model.into.weight.detach())
    assert maps[0].equal(maps[1]) and not maps[0].equal(maps[2])


@torch.no_grad()
def test_the_loss_of_all_prefixes_in_plain_loops(aligned):
    model, sessions = aligned(), [[0, 7, 0, 5], [9, 2], [3, 3, 9]]
    candidates = sorted({item for session in sessions for item in session})
    losses = []
    for session in sessions:
        for cut in range(1, len(session)):
            vector = model(torch.tensor(session[:cut]), torch.tensor([cut]))[-1]
            logits = model.item_vectors[candidates] @ vector
            losses.append(-logits.log_softmax(dim=0)[candidates.index(session[cut])])
    clicks, lengths = Sessions.from_lists(sessions).items, torch.tensor([4, 2, 3])
    found = next_item_loss(model, clicks, lengths, torch.tensor(candidates))
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_an_epoch_sees_every_session_in_an_order_of_its_own(aligned, monkeypatch):
    sessions = Sessions.from_lists([[0, 1], [4], [1, 2, 3, 4, 5], [6, 7], [8, 9]])
    seen = []

    def loss(model, clicks, lengths, candidates):
        assert candidates.tolist() == list(range(10))
        seen[-1] += [part.tolist() for part in clicks.split(lengths.tolist())]
        return model.into.weight.sum()

    monkeypatch.setattr("pyg_srgnn.llm.session_stage.next_item_loss", loss)
    model = aligned(max_clicks=3)
    optimizer = torch.optim.SGD(model.trained().values(), lr=0.1)
    for epoch, seed in ((1, 0), (1, 0), (2, 0), (1, 7)):
        seen.append([])
        train_epoch(model, sessions, optimizer, epoch, batch_size=3, seed=seed)
    for order in seen:  # one click is no sample; of five, the last three inputs and the target
        assert sorted(order) == [[0, 1], [2, 3, 4, 5], [6, 7], [8, 9]]
    assert seen[0] == seen[1]
    assert len({str(order) for order in seen}) > 1


def test_stage_2_learns(aligned):
    sessions = Sessions.from_lists([[item, item + 1] for item in range(0, len(NAMES), 2)])
    model = aligned(scale=12.0)
    optimizer = torch.optim.Adam(model.trained().values(), lr=1e-2)
    losses = [train_epoch(model, sessions, optimizer, epoch) for epoch in range(1, 25)]
    assert losses[-1] < losses[0] / 2
    assert not model.training
