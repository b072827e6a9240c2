"""Evaluates scorers of items: models, baselines, the true distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Data

from pyg_srgnn.baselines import Popularity
from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.datasets.loader import SessionLoader
from pyg_srgnn.evaluation.beyond import BeyondMetrics
from pyg_srgnn.evaluation.few_scored import FewScored
from pyg_srgnn.evaluation.metrics import Ranked, RankingMetrics
from pyg_srgnn.evaluation.targets import TargetMetrics
from pyg_srgnn.utils.progress import Bar

_ROUNDING = 64  # units in the last place by which a score may differ in another batch


class Scorer(Protocol):
    """Scores all items for a batch of sessions."""

    def scores(self, data: Data) -> Tensor:
        """Scores [B, V]."""
        ...


def evaluate(
    scorer: Scorer,
    loader: DataLoader[Any],
    num_items: int,
    ties: str = "conservative",
    device: torch.device | str = "cpu",
    description: str | None = None,
) -> dict[str, float]:
    """Rank every sample's target among all items.

    Args:
        scorer: The scorer, on ``device`` and in evaluation mode.
        loader: The samples of a dataset of sessions: a ``SessionLoader``, or PyG's ``DataLoader``.
        num_items: Number of items in the catalogue.
        ties: See :func:`pyg_srgnn.evaluation.metrics.ranks`. (default: ``"conservative"``)
        device: Where to score. (default: ``"cpu"``)
        description: Shown beside the progress bar. (default: no bar)

    Returns:
        The metrics of :class:`~pyg_srgnn.evaluation.metrics.RankingMetrics`, as fractions.

    Raises:
        TypeError: If the loader is of another dataset.
        ValueError: If there is no sample.
    """
    return evaluate_rows(scorer, loader, num_items, ties, device, description)[0]


@torch.inference_mode()
def evaluate_rows(
    scorer: Scorer,
    loader: DataLoader[Any],
    num_items: int,
    ties: str = "conservative",
    device: torch.device | str = "cpu",
    description: str | None = None,
    by_target: TargetMetrics | None = None,
    beyond: BeyondMetrics | None = None,
) -> tuple[dict[str, float], Tensor]:
    """The metrics of :func:`evaluate`, and the rank of every sample's target.

    Args:
        scorer: As in :func:`evaluate`.
        loader: As in :func:`evaluate`.
        num_items: As in :func:`evaluate`.
        ties: As in :func:`evaluate`. (default: ``"conservative"``)
        device: As in :func:`evaluate`. (default: ``"cpu"``)
        description: As in :func:`evaluate`. (default: no bar)
        by_target: Updated with every rank, on ``device``. (default: None)
        beyond: Updated with every list of the best items, on ``device``; its metrics are among the
            result. (default: None)

    Returns:
        The metrics, and the ranks [n] in the order of the loader's dataset; 0 for samples that the
        loader leaves out, such as those of other processes.

    Raises:
        TypeError: If the loader is of another dataset.
        ValueError: If there is no sample.
    """
    dataset = _sessions_of(loader)
    if len(loader) == 0:
        raise ValueError("there is no sample to evaluate")
    metrics = RankingMetrics(num_items, ties=ties).to(device)
    kind = torch.float64 if ties == "median" else torch.int64  # as ranks() gives them
    of_row = torch.zeros(dataset.sessions.num_samples, dtype=kind)
    rank = _ranker(scorer, ties, max(metrics.ks))
    with Bar(description, len(loader), "batches") as bar:
        for batch in loader:
            row = batch.row
            batch = batch.to(device)
            ranked = rank(batch)
            metrics.update(ranked)
            if beyond is not None:
                beyond.update(ranked.best, ranked.rank, batch.y)
            if by_target is not None:
                by_target.update(ranked.rank, batch.y)
            of_row[row] = ranked.rank.cpu()
            bar.advance()
    chosen = dataset._indices  # None, or those of a subset in its order
    ordered = of_row if chosen is None else of_row[torch.tensor(chosen).long()]
    found = metrics.compute()
    return found if beyond is None else found | beyond.compute(), ordered


def _sessions_of(loader: DataLoader[Any]) -> SessionDataset:
    """The dataset that a loader's samples are of."""
    dataset = loader.source if isinstance(loader, SessionLoader) else loader.dataset
    if not isinstance(dataset, SessionDataset):
        raise TypeError(
            f"a loader of a SessionDataset is expected (got one of {type(dataset).__name__}); a "
            f"part of a dataset is dataset[indices]"
        )
    return dataset


def _ranker(scorer: Scorer, ties: str, k: int) -> Callable[[Data], Ranked]:
    """What ranks the targets of a batch."""
    if isinstance(scorer, Popularity):
        few = FewScored(scorer.score, ties, k)
        return lambda batch: few(scorer.found(batch), batch.y)
    return lambda batch: Ranked.of(scorer.scores(batch), batch.y, ties, k)


@torch.inference_mode()
def assert_row_independent(
    scorer: Scorer,
    dataset: SessionDataset,
    batch_size: int = 100,
    max_rows: int = 2000,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> None:
    """Check that the rank of a sample does not depend on the other samples of its batch.

    The prefixes of a session may follow one another in a test set, so that a neighbouring row ends
    with the target of a row: a model that mixes rows can read the answer there. The samples are
    ranked in their order, in batches of another size, one by one, shuffled, and beside copies of
    themselves. All ranks must be equal, except for items whose scores differ from the target's by
    no more than rounding.

    Args:
        scorer: The scorer, on ``device`` and in evaluation mode.
        dataset: The samples, such as a test set.
        batch_size: Samples in a batch. (default: 100)
        max_rows: Number of samples to check, from the first. (default: 2000)
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
    """Least and greatest rank of each target [n] if scores were off by rounding."""
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
