"""The fast way from a dataset of sessions to batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, DistributedSampler

if TYPE_CHECKING:
    from pyg_srgnn.datasets.base import SessionDataset


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
            # One replica: torch's sampler whose order is a function of (seed, epoch).
            kwargs["sampler"] = DistributedSampler(numbers, num_replicas=1, rank=0, seed=seed)
        super().__init__(numbers, batch_size, collate_fn=dataset.batch, **kwargs)
