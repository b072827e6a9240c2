"""Clicks that training leaves out, and what is still known of their places."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pyg_srgnn.data import SessionLoader, Sessions, Vocabulary
from pyg_srgnn.datasets.augmentation import Augmentation
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.functional.marks import gap_buckets
from tests.reference.names import random_sessions

ITEMS = 12
LISTS = random_sessions(40, ITEMS, seed=5, longest=14)


class Clicks(SessionDataset):
    """A dataset without raw files."""

    name = "clicks"

    def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
        sessions = Sessions.from_lists(LISTS)
        return sessions, sessions, Vocabulary(range(ITEMS))


@pytest.fixture
def dataset(tmp_path: Path) -> Clicks:
    return Clicks(tmp_path, "trainval")


def clicks_of(batch: object) -> list[tuple[list[int], list[int], int, int]]:
    """Items, steps to the target, target and number of each sample of a batch."""
    return [
        (g.x[g.alias_index].tolist(), g.steps.tolist(), int(g.y), int(g.row))
        for g in batch.to_data_list()  # type: ignore[attr-defined]
    ]


@pytest.mark.parametrize(("drop", "crop"), [(0.4, 0.0), (0.0, 0.7), (0.3, 0.5), (0.99, 1.0)])
def test_what_stays_is_of_the_session(dataset: Clicks, drop: float, crop: float) -> None:
    numbers = torch.arange(len(dataset))
    found = clicks_of(dataset.batch(numbers, Augmentation(drop, crop, 3)))
    whole = dataset.batch(numbers).to_data_list()
    changed = 0
    for (items, steps, target, row), graph in zip(found, whole, strict=True):
        before = graph.x[graph.alias_index].tolist()
        assert (target, row) == (int(graph.y), int(graph.row))
        places = [len(before) - step for step in steps]
        assert places == sorted(set(places)) and steps[-1] == 1
        assert items == [before[place] for place in places]
        begin = places[0]
        assert items == [i for i in before[begin:] if i in items], (
            "an item goes with all its clicks"
        )
        if not drop:
            assert items == before[begin:]
        if not crop:
            assert set(before) == set(items) or len(items) < len(before)
        changed += items != before
    assert changed > len(found) / 10


def test_a_pause_goes_back_to_the_click_that_is_left(dataset: Clicks) -> None:
    whole = dataset.sessions
    pauses = torch.randint(0, 5000, (len(whole.items),), generator=torch.manual_seed(0)).int()
    pauses[whole.offsets[:-1]] = 0
    dataset.sessions = Sessions(whole.items, whole.offsets, pauses=pauses)
    numbers = torch.arange(len(dataset))
    batch = dataset.batch(numbers, Augmentation(0.4, 0.5, 3))
    session, cut = whole.samples(numbers)
    for graph, start, end in zip(
        batch.to_data_list(), whole.offsets[session].tolist(), cut.tolist(), strict=True
    ):
        clock = pauses[start : start + end].cumsum(0)
        times = clock[end - graph.steps]
        wanted = gap_buckets(times.diff(prepend=times[:1]), torch.tensor([len(times)]))
        assert graph.gap.tolist() == wanted.tolist()


def test_how_much_is_left_out() -> None:
    lengths = torch.full((4000,), 5)
    items, numbers = torch.arange(20_000) % 5, torch.arange(4000)
    dropped = Augmentation(0.2).kept(items, lengths, numbers).view(-1, 5)
    assert dropped[:, -1].all()
    assert dropped[:, :-1].float().mean().item() == pytest.approx(0.8, abs=0.02)
    cropped = Augmentation(0.0, 0.5).kept(items, lengths, numbers).view(-1, 5)
    sizes = torch.bincount(cropped.sum(dim=1), minlength=6).float() / 4000
    assert sizes.tolist() == pytest.approx([0, 0.1, 0.1, 0.1, 0.1, 0.6], abs=0.03)


def test_the_same_again_but_not_in_the_next_epoch(dataset: Clicks) -> None:
    """So that a resumed run goes on to the same end."""

    def epoch(number: int, workers: int = 0, seed: int = 1) -> list[object]:
        keys = {"shuffle": True, "seed": 1, "num_workers": workers}
        loader = SessionLoader(dataset, 16, augmentation=Augmentation(0.3, 0.5, seed), **keys)
        loader.sampler.set_epoch(number)
        return sorted((row, items) for batch in loader for items, _, _, row in clicks_of(batch))

    first = epoch(0)
    assert first == epoch(0) and [row for row, _ in first] == list(range(len(dataset)))
    assert first != epoch(1) and first != epoch(0, seed=2)


def test_shares_of_several_processes(dataset: Clicks) -> None:
    found = []
    for rank in range(2):
        keys = {"num_replicas": 2, "rank": rank, "augmentation": Augmentation(0.4)}
        found += [one for batch in SessionLoader(dataset, 8, **keys) for one in clicks_of(batch)]
    assert sorted(row for *_, row in found) == list(range(len(dataset)))
    assert any(len(items) < steps[0] for items, steps, *_ in found)


@pytest.mark.parametrize(("key", "value"), [("drop", 1.0), ("crop", -0.1), ("seed", -1)])
def test_arguments(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"'{key}' must be"):
        Augmentation(**{key: value})


def test_a_transform_is_given_whole_sessions(tmp_path: Path) -> None:
    dataset = Clicks(tmp_path, "trainval", transform=lambda data: data)
    with pytest.raises(ValueError, match="'augmentation' must be None with a dataset's transform"):
        SessionLoader(dataset, augmentation=Augmentation(0.1))
