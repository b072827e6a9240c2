"""Metrics of what is recommended, beyond whether the target is in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad
from torchmetrics import Metric

from pyg_srgnn.functional.metrics import BEYOND, KS, hit_rate
from pyg_srgnn.utils.arguments import checking

_HEAD = 0.8  # share of the training clicks that the items of the head make together


class BeyondMetrics(Metric):
    r"""Novelty, diversity, concentration and popularity of the lists of the k best items.

    Let :math:`L` be a list of the k best items, :math:`c_i` an item's clicks in training,
    :math:`t` a row's target; means are over all rows.

    - ``novelty``: the mean self-information :math:`-\log_2 (c_i / \sum_j c_j)` of the recommended
      items, in bits; an item without clicks counts as if it had one (`Zhou et al., 2010
      <https://doi.org/10.1073/pnas.1000488107>`_; Vargas and Castells, 2011).
    - ``diversity``: 1 less the mean cosine similarity over the pairs of items of a list, from 0 to
      2; an item without a vector is similar to none (`Ziegler et al., 2005
      <https://doi.org/10.1145/1060745.1060754>`_).
    - ``gini``: the Gini coefficient :math:`\sum_i (2 i - V - 1) n_i / (V \sum_i n_i)` of how often
      each item is recommended, :math:`n_1 \le \dots \le n_V`: 0 where all are equally often, near 1
      where a few are in every list (Fleder and Hosanagar, 2009).
    - ``long_tail``: the share of the recommended items that are no *head* items, the most clicked
      ones that make 80 % of the training clicks together (`Abdollahpouri et al., 2019
      <https://arxiv.org/abs/1901.07555>`_).
    - ``popularity_bias``: how many more training clicks a recommended item has than a target, in
      the mean of each: :math:`\bar c_L / \bar c_t - 1` (`Abdollahpouri et al., 2019
      <https://arxiv.org/abs/1907.13286>`_, with the test clicks as the users' profiles). None
      where no target has a click.
    - ``serendipity``: the share of the rows whose target is in the list, but not among the k most
      clicked items, which anybody could have recommended (`Ge et al., 2010
      <https://doi.org/10.1145/1864708.1864761>`_).

    Only counts are kept, no lists: memory is that of the catalogue, not of the rows.

    Args:
        clicks: Clicks of every item in the training sessions in use [V].
        names: Which of them to compute; see :data:`pyg_srgnn.functional.metrics.BEYOND`.
        vectors: A vector of each of the first items [S, D] for the ``diversity``, S <= V.
            (default: None)
        ks: The cut-offs. (default: 5, 10, 20)

    Raises:
        ValueError: If a name is unknown, or there are no vectors for the diversity.
    """

    full_state_update = False

    counts: Tensor
    diversity: Tensor
    serendipity: Tensor
    target_clicks: Tensor
    rows: Tensor
    clicks: Tensor
    place: Tensor
    vectors: Tensor

    def __init__(
        self,
        clicks: Tensor,
        names: Collection[str],
        vectors: Tensor | None = None,
        ks: Sequence[int] = KS,
    ) -> None:
        super().__init__()
        with checking(self) as check:
            check.list_of("names", list(names), BEYOND)
            if "diversity" in names:
                check.that(vectors is not None, "vectors", "given for the diversity", vectors)
        self.names, self.ks = list(names), sorted(ks)
        num_items = clicks.numel()
        order = clicks.argsort(stable=True, descending=True)
        place = torch.empty_like(order).scatter_(0, order, torch.arange(1, num_items + 1))
        self.register_buffer("clicks", clicks.double(), persistent=False)
        self.register_buffer("place", place, persistent=False)
        if "diversity" in names and vectors is not None:
            unit = normalize(vectors.detach().cpu().double(), dim=1)
            missing = num_items - len(unit)
            self.register_buffer("vectors", pad(unit, (0, 0, 0, missing)), persistent=False)

        def add(name: str, *shape: int, dtype: torch.dtype = torch.float64) -> None:
            self.add_state(name, torch.zeros(shape, dtype=dtype), dist_reduce_fx="sum")

        add("counts", len(self.ks), num_items, dtype=torch.int64)
        add("diversity", len(self.ks))
        add("serendipity", len(self.ks))
        add("target_clicks")
        add("rows", dtype=torch.int64)

    def update(self, best: Tensor, rank: Tensor, target: Tensor) -> None:
        """Add rows: their best items [B, K], K the greatest cut-off or V, ranks and targets [B]."""
        num_items = self.clicks.numel()
        ends = [min(k, best.size(1)) for k in self.ks]
        parts = [best[:, start:end] for start, end in pairwise([0, *ends])]
        counts = [torch.bincount(part.flatten(), minlength=num_items) for part in parts]
        self.counts += torch.stack(counts).cumsum(0)
        for i, k in enumerate(self.ks):
            self.serendipity[i] += (hit_rate(rank, k) * (self.place[target] > k)).sum()
        if "diversity" in self.names:
            self.diversity += self._diversity(best, ends)
        self.target_clicks += self.clicks[target].sum()
        self.rows += target.numel()

    def _diversity(self, best: Tensor, ends: Sequence[int]) -> Tensor:
        """Sums over the rows of the diversity of the lists, at every cut-off."""
        # Products of all pairs are those of the sum with itself, less those of each with itself.
        vectors = self.vectors[best]
        sums = vectors.cumsum(1).square().sum(2) - vectors.square().sum(2).cumsum(1)
        sizes = torch.arange(1, best.size(1) + 1, device=best.device)
        mean = sums / (sizes * (sizes - 1)).clamp(min=1)
        diverse = (1 - mean).sum(0)
        diverse[0] = 0  # of a list of one
        return diverse[[end - 1 for end in ends]]

    def compute(self) -> dict[str, float]:
        """The metrics, ``novelty@5`` and so on: bits of the novelty, fractions of the others."""
        clicks, total = self.clicks, self.clicks.sum().clamp(min=1)
        places = self.counts.sum(1).clamp(min=1)  # recommended, with repetition

        def mean(values: Tensor) -> Tensor:
            return self.counts.double() @ values / places

        rows = self.rows.clamp(min=1)
        found: dict[str, Callable[[], Tensor]] = {
            "novelty": lambda: mean(-(clicks.clamp(min=1) / total).log2()),
            "diversity": lambda: self.diversity / rows,
            "gini": self._gini,
            "long_tail": lambda: mean(self._tail()),
            "popularity_bias": lambda: mean(clicks) / (self.target_clicks / rows) - 1,
            "serendipity": lambda: self.serendipity / rows,
        }
        result: dict[str, float] = {}
        for name in self.names:
            if name != "popularity_bias" or self.target_clicks > 0:
                values = zip(self.ks, found[name]().tolist(), strict=True)
                result |= {f"{name}@{k}": value for k, value in values}
        return result

    def _gini(self) -> Tensor:
        number = self.clicks.numel()
        weights = 2.0 * torch.arange(1, number + 1, device=self.counts.device) - number - 1
        ordered = self.counts.sort(dim=1).values.double()
        return ordered @ weights.double() / (number * self.counts.sum(1).clamp(min=1))

    def _tail(self) -> Tensor:
        """1 of every item of the long tail, 0 of the head's [V]."""
        order = self.place.argsort()
        ordered = self.clicks[order]
        before = ordered.cumsum(0) - ordered
        tail = torch.empty_like(ordered)
        tail[order] = (before >= _HEAD * ordered.sum()).double()
        return tail
