"""Ranking metrics, all from one thing: the rank of the target among all items.

Ties decide what a rank means when scores are equal. ``"conservative"`` (the default, as the
authors of GRU4Rec report) puts every item that ties with the target ahead of it, so that a model
which gives all items one score hits nothing; ``"standard"`` puts none ahead, and such a model
would hit always; ``"median"`` puts half of them ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from pyg_srgnn.functional.metrics import KS, METRICS, TIES, title
from pyg_srgnn.functional.topk import best_of_scores
from pyg_srgnn.utils.arguments import checking

_BLOCK = 2**19  # scores compared at once


def ranks(scores: Tensor, target: Tensor, ties: str = "conservative") -> Tensor:
    """Rank of each row's target among all items, 1 for the best.

    Args:
        scores: Scores of all items [B, V]; any real numbers.
        target: Index of the target [B].
        ties: ``"conservative"``, ``"median"`` or ``"standard"``. (default: ``"conservative"``)

    Returns:
        Ranks [B], int64 (float64 for ``"median"``). A target whose score is not a number
        ranks beyond every k.

    Raises:
        ValueError: If ``ties`` is unknown.
    """
    with checking("ranks") as check:
        check.one_of("ties", ties, TIES)
    of_target = scores.gather(1, target.unsqueeze(1))
    # Counting what is *behind* leaves a score that is no number ahead of the target; a target
    # without one is behind every k, even where k is the whole catalogue.
    last = scores.size(1) - _count(torch.lt, scores, of_target)
    last.masked_fill_(of_target.squeeze(1).isnan(), torch.iinfo(torch.int64).max)
    if ties == "conservative":
        return last
    tied = (_count(torch.eq, scores, of_target) - 1).clamp(min=0)
    return last - tied if ties == "standard" else last - tied.double() / 2


def _count(holds: Callable[[Tensor, Tensor], Tensor], scores: Tensor, of_target: Tensor) -> Tensor:
    """Number of each row's scores for which the relation to the target's holds, int64 [B]."""
    # A CPU's cache holds the truth values of some rows at a time; int32 sums of them are several
    # times as fast as the default's int64.
    rows = max(1, _BLOCK // scores.size(1) if scores.is_cpu else scores.size(0))
    blocks = zip(torch.split(scores, rows), torch.split(of_target, rows), strict=True)
    return torch.cat([holds(*block).sum(1, dtype=torch.int32) for block in blocks]).long()


def saturated(num_items: int) -> str | None:
    """A message that names the hit rates that are always 1 in a small catalogue, or None.

    Args:
        num_items: Number of items in the catalogue.
    """
    full = ", ".join(title(f"hr@{k}") for k in KS if k >= num_items)
    if not full:
        return None
    return f"the catalogue has {num_items} items: {full} is 100 whatever is recommended"


class RankingMetrics(Metric):
    """Means over all rows of the metrics in :data:`pyg_srgnn.functional.metrics.METRICS`.

    Beside those that are functions of a target's rank (HR@k, MRR@k, NDCG@k) there are coverage@k,
    the share of the catalogue that is among at least one row's k best, and ``tied``, the share of
    the rows whose target ties with another item. Nothing depends on how rows are cut into batches,
    nor on their order.

    Args:
        num_items: Number of items in the catalogue.
        ks: The cut-offs. (default: 5, 10, 20)
        ties: See :func:`ranks`. (default: ``"conservative"``)

    Raises:
        ValueError: If a cut-off is less than 1, or ``ties`` is unknown.
    """

    full_state_update = False

    sums: Tensor
    rows: Tensor
    tied: Tensor
    recommended: Tensor

    def __init__(self, num_items: int, ks: Sequence[int] = KS, ties: str = "conservative") -> None:
        super().__init__()
        with checking(self) as check:
            check.that(bool(ks) and min(ks) >= 1, "ks", "whole numbers >= 1", list(ks))
            check.one_of("ties", ties, TIES)
        self.ks = tuple(ks)
        self.ties = ties
        self.num_items = num_items
        self.functions = {name: of.value for name, of in METRICS.items() if of.value is not None}
        sums = torch.zeros(len(self.functions), len(self.ks), dtype=torch.float64)
        self.add_state("sums", sums, dist_reduce_fx="sum")
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("tied", torch.tensor(0), dist_reduce_fx="sum")
        recommended = torch.zeros(len(self.ks), num_items, dtype=torch.bool)
        self.add_state("recommended", recommended, dist_reduce_fx="max")

    def update(
        self,
        scores: Tensor,
        target: Tensor,
        rank: Tensor | None = None,
        best: Tensor | None = None,
    ) -> None:
        """Add rows: scores of all items [B, V], targets [B], and what is known already.

        That is their ranks [B], and their best items, as many as the greatest cut-off [B, K].
        """
        if rank is None:
            rank = ranks(scores, target, self.ties)
        if best is None:
            best = self.best(scores)
        for i, k in enumerate(self.ks):
            for sums, value in zip(self.sums, self.functions.values(), strict=True):
                sums[i] += value(rank, k).sum()
            self.recommended[i, best[:, :k]] = True
        self.rows += target.numel()
        of_target = scores.gather(1, target.unsqueeze(1))
        self.tied += (_count(torch.eq, scores, of_target) > 1).sum()

    def best(self, scores: Tensor) -> Tensor:
        """The best items of each row, as many as the greatest cut-off [B, K]."""
        return best_of_scores(scores, min(max(self.ks), self.num_items))[1]

    def compute(self) -> dict[str, float]:
        """The means, as fractions from 0 to 1: ``hr@5`` … ``coverage@20``, ``tied``."""
        rows = max(int(self.rows), 1)
        result: dict[str, float] = {}
        for name, sums in zip(self.functions, self.sums.tolist(), strict=True):
            result |= {f"{name}@{k}": total / rows for k, total in zip(self.ks, sums, strict=True)}
        for k, recommended in zip(self.ks, self.recommended, strict=True):
            result[f"coverage@{k}"] = float(recommended.double().mean())
        result["tied"] = int(self.tied) / rows
        return result
