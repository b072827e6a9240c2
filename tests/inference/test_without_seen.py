"""Items that a session does not hold, against a loop."""

from __future__ import annotations

import random

import torch

from pyg_srgnn.inference.search import Wanted, most_seen, without_seen


def test_the_best_of_the_others() -> None:
    draw = random.Random(0)
    own = [[draw.randrange(40) for _ in range(draw.choice([1, 3, 300]))] for _ in range(9)]
    own[4] = []
    rows, k = [7, 0, 4, 2], 5
    wanted = Wanted(rows, k, exclude_seen=True)
    more = most_seen(own, wanted)
    assert more == max(len({*own[row]}) for row in rows), "an item counts once, however often"
    items = torch.stack([torch.randperm(60)[: k + more] for _ in rows])
    values = torch.randn(len(rows), k + more).sort(dim=1, descending=True).values
    scores, found = without_seen((values, items), own, wanted)
    for place, row in enumerate(rows):
        left = [
            (score, item)
            for score, item in zip(values[place].tolist(), items[place].tolist(), strict=True)
            if item not in own[row]
        ]
        assert list(zip(scores[place].tolist(), found[place].tolist(), strict=True)) == left[:k]
