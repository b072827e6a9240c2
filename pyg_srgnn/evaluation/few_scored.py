"""Ranks by the scores of a few items, where all others are in one order for every session."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_srgnn.baselines.popularity import Found
from pyg_srgnn.evaluation.metrics import Ranked, place


class FewScored:
    """Gives what :meth:`Ranked.of` gives of the scores of all items, without making them.

    Args:
        popularity: Score of every item that is not found, each another one [V].
        ties: See :func:`pyg_srgnn.evaluation.metrics.ranks`.
        k: How many of the best items; capped at V.
    """

    def __init__(self, popularity: Tensor, ties: str, k: int) -> None:
        self.popularity = popularity
        self.ties = ties
        self.k = min(k, popularity.numel())
        order = popularity.argsort(descending=True)
        self.places = torch.empty_like(order)
        self.places[order] = torch.arange(order.numel(), device=order.device)
        self.popular = order[: 2 * self.k]  # as many as k found items leave k of

    def __call__(self, found: Found, target: Tensor) -> Ranked:
        """Rank targets [B] among what was found for each session, and all other items behind it.

        Args:
            found: What a baseline found; all of it scores above any popularity.
            target: Index of the target [B].
        """
        session, item, score = found
        is_target = item == target[session]
        of_target = self.popularity[target].index_put((session[is_target],), score[is_target])

        def number(those: Tensor) -> Tensor:
            return torch.zeros_like(target).index_add_(0, session, those.long())

        place_of_target = self.places[target]
        behind_found = place_of_target + 1 - number(self.places[item] < place_of_target[session])
        behind_found.masked_fill_(number(is_target) > 0, 0)
        equal = (number(score == of_target[session]) - 1).clamp(min=0)
        last = number(score >= of_target[session]) + behind_found
        return Ranked(place(last, equal, self.ties), equal > 0, self._best(found, target.numel()))

    def _best(self, found: Found, rows: int) -> Tensor:
        """The k best of each row, of the items found and the most popular ones [B, k]."""
        session, item, score = found
        each = torch.bincount(session, minlength=rows)
        width = int(each.max())
        column = torch.arange(item.numel(), device=item.device) - (each.cumsum(0) - each)[session]
        items = self.popular.new_zeros(rows, width + self.popular.numel())
        scores = self.popularity.new_full(items.shape, -torch.inf)
        items[session, column], scores[session, column] = item, score
        items[:, width:], scores[:, width:] = self.popular, self.popularity[self.popular]
        # A popular item that was found stands there already.
        at = self.places[item]
        twice = at < self.popular.numel()
        scores[session[twice], width + at[twice]] = -torch.inf
        return items.gather(1, scores.topk(self.k).indices)
