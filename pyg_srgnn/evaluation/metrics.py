"""Ranking metrics, all from one thing: the rank of the target among all items.

Ties decide what a rank means when scores are equal. ``"conservative"`` (the default, as the
authors of GRU4Rec report) puts every item that ties with the target ahead of it, so that a model
which gives all items one score hits nothing; ``"standard"`` puts none ahead, and such a model
would hit always; ``"median"`` puts half of them ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torchmetrics import Metric

from pyg_srgnn.functional.metrics import KS, METRICS, TIES, title
from pyg_srgnn.functional.topk import best_of_scores
from pyg_srgnn.utils.arguments import checking

_BLOCK = 2**19  # scores compared at once
_COUNTED = 2**24  # items up to which float32 counts them exactly


class Ranked(NamedTuple):
    """What the metrics are made of, for some rows."""

    rank: Tensor
    """Rank of each row's target, see :func:`ranks` [B]."""
    tied: Tensor
    """Whether another item has the target's score, bool [B]."""
    best: Tensor
    """The k best items of each row, best first; the order of equal ones is open [B, k]."""

    @classmethod
    def of(cls, scores: Tensor, target: Tensor, ties: str, k: int) -> Ranked:
        """Rank by the scores of all items [B, V]; k is capped at V."""
        of_target = scores.gather(1, target.unsqueeze(1))
        equal = _count(torch.eq, scores, of_target)
        rank = place(_last(scores, of_target), (equal - 1).clamp(min=0), ties)
        return cls(rank, equal > 1, best_of_scores(scores, min(k, scores.size(1)))[1])


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
    last = _last(scores, of_target)
    if ties == "conservative":
        return last
    return place(last, (_count(torch.eq, scores, of_target) - 1).clamp(min=0), ties)


def place(last: Tensor, others: Tensor, ties: str) -> Tensor:
    """Rank among equals.

    Args:
        last: Rank behind all that tie with the target [B].
        others: Number of the other items that tie with it [B].
        ties: See :func:`ranks`.
    """
    if ties == "conservative":
        return last
    return last - others if ties == "standard" else last - others.double() / 2


def _last(scores: Tensor, of_target: Tensor) -> Tensor:
    """Rank behind all that tie with the target."""
    # Counting what is *behind* leaves a score that is no number ahead of the target; a target
    # without one is behind every k, even where k is the whole catalogue.
    last = scores.size(1) - _count(torch.lt, scores, of_target)
    return last.masked_fill_(of_target.squeeze(1).isnan(), torch.iinfo(torch.int64).max)


def _count(holds: Callable[..., Tensor], scores: Tensor, of_target: Tensor) -> Tensor:
    """Number of each row's scores for which the relation to the target's holds, int64 [B]."""
    # A CPU's cache holds the truth values of some rows at a time. As numbers of the scores' type
    # they are written and added several times as fast as truth values are.
    rows = max(1, _BLOCK // scores.size(1) if scores.is_cpu else scores.size(0))
    blocks = zip(torch.split(scores, rows), torch.split(of_target, rows), strict=True)
    if scores.size(1) > _COUNTED or scores.dtype not in (torch.float32, torch.float64):
        return torch.cat([holds(*block).sum(1, dtype=torch.int32) for block in blocks]).long()
    held = torch.empty_like(scores[:rows], memory_format=torch.contiguous_format)
    return torch.cat([holds(*each, out=held[: len(each[0])]).sum(1) for each in blocks]).long()


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
        ValueError: If a cut-off is no whole number or less than 1, or ``ties`` is unknown.
    """

    full_state_update = False

    sums: Tensor
    rows: Tensor
    tied: Tensor
    recommended: Tensor

    def __init__(self, num_items: int, ks: Sequence[int] = KS, ties: str = "conservative") -> None:
        super().__init__()
        with checking(self) as check:
            fits = isinstance(ks, Sequence) and all(type(k) is int and k >= 1 for k in ks)
            check.that(fits and len(ks) > 0, "ks", "a list of whole numbers >= 1", ks)
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

    def update(self, scores: Tensor | Ranked, target: Tensor | None = None) -> None:
        """Add rows.

        Args:
            scores: Scores of all items [B, V]; or the rows as they are ranked already, with these
                :attr:`ties` and the greatest of these :attr:`ks`, without targets.
            target: Targets [B].

        Raises:
            ValueError: If scores or targets are no tensors of these shapes.
        """
        if isinstance(scores, Ranked):
            found = scores
        else:
            target = self._checked(scores, target)
            found = Ranked.of(scores, target, self.ties, max(self.ks))
        for i, k in enumerate(self.ks):
            for sums, value in zip(self.sums, self.functions.values(), strict=True):
                sums[i] += value(found.rank, k).sum()
            self.recommended[i, found.best[:, :k]] = True
        self.rows += found.rank.numel()
        self.tied += found.tied.sum()

    def _checked(self, scores: Any, target: Any) -> Tensor:
        """The targets, one for each row of scores."""
        rows = len(target) if isinstance(target, Tensor) and target.dim() == 1 else None
        fits = isinstance(scores, Tensor) and scores.dim() == 2
        fits = fits and scores.size(1) == self.num_items and rows in (None, len(scores))
        with checking(self) as check:
            check.that(rows is not None, "target", "a tensor [B]", _shape(target))
            check.that(fits, "scores", f"a tensor [B, {self.num_items}]", _shape(scores))
        return cast(Tensor, target)

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


def _shape(value: Any) -> list[int] | str:
    """The shape of a tensor, or the type of what is none."""
    return list(value.shape) if isinstance(value, Tensor) else type(value).__name__
