"""The fast way from a dataset of sessions to batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, DistributedSampler
from torch_geometric.data import Batch

if TYPE_CHECKING:
    from pyg_srgnn.datasets.base import SessionDataset

_NUMBERS_AT_ONCE = 65_536  # of an order that become Python's, which take five times the memory


class ShuffledSampler(DistributedSampler[int]):
    """Torch's ``DistributedSampler`` in one process: its order, without a list of all numbers.

    The order is a function of (seed, epoch); ``set_epoch`` chooses the epoch.

    Args:
        numbers: What is sampled; only its length counts.
        seed: Seed of the orders. (default: 0)
    """

    def __init__(self, numbers: Any, seed: int = 0) -> None:
        super().__init__(numbers, num_replicas=1, rank=0, seed=seed)

    def __iter__(self) -> Iterator[int]:
        """The numbers in the epoch's order."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        # The draws are the same in both types; half the bytes miss fewer caches.
        kind = torch.int32 if len(self) <= torch.iinfo(torch.int32).max else torch.int64
        order = torch.randperm(len(self), generator=generator, dtype=kind)
        for start in range(0, len(self), _NUMBERS_AT_ONCE):
            yield from order[start : start + _NUMBERS_AT_ONCE].tolist()


class SessionLoader(DataLoader[Any]):
    """Batches of session graphs, each built at once by vectorised operations.

    Gives what PyG's own ``DataLoader`` gives on the same dataset, without building a ``Data`` for
    every sample. The order of an epoch depends on the seed and the epoch's number alone
    (``loader.sampler.set_epoch``, which Lightning calls), so that a resumed run goes on as an
    uninterrupted one.

    Of several processes, each has a loader of its own and gets its share of every batch: samples
    ``rank``, ``rank + num_replicas``, … of it. The batches and their order are those of one
    process, and every sample is in one share. Each batch then has ``global_size``, the samples of
    the batch over all processes, and ``loss_weight``, by which the mean loss of the share has to be
    multiplied for the mean *over processes* to be that of the batch; a process without a sample in
    the last batch gets one with weight 0 when it shuffles, so that all take as many steps, and ends
    a batch sooner when it does not. ``len(loader)`` is the number of batches everywhere.

    Args:
        dataset: The dataset.
        batch_size: Samples a batch, over all processes; the last one may be smaller. (default: 100)
        shuffle: Whether to visit the samples in a new random order every epoch. (default: False)
        seed: Seed of the orders. (default: 0)
        num_replicas: Number of processes. (default: 1)
        rank: Which of them this one is, from 0. (default: 0)
        **kwargs: Further arguments of ``torch.utils.data.DataLoader``.

    Raises:
        ValueError: If ``rank`` is not one of ``num_replicas`` processes.
    """

    def __init__(
        self,
        dataset: SessionDataset,
        batch_size: int = 100,
        shuffle: bool = False,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        **kwargs: Any,
    ) -> None:
        if not 0 <= rank < num_replicas:
            raise ValueError(
                f"SessionLoader: 'rank' must be from 0 to num_replicas - 1 = {num_replicas - 1} "
                f"(got {rank})"
            )
        kwargs.pop("collate_fn", None)
        # The samples are fetched by their numbers, and a batch is built from those at once.
        numbers: Any = range(len(dataset))
        if shuffle and kwargs.get("sampler") is None:
            kwargs["sampler"] = ShuffledSampler(numbers, seed)
        # Torch's loader draws a number from here when it starts: it must not be one of the model's.
        kwargs.setdefault("generator", torch.Generator().manual_seed(seed))
        share = _Share(dataset, num_replicas, rank, padded=shuffle)
        collate = dataset.batch if num_replicas == 1 else share
        super().__init__(numbers, batch_size, collate_fn=collate, **kwargs)

    def __iter__(self) -> Any:
        """The batches, or this process's shares of them."""
        return (batch for batch in super().__iter__() if batch is not None)


class _Share:
    """Builds a process's share of a batch from the numbers of the whole batch."""

    def __init__(self, dataset: SessionDataset, num_replicas: int, rank: int, padded: bool) -> None:
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.padded = padded

    def __call__(self, numbers: list[int]) -> Batch | None:
        mine = numbers[self.rank :: self.num_replicas]
        if not mine and not self.padded:
            return None
        batch = self.dataset.batch(mine or numbers[:1])
        batch.global_size = len(numbers)
        batch.loss_weight = self.num_replicas * len(mine) / len(numbers)
        return batch
