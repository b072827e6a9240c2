"""One evaluation for everything that scores items: models, baselines, the true distribution."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_srgnn.data.loader import SessionLoader
from pyg_srgnn.metrics import RankingMetrics

_SCORES = 2**26  # held at once: 256 MiB in float32


def rows_at_once(num_items: int, wanted: int) -> int:
    """Samples that an evaluation scores together: as many as wanted, fewer of large catalogues."""
    return max(1, min(wanted, _SCORES // num_items))


class Scorer(Protocol):
    """Whatever scores all items for a batch of sessions."""

    def scores(self, data: Data) -> Tensor:
        """Scores [B, V]."""
        ...


@torch.inference_mode()
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
    if len(loader) == 0:
        raise ValueError("there is no sample to evaluate")
    metrics = RankingMetrics(num_items, ties=ties).to(device)
    bar = tqdm(
        loader, desc=description, disable=None if description else True, delay=2, leave=False
    )
    for batch in bar:
        batch = batch.to(device)
        metrics.update(scorer.scores(batch), batch.y)
    return metrics.compute()
