"""The fast way from a dataset of sessions to batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, DistributedSampler

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

    Args:
        dataset: The dataset.
        batch_size: Samples a batch; the last one may be smaller. (default: 100)
        shuffle: Whether to visit the samples in a new random order every epoch. (default: False)
        seed: Seed of the orders. (default: 0)
        **kwargs: Further arguments of ``torch.utils.data.DataLoader``.
    """

    def __init__(
        self,
        dataset: SessionDataset,
        batch_size: int = 100,
        shuffle: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("collate_fn", None)
        # The samples are fetched by their numbers, and a batch is built from those at once.
        numbers: Any = range(len(dataset))
        if shuffle and kwargs.get("sampler") is None:
            kwargs["sampler"] = ShuffledSampler(numbers, seed)
        super().__init__(numbers, batch_size, collate_fn=dataset.batch, **kwargs)
