"""One evaluation for everything that scores items: models, baselines, the true distribution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_srgnn.data.files import written_aside
from pyg_srgnn.data.loader import SessionLoader
from pyg_srgnn.metrics import RankingMetrics, ranks

if TYPE_CHECKING:
    from pyg_srgnn.datasets.base import SessionDataset

_SCORES = 2**26  # held at once: 256 MiB in float32
_ROUNDING = 64  # units in the last place that a score may be off when its batch is another one


def rows_at_once(num_items: int, wanted: int) -> int:
    """Samples that an evaluation scores together: as many as wanted, fewer of large catalogues."""
    return max(1, min(wanted, _SCORES // num_items))


class Scorer(Protocol):
    """Whatever scores all items for a batch of sessions."""

    def scores(self, data: Data) -> Tensor:
        """Scores [B, V]."""
        ...


class Rows(NamedTuple):
    """What became of every sample of an evaluation, in the order of the loader."""

    rank: Tensor
    """Rank of the target [n], 1 for the best."""
    length: Tensor
    """Clicks of the session before it, int64 [n]."""
    repeat: Tensor
    """Whether the target is one of those clicks, bool [n]."""

    def save(self, path: str | Path) -> None:
        """Write them as a compressed ``.npz`` of three arrays, whole or not at all."""
        arrays = {name: tensor.numpy() for name, tensor in self._asdict().items()}
        if arrays["rank"].dtype.kind == "i":  # a target without a score ranks behind everything
            arrays["rank"] = arrays["rank"].clip(max=np.iinfo(np.int32).max).astype(np.int32)
        arrays["length"] = arrays["length"].astype(np.int32)
        with written_aside(path) as aside, aside.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Rows:
        """Read what :meth:`save` wrote; nothing in the file is executed.

        Raises:
            ValueError: If the file is another one.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                rows = cls(*(torch.from_numpy(stored[name]) for name in cls._fields))
        except (ValueError, KeyError, OSError, EOFError) as error:
            raise ValueError(f"{path} holds no ranks of an evaluation ({error})") from error
        if not rows.rank.shape == rows.length.shape == rows.repeat.shape:
            raise ValueError(f"{path} holds ranks, lengths and repeats of different samples")
        return rows


def evaluate(
    scorer: Scorer,
    loader: SessionLoader,
    num_items: int,
    ties: str = "conservative",
    device: torch.device | str = "cpu",
    description: str | None = None,
) -> dict[str, float]:
    """Rank every sample's target among all items.

    Args:
        scorer: What scores the items, on ``device`` and in evaluation mode.
        loader: The samples; each is counted once.
        num_items: Number of items in the catalogue.
        ties: See :func:`pyg_srgnn.metrics.ranks`. (default: ``"conservative"``)
        device: Where to score. (default: ``"cpu"``)
        description: Shown beside the progress bar. (default: no bar)

    Returns:
        The metrics of :class:`pyg_srgnn.metrics.RankingMetrics`, as fractions from 0 to 1.

    Raises:
        ValueError: If there is no sample.
    """
    return evaluate_rows(scorer, loader, num_items, ties, device, description)[0]


@torch.inference_mode()
def evaluate_rows(
    scorer: Scorer,
    loader: SessionLoader,
    num_items: int,
    ties: str = "conservative",
    device: torch.device | str = "cpu",
    description: str | None = None,
) -> tuple[dict[str, float], Rows]:
    """The metrics of :func:`evaluate`, and what became of every sample; the arguments are its."""
    if len(loader) == 0:
        raise ValueError("there is no sample to evaluate")
    metrics = RankingMetrics(num_items, ties=ties).to(device)
    rows = []
    bar = tqdm(
        loader, desc=description, disable=None if description else True, delay=2, leave=False
    )
    for batch in bar:
        batch = batch.to(device)
        scores = scorer.scores(batch)
        rank = ranks(scores, batch.y, ties)
        metrics.update(scores, batch.y, rank)
        rows.append(Rows(rank.cpu(), *(part.cpu() for part in _kind(batch))))
    return metrics.compute(), Rows(*(torch.cat(part) for part in zip(*rows, strict=True)))


def _kind(batch: Data) -> tuple[Tensor, Tensor]:
    """Clicks of every session [B], and whether its target is one of them [B]."""
    length = torch.bincount(batch.batch[batch.alias_index], minlength=batch.num_graphs)
    hits = (batch.x == batch.y[batch.batch]).long()
    return length, torch.bincount(batch.batch, hits, minlength=batch.num_graphs) > 0


@torch.inference_mode()
def assert_row_independent(
    scorer: Scorer,
    dataset: SessionDataset,
    batch_size: int = 100,
    max_rows: int = 2000,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> None:
    """Make sure that no sample's rank depends on which samples are scored beside it.

    A test set in its file's order holds a session's prefixes one after another, the longest first:
    the row before a row ends with its target. A model that mixes the rows of a batch can read the
    answer there. So the samples are ranked in their order, in batches of another size, one by one,
    shuffled, and beside copies of themselves; all must give the same ranks, but for items whose
    scores differ from the target's by no more than rounding.

    Args:
        scorer: What scores the items, on ``device`` and in evaluation mode.
        dataset: The samples, such as a test set.
        batch_size: Samples a batch. (default: 100)
        max_rows: Samples looked at, the first ones, so that neighbours stay neighbours.
            (default: 2000)
        seed: Seed of the shuffled order. (default: 0)
        device: Where to score. (default: ``"cpu"``)

    Raises:
        AssertionError: If ranks differ; names the first samples, and their ranks.
    """
    numbers = torch.arange(min(len(dataset), max_rows))
    order = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(seed))
    ways = {
        "in batches of another size": torch.split(numbers, max(2, batch_size // 3)),
        "one by one": torch.split(numbers, 1),
        "shuffled": torch.split(order, batch_size),
        "beside copies of themselves": torch.split(numbers.repeat_interleave(2), batch_size),
    }
    least, most = _rank_bounds(scorer, dataset, torch.split(numbers, batch_size), device)
    for way, batches in ways.items():
        low, high = _rank_bounds(scorer, dataset, batches, device)
        apart = ((high < least) | (low > most)).nonzero().flatten().tolist()
        if apart:
            shown = ", ".join(f"{i}: {int(most[i])} and {int(high[i])}" for i in apart[:5])
            raise AssertionError(
                f"{len(apart)} of {len(numbers)} samples of {dataset} rank otherwise {way} than in "
                f"their order in batches of {batch_size}, so their scores depend on the rows "
                f"beside them (sample: rank and rank: {shown})"
            )


def _rank_bounds(
    scorer: Scorer, dataset: SessionDataset, batches: Sequence[Tensor], device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Least and greatest rank of each sample's target, were scores off by rounding [n] both."""
    count = 1 + max(int(numbers.max()) for numbers in batches)
    least = torch.full((count,), torch.iinfo(torch.int64).max)
    most = torch.zeros(count, dtype=torch.int64)
    for numbers in batches:
        batch = dataset.batch(numbers).to(device)
        scores = scorer.scores(batch)
        of_target = scores.gather(1, batch.y.unsqueeze(1))
        finite = scores.masked_fill(scores.isinf(), 0)
        width = _ROUNDING * torch.finfo(scores.dtype).eps * finite.abs().amax(dim=1, keepdim=True)
        low = 1 + (scores > of_target + width).sum(dim=1)
        high = (scores >= of_target - width).sum(dim=1)
        least.scatter_reduce_(0, numbers, low.cpu(), "amin")
        most.scatter_reduce_(0, numbers, high.cpu(), "amax")
    return least, most
