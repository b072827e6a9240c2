"""Recall by type of what follows a cut, against plain loops over OTTO's definition."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.data import Sessions
from pyg_srgnn.datasets import ClickLog
from pyg_srgnn.evaluation.weighted_recall import random_cuts, truths, weighted_recall
from pyg_srgnn.functional.metrics import RecallWeights
from tests.clicklog.test_events import EVENTS, log, write

ASKED = RecallWeights({"view": 0.1, "cart": 0.3, "purchase": 0.6}, following="view")


class ByRow:
    """Scores that are a function of the sample's number: some order of the items."""

    def __init__(self, num_items: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.table = torch.rand(1_000, num_items, generator=generator)

    def scores(self, data: Data) -> Tensor:
        return self.table[data.row]


def labels(items: list[int], events: list[int], cut: int) -> dict[int, set[int]]:
    """The next view, and all carts and purchases, as OTTO's script labels a session."""
    found: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
    for item, event in zip(items[cut:], events[cut:], strict=True):
        if event != 0:
            found[event].add(item)
        elif not found[0]:
            found[0].add(item)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_truths_are_those_of_a_loop(seed: int) -> None:
    draw = random.Random(seed)
    lists = [[draw.randrange(6) for _ in range(draw.randint(1, 9))] for _ in range(30)]
    events = [[draw.randrange(3) for _ in one] for one in lists]
    plain = Sessions.from_lists(lists)
    flat = torch.tensor([event for one in events for event in one], dtype=torch.uint8)
    sessions = Sessions(plain.items, plain.offsets, events=flat)
    number, cut = random_cuts(sessions, seed)
    assert number.tolist() == [s for s, one in enumerate(lists) if len(one) > 1]
    assert all(1 <= c < len(lists[s]) for s, c in zip(number.tolist(), cut.tolist(), strict=True))
    found = truths(sessions, number, cut, following=0, num_events=3)
    expected = {
        (place, item, event)
        for place, (s, c) in enumerate(zip(number.tolist(), cut.tolist(), strict=True))
        for event, of_type in labels(lists[s], events[s], c).items()
        for item in of_type
    }
    triples = list(zip(*(one.tolist() for one in found), strict=True))
    assert set(triples) == expected
    assert len(triples) == len(expected)


def test_every_cut_is_drawn() -> None:
    sessions = Sessions.from_lists([[0, 1, 2, 3]] * 400)
    _, cut = random_cuts(sessions)
    assert all(80 < int((cut == c).sum()) < 190 for c in (1, 2, 3))
    assert torch.equal(cut, random_cuts(sessions)[1])
    assert not torch.equal(cut, random_cuts(sessions, seed=1)[1])


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("targets", [None, ["purchase"]])
def test_recall_is_that_of_a_loop(tmp_path: Path, k: int, targets: list[str] | None) -> None:
    file = write(log(sessions=120), tmp_path / "log.csv")
    rules = {"min_support": 1, "test": 0.4, "event": "event", "events": EVENTS, "targets": targets}
    test = ClickLog(tmp_path, "test", path=file, **rules)
    scorer = ByRow(test.num_items)
    found = weighted_recall(scorer, test, ASKED, k, batch_size=7)
    sessions = test.sessions
    number, cut = random_cuts(sessions)
    hits, most = [0, 0, 0], [0, 0, 0]
    for s, c in zip(number.tolist(), cut.tolist(), strict=True):
        start, end = int(sessions.offsets[s]), int(sessions.offsets[s + 1])
        row = start - s + c - 1  # the sample whose target is the first click behind the cut
        best = set(scorer.table[row].topk(k).indices.tolist())
        of_types = labels(
            sessions.items[start:end].tolist(), sessions.events[start:end].tolist(), c
        )
        for event, truth in of_types.items():
            hits[event] += len(best & truth)
            most[event] += min(k, len(truth))
    recalls = [h / m for h, m in zip(hits, most, strict=True)]
    assert [found[f"recall_{name}@{k}"] for name in EVENTS] == pytest.approx(recalls)
    wanted = sum(w * r for w, r in zip(ASKED.weights.values(), recalls, strict=True))
    assert found[f"weighted_recall@{k}"] == pytest.approx(wanted)
    assert 0 < wanted < 1


def test_a_type_that_follows_no_cut_has_no_recall(tmp_path: Path) -> None:
    rows = [row for row in log(sessions=60) if row["event"] != "purchase"]
    file = write(rows, tmp_path / "log.csv")
    rules = {"min_support": 1, "test": 0.4, "event": "event", "events": EVENTS}
    test = ClickLog(tmp_path, "test", path=file, **rules)
    found = weighted_recall(ByRow(test.num_items), test, ASKED)
    assert found.keys() == {"recall_view@20", "recall_cart@20"}
    assert found["recall_cart@20"] == 1  # there are fewer than 20 items
    other = RecallWeights({"orders": 1.0}, "orders")
    with pytest.raises(ValueError, match=r"have the types view, cart, purchase; expected orders"):
        weighted_recall(ByRow(test.num_items), test, other)
