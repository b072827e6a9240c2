"""Ranking metrics of warm, rare and cold targets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from pyg_srgnn.functional.metrics import KS, METRICS
from pyg_srgnn.functional.targets import GROUPS


class TargetMetrics(Metric):
    """Means over the rows of each of :data:`~pyg_srgnn.functional.targets.GROUPS`.

    The metrics are those that are functions of a target's rank (HR@k, MRR@k, NDCG@k), the ranks
    those that :class:`~pyg_srgnn.evaluation.metrics.RankingMetrics` takes. The mean over all rows
    is that of the warm and of the cold ones, weighted by their numbers.

    Args:
        clicks: Clicks of every item in the training sessions in use [V].
        ks: The cut-offs. (default: 5, 10, 20)

    Example:
        >>> metrics = TargetMetrics(clicks=torch.tensor([30, 2, 0]))
        >>> metrics.update(rank=torch.tensor([1, 40, 2]), target=torch.tensor([0, 1, 1]))
        >>> metrics.compute()["rare"]["mrr@20"]
        0.25
        >>> metrics.compute()["cold"]
        {'samples': 0}
    """

    full_state_update = False

    members: Tensor
    sums: Tensor
    rows: Tensor

    def __init__(self, clicks: Tensor, ks: Sequence[int] = KS) -> None:
        super().__init__()
        self.functions = {
            f"{name}@{k}": (of.value, k)
            for name, of in METRICS.items()
            for k in ks
            if of.value is not None
        }
        members = torch.stack([group(clicks) for group in GROUPS.values()])  # [G, V]
        self.register_buffer("members", members, persistent=False)
        sums = torch.zeros(len(GROUPS), len(self.functions), dtype=torch.float64)
        self.add_state("sums", sums, dist_reduce_fx="sum")
        rows = torch.zeros(len(GROUPS), dtype=torch.int64)
        self.add_state("rows", rows, dist_reduce_fx="sum")

    def update(self, rank: Tensor, target: Tensor) -> None:
        """Add rows: ranks of the targets [B], and the targets [B]."""
        members = self.members[:, target]
        values = [value(rank, k) for value, k in self.functions.values()]
        self.sums += members.double() @ torch.stack(values, dim=1)
        self.rows += members.sum(1)

    def compute(self) -> dict[str, dict[str, float]]:
        """The means of each group as fractions, and its number of ``samples``.

        A group without samples has no metrics.
        """
        result: dict[str, dict[str, float]] = {}
        for name, rows, sums in zip(GROUPS, self.rows.tolist(), self.sums.tolist(), strict=True):
            result[name] = {"samples": rows}
            if rows:
                means = (total / rows for total in sums)
                result[name] |= dict(zip(self.functions, means, strict=True))
        return result
