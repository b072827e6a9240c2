"""The items of sessions like one: what is counted, and what training must not know of itself."""

from __future__ import annotations

import pytest
import torch

from pyg_srgnn.data import Sessions
from pyg_srgnn.data.graphs import graphs_of
from pyg_srgnn.data.recency import recency
from pyg_srgnn.functional.lookups import Hidden, similar_of
from pyg_srgnn.nn import SRGNN
from pyg_srgnn.nn.similar_head import SimilarHead
from tests.nn.test_ingredients import CHANNELS, ITEMS, TRAINING, exact_counts, make
from tests.nn.test_srgnn import batch_of, exact_weights
from tests.reference import ingredients as reference
from tests.reference import similar_items


def head_of(
    sessions: list[list[int]], num_items: int, kept: int, half_life: float | None = None
) -> SimilarHead:
    head = SimilarHead(num_items, CHANNELS, kept, half_life)
    head.set_training(Sessions.from_lists(sessions))
    return head


def row_of(head: SimilarHead, item: int) -> list[tuple[int, float]]:
    row = zip(head.similar[item].tolist(), head.count[item].tolist(), strict=True)
    return [(other, count) for other, count in row if count]


def test_two_items_of_a_session_are_counted_once() -> None:
    head = head_of([[0, 1, 0, 2, 1]], 4, 3)
    assert row_of(head, 0) == [(1, 1.0), (2, 1.0)]
    assert row_of(head, 1) == [(0, 1.0), (2, 0.5)]
    assert row_of(head, 2) == [(0, 1.0), (1, 0.5)]
    assert row_of(head, 3) == []
    assert not head_of([[5, 5]], 6, 2).count.any(), "an item is not similar to itself"


def test_items_are_counted_within_ten_steps() -> None:
    head = head_of([[0, *range(2, 11), 1], [20, *range(2, 12), 21]], 22, 21)
    assert dict(row_of(head, 0))[1] == pytest.approx(1 / 10)
    assert 21 not in dict(row_of(head, 20))


@pytest.mark.parametrize("half_life", [None, 0.3])
def test_the_items_counted_most_are_kept(half_life: float | None) -> None:
    head = head_of(TRAINING, ITEMS, 3, half_life)
    every = similar_items.counts_of(TRAINING, ITEMS, reference.weights_of(TRAINING, half_life))
    for item, counts in enumerate(every):
        wanted = sorted(counts.values(), reverse=True)[:3]
        assert [count for _, count in row_of(head, item)] == pytest.approx(wanted)
        for other, count in row_of(head, item):
            assert counts[other] == pytest.approx(count)


@pytest.mark.parametrize("half_life", [None, 0.3])
@pytest.mark.parametrize("repeat", [False, True])
def test_training_counts_a_target_in_other_sessions_alone(
    repeat: bool, half_life: float | None
) -> None:
    """As if its counts were made without the sample's session, whatever is clicked there later."""
    model = make(similar=ITEMS, repeat=repeat, counts_half_life=half_life).train()
    exact_counts(model, half_life)
    weights = reference.weights_of(TRAINING, half_life)
    every = similar_items.counts_of(TRAINING, ITEMS, weights)
    number, wanted = -1, []
    for n, whole in enumerate(TRAINING):
        others = [session for session in TRAINING if session is not whole]
        alone = similar_items.counts_of(others, ITEMS, weights[:n] + weights[n + 1 :])
        for cut in range(1, len(whole)):
            number += 1
            session, target = whole[:cut], whole[cut]
            if target in session or len(set(session)) > ITEMS - 3:
                continue  # a session's own items are no candidates
            counts = [dict(row) for row in every]
            for row, without in zip(counts, alone, strict=True):
                row.pop(target, None)
                row |= {target: without[target]} if target in without else {}
            logs = reference.log_probabilities(model, session, repeat=repeat, similar=counts)
            wanted.append((number, session, target, -float(logs[target].detach())))
    numbers, sessions, targets, losses = zip(*wanted, strict=True)
    batch = exact_weights(batch_of(sessions, targets), sessions)
    batch.row = torch.tensor(numbers)
    mean = sum(losses) / len(losses)
    assert model.loss(batch).item() == pytest.approx(mean, abs=1e-9)
    assert model.eval().loss(batch).item() != pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("half_life", [None, 0.5, 0.05])
def test_a_pair_seen_once_is_not_found_where_it_is_trained(half_life: float | None) -> None:
    """Not even a rounding of its count, which would be all that there is to share out."""
    once = [[2 * n, 2 * n + 1] for n in range(500)]
    head = head_of(once, 1000, 3, half_life)
    batch = batch_of([[first] for first, _ in once], [second for _, second in once])
    number = torch.arange(len(once))
    hidden = Hidden(batch.y, None if half_life is None else recency(number, len(once), half_life))
    found = similar_of(batch.x, graphs_of(batch), None, hidden, **head.tables())
    assert not found.share.any() and not found.some.any() and not found.known.any()
    assert similar_of(batch.x, graphs_of(batch), None, None, **head.tables()).some.all()


@pytest.mark.parametrize("taken", [None, (torch.tensor([0]), torch.tensor([4]))])
def test_neither_the_sessions_own_items_nor_those_taken_are_candidates(
    taken: tuple[torch.Tensor, torch.Tensor] | None,
) -> None:
    head = head_of([[0, 1, 2, 3, 4]], 5, 4)
    batch = batch_of([[0, 1], [1]])
    found = similar_of(batch.x, graphs_of(batch), taken, None, **head.tables())
    candidates = list(zip(*found.pairs(), found.share.flatten(), strict=True))
    items = [{int(i) for s, i, q in candidates if q > 0 and s == n} for n in (0, 1)]
    assert items == [{2, 3, 4} - ({4} if taken else set()), {0, 2, 3, 4}]


def test_a_cold_item_has_the_counts_of_its_stand_in() -> None:
    trained = ITEMS - 2
    model = SRGNN(ITEMS, CHANNELS, similar=4, text_channels=3, num_trained=trained)
    vectors = torch.randn(ITEMS, 3, generator=torch.Generator().manual_seed(0))
    vectors[ITEMS - 1] = 0  # nothing stands in for it
    model.set_text(vectors)
    model.set_training(Sessions.from_lists(TRAINING))
    stand_in = int(model.stand_ins[0, 0])
    assert model.similar.count[trained].any()
    assert row_of(model.similar, trained) == row_of(model.similar, stand_in)
    assert not model.similar.count[ITEMS - 1].any()


def test_counts_that_are_almost_nothing_are_shared_as_others_are() -> None:
    """Those of a short half-life; the gradient of their power neither overflows nor is lost."""
    model = make(similar=ITEMS).train()
    batch = batch_of([[0, 1], [2]], [3, 4])
    found = []
    for factor in (1.0, 1e-30):
        tables = model.similar.tables()
        power = torch.tensor([0.7], requires_grad=True)
        tables |= {"count": tables["count"].float() * factor, "power": power}
        tables["place_weight"] = tables["place_weight"].float()
        shares = similar_of(batch.x, graphs_of(batch), None, None, **tables).share
        assert shares is not None
        (gradient,) = torch.autograd.grad(shares.square().sum(), power)
        found.append((shares.detach(), gradient))
    assert found[0][1].abs() > 1e-3
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
