"""Names of generated items: what they tell of interests and rings."""

from collections import Counter

import pytest
import torch

from pyg_srgnn.datasets.generator import SessionGenerator
from pyg_srgnn.datasets.names import item_names

LAW = SessionGenerator()
ARC = 6


@pytest.fixture(scope="module", params=[0, 1, 2])
def names(request):
    return item_names(LAW.place, ARC, request.param)


def test_same_seed_same_names():
    """Pinned: they are the same on every machine."""
    first = item_names(LAW.place, ARC, 0)
    assert first[:2] == ["brown clay bag", "grey paper clock"]
    assert item_names(LAW.place, ARC, 0) == first != item_names(LAW.place, ARC, 1)


def test_most_names_are_distinct(names):
    assert len(names) == 300 and {len(name.split()) for name in names} == {3}
    repeated = 300 - len(set(names))
    assert 0 < repeated < 60
    assert max(Counter(names).values()) <= 5


def shared_words(names):
    """How many words each two names share, and none with themselves [V, V]."""
    words = [set(name.split()) for name in names]
    shared = torch.tensor([[len(a & b) for b in words] for a in words])
    return shared.fill_diagonal_(-1)


def test_the_nearest_name_is_of_the_same_interest_far_more_often_than_any_other(names):
    holds = (LAW.place >= 0).double()
    same = (holds.T @ holds > 0).fill_diagonal_(False)
    held = holds.any(0)
    nearest = shared_words(names).argmax(1)
    found = same[torch.arange(300), nearest][held].double().mean()
    chance = same[held].double().sum(1).mean() / 299
    assert found > 0.5 > 2 * chance


def test_neighbours_on_a_ring_share_things(names):
    things = [name.split()[2] for name in names]

    def share(distance):
        pairs = [
            (ring[place], ring[(place + distance) % len(ring)])
            for ring in LAW.ring.tolist()
            for place in range(len(ring))
        ]
        return sum(things[a] == things[b] for a, b in pairs) / len(pairs)

    assert share(1) > 2 * share(ARC) and share(1) > 0.25


def test_of_an_item_without_an_interest_every_word_is_any_one():
    names = item_names(torch.full((2, 3000), -1), ARC, 0)
    for position, words in enumerate((12, 12, 30)):
        counts = Counter(name.split()[position] for name in names)
        assert len(counts) == words and max(counts.values()) < 1.5 * 3000 / words
