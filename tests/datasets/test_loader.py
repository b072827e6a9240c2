"""SessionLoader gives what PyG's own loader gives, in a seeded order."""

import pickle
import tracemalloc

import pytest
import torch
from torch.utils.data import DistributedSampler, Subset
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from pyg_srgnn.data import SessionLoader, Sessions, Vocabulary
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.datasets.loader import ShuffledSampler
from tests.data.test_graphs import assert_same
from tests.reference.names import random_sessions

LISTS = random_sessions(15, num_items=8, longest=9)


class Clicks(SessionDataset):
    """A dataset without raw files; its processed files go to a folder of the test."""

    name = "clicks"

    def read(self):
        sessions = Sessions.from_lists(LISTS)
        return sessions, Sessions.from_lists(LISTS[::-1]), Vocabulary(range(8))


@pytest.fixture
def dataset(tmp_path):
    return Clicks(tmp_path, split="trainval")


def targets(loader):
    return [batch.y.tolist() for batch in loader]


def keys_of(loader):
    """Something that tells samples apart: the clicks and the target of each, in order."""
    return [
        (*data.x[data.alias_index].tolist(), int(data.y))
        for batch in loader
        for data in batch.to_data_list()
    ]


def prefixes():
    return [(*s[:cut], s[cut]) for s in LISTS for cut in range(1, len(s))]


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batches_equal_those_of_pyg(dataset, batch_size):
    ours = list(SessionLoader(dataset, batch_size=batch_size))
    theirs = list(DataLoader(dataset, batch_size=batch_size))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert_same(a, b)


def test_every_sample_once_in_order(dataset):
    loader = SessionLoader(dataset, batch_size=7)
    assert keys_of(loader) == prefixes()
    assert len(loader) == len(targets(loader)) == -(-len(prefixes()) // 7)


def test_default_batch_size(dataset):
    loader = SessionLoader(dataset)
    assert loader.batch_size == 100


def test_the_last_batch_is_short_not_padded(dataset):
    sizes = [batch.num_graphs for batch in SessionLoader(dataset, batch_size=7)]
    assert sum(sizes) == len(dataset)
    assert sizes[-1] == len(dataset) % 7 or len(dataset) % 7 == 0


def test_a_subset_has_its_own_numbers(dataset):
    order = [5, 3, 11, 3]
    loader = SessionLoader(dataset[order], batch_size=3)
    assert keys_of(loader) == [prefixes()[i] for i in order]


def test_the_transform_is_applied(tmp_path):
    def mark(data):
        data.marked = torch.ones(1)
        return data

    dataset = Clicks(tmp_path, split="trainval", transform=mark)
    for ours, theirs in zip(
        SessionLoader(dataset, batch_size=7), DataLoader(dataset, batch_size=7), strict=True
    ):
        assert ours.marked.tolist() == [1] * ours.num_graphs
        assert_same(ours, theirs)


def test_shuffled_epochs(dataset):
    """Every sample once; the order follows from the seed and the epoch alone."""
    loader = SessionLoader(dataset, batch_size=7, shuffle=True, seed=3)
    first = keys_of(loader)
    assert sorted(first) == sorted(prefixes())
    assert first != prefixes()
    loader.sampler.set_epoch(1)
    second = keys_of(loader)
    assert sorted(second) == sorted(prefixes())
    assert second != first
    loader.sampler.set_epoch(0)
    assert keys_of(loader) == first


def test_the_order_does_not_depend_on_the_global_generator(dataset):
    orders = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        loader = SessionLoader(dataset, batch_size=7, shuffle=True, seed=3)
        loader.sampler.set_epoch(4)
        orders.append(keys_of(loader))
    assert orders[0] == orders[1]
    other = SessionLoader(dataset, batch_size=7, shuffle=True, seed=4)
    other.sampler.set_epoch(4)
    assert keys_of(other) != orders[0]


def test_shuffling_does_not_move_the_global_generator(dataset):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    iter(SessionLoader(dataset, batch_size=7, shuffle=True).sampler)
    assert torch.equal(torch.rand(1), expected)


def test_arguments_of_torchs_loader(dataset):
    loader = SessionLoader(dataset, batch_size=7, shuffle=True, drop_last=True)
    assert all(batch.num_graphs == 7 for batch in loader)
    workers = SessionLoader(dataset, batch_size=20, num_workers=1)
    for a, b in zip(workers, SessionLoader(dataset, batch_size=20), strict=True):
        assert_same(a, b)


def test_no_samples(dataset):
    assert list(SessionLoader(dataset[[]], batch_size=7)) == []


def test_a_loader_can_be_pickled(dataset):
    loader = SessionLoader(dataset, batch_size=7, shuffle=True, seed=3)
    assert keys_of(pickle.loads(pickle.dumps(loader))) == keys_of(loader)


def test_batch_of_any_numbers(dataset):
    index = [4, 0, 4]
    expected = Batch.from_data_list([dataset[i] for i in index])
    assert_same(dataset.batch(index), expected)
    assert_same(dataset.batch(torch.tensor(index)), expected)


@pytest.mark.parametrize("size", [0, 1, 7, 65_536, 200_003])
@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (3, 5)])
def test_the_order_is_that_of_torchs_sampler(size, seed, epoch):
    """A run that was trained with torch's sampler is resumed with the same batches."""
    theirs = DistributedSampler(
        range(size), num_replicas=1, rank=0, shuffle=True, seed=seed, drop_last=False
    )
    ours = ShuffledSampler(range(size), seed)
    for sampler in (ours, theirs):
        sampler.set_epoch(epoch)
    assert len(ours) == len(theirs)
    if size:  # theirs divides by the size
        found = list(ours)
        assert found == list(theirs) and {type(number) for number in found} == {int}
    else:
        assert list(ours) == []


def test_the_first_number_does_not_wait_for_a_list_of_all():
    """2 M numbers are 80 MB in a list; 24 M took seconds."""
    tracemalloc.start()
    next(iter(ShuffledSampler(range(2_000_000))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_batches_are_cut_from_that_order(dataset):
    loader = SessionLoader(dataset, batch_size=7, shuffle=True, seed=3)
    loader.sampler.set_epoch(2)
    theirs = DistributedSampler(range(len(dataset)), num_replicas=1, rank=0, seed=3)
    theirs.set_epoch(2)
    order = torch.tensor(list(theirs)).split(7)
    for batch, numbers in zip(loader, order, strict=True):
        assert_same(batch, dataset.batch(numbers))


def test_workers_see_the_same_order(dataset):
    orders = []
    for workers in (0, 2):
        loader = SessionLoader(
            dataset, 20, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            orders.append(keys_of(loader))
    assert orders[:2] == orders[2:] and orders[0] != orders[1]


def test_lightning_sets_the_epoch(dataset):
    """It looks at the sampler of the loader and at that of its batch sampler."""
    from lightning.fabric.utilities.data import _set_sampler_epoch

    loader = SessionLoader(dataset, batch_size=7, shuffle=True)
    _set_sampler_epoch(loader, 4)
    assert loader.sampler.epoch == 4


def shares(dataset, world, batch_size, shuffle, epoch=0):
    """The batches of each process."""
    loaders = [
        SessionLoader(dataset, batch_size, shuffle, seed=3, num_replicas=world, rank=rank)
        for rank in range(world)
    ]
    for loader in loaders:
        if shuffle:
            loader.sampler.set_epoch(epoch)
    return [list(loader) for loader in loaders]


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [4, 7, 10_000])
@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_processes_share_the_batches_of_one(dataset, world, batch_size, shuffle):
    """Each batch is the same samples as one process has, each of them in one share."""
    (whole,) = shares(dataset, 1, batch_size, shuffle)
    parts = shares(dataset, world, batch_size, shuffle)
    for number, batch in enumerate(whole):
        found = []
        weights = 0.0
        for rank, of_rank in enumerate(parts):
            if number == len(of_rank):
                assert not shuffle and batch.num_graphs <= rank, (
                    "only a share of nothing is left out"
                )
                continue
            share = of_rank[number]
            if world > 1:
                assert share.global_size == batch.num_graphs
                weights += share.loss_weight
                if share.loss_weight == 0:
                    assert shuffle and share.num_graphs == 1
                    continue
                assert share.loss_weight * batch.num_graphs == pytest.approx(
                    world * share.num_graphs
                )
            found.append(keys_of([share]))
        assert sorted(key for keys in found for key in keys) == sorted(keys_of([batch]))
        assert world == 1 or weights == pytest.approx(world)
    if shuffle:
        assert len({len(of_rank) for of_rank in parts}) == 1, "all take as many steps"


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("world", [1, 3])
def test_a_batch_carries_the_rows_of_its_samples(dataset, world, shuffle):
    """Those of this process, also where a batch is filled up; of a subset, those of the whole."""
    size = len(dataset) - 1  # the last batch is one sample
    for epoch in (0, 1):
        for batches in shares(dataset, world, size, shuffle, epoch):
            for batch in batches:
                assert keys_of([batch]) == [prefixes()[row] for row in batch.row]
    order = [5, 3, 11, 3]
    (batch,) = SessionLoader(dataset[order], 9)
    assert batch.row.tolist() == order and [int(data.row) for data in dataset[order]] == order


def test_a_last_batch_smaller_than_the_processes(dataset):
    size = len(dataset) - 1  # one sample is left
    trained = shares(dataset, 3, size, shuffle=True)
    assert [[batch.loss_weight for batch in of][-1] for of in trained] == [3, 0, 0]
    assert [len(of) for of in shares(dataset, 3, size, shuffle=False)] == [2, 1, 1]


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_none_of_the_processes(dataset, rank, world):
    with pytest.raises(ValueError, match=f"rank.*{rank}"):
        SessionLoader(dataset, num_replicas=world, rank=rank)


def test_a_part_made_by_torch_is_refused_by_its_type(dataset):
    with pytest.raises(ValueError, match=r"'dataset' must be .*dataset\[indices\]"):
        SessionLoader(Subset(dataset, [0, 2]))


def test_batches_of_a_sampler(dataset):
    chosen = [[4, 0], [3]]
    found = list(SessionLoader(dataset, batch_sampler=chosen))
    assert [batch.row.tolist() for batch in found] == chosen


def test_half_life_draws_each_sample_with_its_probability() -> None:
    sampler = ShuffledSampler(range(40), seed=3, half_life=0.25)
    expected = torch.exp2(-torch.arange(39, -1, -1) / 10)
    counts = torch.zeros(40)
    for epoch in range(3000):
        sampler.set_epoch(epoch)
        drawn = torch.tensor(list(sampler))
        assert len(drawn) == len(sampler) == round(float(expected.sum())) == 14
        assert len(drawn.unique()) == len(drawn)  # no sample twice in an epoch
        counts += torch.bincount(drawn, minlength=40)
    found, wanted = counts / 3000, expected * 14 / expected.sum()
    deviation = (wanted * (1 - wanted)).clamp(min=1e-4).sqrt() / 3000**0.5
    assert ((found - wanted.clamp(max=1)).abs() < 5 * deviation).all()


def test_half_life_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = ShuffledSampler(range(100), seed, half_life=0.5)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2) and order(0, 1) != order(7, 1)
    assert order(0, 1) != sorted(order(0, 1))
