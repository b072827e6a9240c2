"""Loads batches of session graphs with vectorised operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler
from torch_geometric.data import Batch

from pyg_srgnn.data.recency import recency
from pyg_srgnn.datasets.augmentation import Augmentation
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.utils.arguments import checking

_NUMBERS_AT_ONCE = 65_536  # converted to Python's, which take five times the memory


class ShuffledSampler(DistributedSampler[int]):
    """The order of torch's ``DistributedSampler`` in one process, without a list of all numbers.

    The order is a function of seed and epoch; ``set_epoch`` sets the epoch.

    Args:
        numbers: The samples; only their number is used.
        seed: Seed of the orders. (default: 0)
        half_life: Age, as a share of all samples, at which a sample is drawn with probability
            1/2; the last sample has age 0. None draws all samples in every epoch. (default: None)
    """

    def __init__(self, numbers: Any, seed: int = 0, half_life: float | None = None) -> None:
        super().__init__(numbers, num_replicas=1, rank=0, seed=seed)
        self.half_life = half_life
        if half_life is not None:
            self.num_samples = max(1, round(float(self._probabilities(half_life).sum())))

    def __iter__(self) -> Iterator[int]:
        """The numbers in the epoch's order."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        total = len(self.dataset)  # type: ignore[arg-type]
        # The draws are the same in both types; half the bytes miss fewer caches.
        kind = torch.int32 if total <= torch.iinfo(torch.int32).max else torch.int64
        order = torch.randperm(total, generator=generator, dtype=kind)
        if self.half_life is not None:
            order = order[self._chosen(self._probabilities(self.half_life)[order], generator)]
        for start in range(0, len(self), _NUMBERS_AT_ONCE):
            yield from order[start : start + _NUMBERS_AT_ONCE].tolist()

    def _probabilities(self, half_life: float) -> Tensor:
        total = len(self.dataset)  # type: ignore[arg-type]
        return recency(torch.arange(total), total, half_life)

    def _chosen(self, probability: Tensor, generator: torch.Generator) -> Tensor:
        """Places in a random order, each chosen with its probability.

        Systematic sampling: along the order, a place is chosen where the sum of the probabilities
        steps over a whole number, so that an epoch's size is always the same.
        """
        sums = probability.cumsum(0)
        sums *= self.num_samples / sums[-1]
        start = torch.rand(1, generator=generator, dtype=torch.float64)
        steps = torch.arange(self.num_samples, dtype=torch.float64) + start
        return torch.searchsorted(sums, steps).clamp_(max=sums.numel() - 1)


class SessionLoader(DataLoader[Any]):
    """Loads batches of session graphs, each built at once.

    The batches equal those of PyG's ``DataLoader`` on the same dataset. The order of an epoch
    depends on the seed and the number of the epoch alone (``loader.sampler.set_epoch``, which
    Lightning calls), so that a resumed run sees the batches of an uninterrupted one.

    Each of several processes gets its share of every batch: samples ``rank``,
    ``rank + num_replicas``, … of it. A batch then has ``global_size``, its number of samples over
    all processes, and ``loss_weight``: the mean loss of the share times this weight, averaged over
    the processes, is the mean loss of the batch. A process without a sample in the last batch gets
    one of weight 0 if the loader shuffles, so that all take as many steps; else it gets no batch.
    ``len(loader)`` is the number of batches over all processes.

    Args:
        dataset: The dataset.
        batch_size: Samples in a batch, over all processes; the last batch may be smaller. Not used
            with a ``batch_sampler``. (default: 100)
        shuffle: Whether to visit the samples in a new random order every epoch. (default: False)
        seed: Seed of the orders. (default: 0)
        half_life: See :class:`ShuffledSampler`. (default: None)
        num_replicas: Number of processes. (default: 1)
        rank: Number of this process, from 0. (default: 0)
        build: Builds a batch from sample numbers in one process, such as
            :class:`~pyg_srgnn.data.fixed.FixedBatches`. (default: ``dataset.batch``)
        augmentation: Leaves clicks out of the samples at random. (default: None)
        **kwargs: Further arguments of ``torch.utils.data.DataLoader``; ``collate_fn`` is not used.

    Raises:
        ValueError: If ``rank`` is not one of ``num_replicas`` processes, or the dataset is of
            another kind.
    """

    def __init__(
        self,
        dataset: SessionDataset,
        batch_size: int = 100,
        shuffle: bool = False,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        half_life: float | None = None,
        build: Callable[[list[int]], Any] | None = None,
        augmentation: Augmentation | None = None,
        **kwargs: Any,
    ) -> None:
        with checking(self) as check:
            fits = augmentation is None or dataset.transform is None
            expected = "None with a dataset's transform, which is given whole sessions"
            check.that(fits, "augmentation", expected, augmentation)
            check.whole("rank", rank, 0, num_replicas - 1)
            expected = "a SessionDataset; a part of one is dataset[indices]"
            check.that(isinstance(dataset, SessionDataset), "dataset", expected, dataset)
        if kwargs.get("batch_sampler") is not None:
            batch_size = 1  # which torch takes for one that was not given
        kwargs.pop("collate_fn", None)
        # The loader samples numbers, of which the dataset builds a batch at once.
        numbers: Any = range(len(dataset))
        if shuffle and kwargs.get("sampler") is None:
            kwargs["sampler"] = ShuffledSampler(numbers, seed, half_life)
        # Torch's loader draws a seed when it starts, which must not change the model's draws.
        kwargs.setdefault("generator", torch.Generator().manual_seed(seed))
        self.source = dataset
        self.whole = num_replicas == 1 and kwargs.get("sampler") is None
        """Whether this process visits every sample of the dataset."""
        batch = dataset.batch
        if augmentation is not None:
            batch = partial(dataset.batch, augmentation=augmentation)
        collate = build or batch
        if num_replicas > 1:
            collate = _Share(batch, num_replicas, rank, shuffle)
        super().__init__(numbers, batch_size, collate_fn=collate, **kwargs)

    def __iter__(self) -> Any:
        """The batches, or the shares of this process."""
        return (batch for batch in super().__iter__() if batch is not None)


class _Share:
    """Builds the share of a process from the numbers of a batch."""

    def __init__(
        self, batch: Callable[[list[int]], Batch], num_replicas: int, rank: int, padded: bool
    ) -> None:
        self.batch = batch
        self.num_replicas = num_replicas
        self.rank = rank
        self.padded = padded

    def __call__(self, numbers: list[int]) -> Batch | None:
        """This process's share; None where it is left without a sample."""
        share = numbers[self.rank :: self.num_replicas]
        filled = share or numbers[: int(self.padded)]
        if not filled:
            return None
        batch = self.batch(filled)
        batch.global_size = len(numbers)
        batch.loss_weight = self.num_replicas * len(share) / len(numbers)
        return batch
