"""Finds the best items by session vectors, exactly also where some items are barred or raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.functional.offsets import Offsets
from pyg_srgnn.functional.topk import best_of_products
from pyg_srgnn.functional.wanted import Best, Wanted
from pyg_srgnn.inference.catalogue import Catalogue
from pyg_srgnn.inference.index import Index

_FEW = 20_000  # items: their products are taken as fast as others are searched
_MARGIN = 2  # times as many of the best as rules leave k of, if they bar the good as the bad
_APART = 4  # times: a search for so many more items than another one is not shared with it


class OffsetSearch:
    """Finds the items with the greatest sums of inner product and offset.

    Of few items that are left, all products are taken. Of many, the best are searched as they are
    without offsets, more than k of them: if none of the others can be better than the k-th that is
    found so, these are the best; else all products are taken. Of few items whose scores are raised,
    all products are taken besides. So an index, too, gives k items where as many are left.

    Args:
        catalogue: The items, or an index of them, which is approximate where many are left.
        offsets: What is added to each item's product.
    """

    def __init__(self, catalogue: Catalogue | Index, offsets: Offsets) -> None:
        self.catalogue = catalogue
        self.offsets = offsets
        self.few = offsets.count <= _FEW
        plain = type(catalogue) is Catalogue and catalogue.precision == "float32"
        self.takes_all = self.few or plain

    @cached_property
    def left(self) -> Tensor:
        """The vectors of the items that are left, if they are few [n, d]."""
        vectors = self.catalogue.vectors
        return vectors[self.offsets.items] if self.offsets.count < len(vectors) else vectors

    @cached_property
    def raised(self) -> Tensor:
        """The vectors of the items whose scores are raised, if they are few [n, d]."""
        return self.catalogue.vectors[self.offsets.raised]

    def width(self, k: int) -> int:
        """How many of the best items without offsets :meth:`best` begins with to find k."""
        if self.takes_all:
            return 0
        size = len(self.catalogue)
        return min(size, _MARGIN * k * size // self.offsets.count + k)

    def best(self, sessions: Tensor, k: int, without: Best | None = None) -> Best:
        """The k items with the greatest sums.

        Args:
            sessions: Session vectors, float32 [B, d].
            k: How many, from 1 to V.
            without: The best items without offsets, :meth:`width` of them; needed where that is
                not 0. (default: they are searched)

        Returns:
            Sums and items, best first, [B, k] both; a sum of minus infinity means no item.
        """
        vectors, offsets = self.catalogue.vectors, self.offsets
        if self.few:
            there = min(k, offsets.count)
            if there == 0:
                none = sessions.new_full((len(sessions), k), -torch.inf)
                return none, torch.zeros_like(none, dtype=torch.long)
            added = offsets.values[offsets.items]
            values, index = best_of_products(sessions, self.left, there, added)
            beyond = (0, k - there)
            return F.pad(values, beyond, value=-torch.inf), F.pad(offsets.items[index], beyond)
        if self.takes_all:
            return best_of_products(sessions, vectors, k, offsets.values)
        products, candidates = without or self.catalogue.best(sessions, self.width(k))
        added = offsets.values[candidates]
        bound, sums = products[:, -1] + offsets.greatest, products + added
        if 0 < len(offsets.raised) <= _FEW:
            bound = products[:, -1]
            sums.masked_fill_(added > 0, -torch.inf)
            there = min(k, len(offsets.raised))
            values = offsets.values[offsets.raised]
            lifted, index = best_of_products(sessions, self.raised, there, values)
            sums = torch.cat([sums, lifted], 1)
            candidates = torch.cat([candidates, offsets.raised[index]], 1)
        found = sums.topk(k)
        values, items = found.values, candidates.gather(1, found.indices)
        # None of the items that were not found has more than the bound.
        short = values[:, -1] < bound
        if short.any():
            exact = best_of_products(sessions[short], vectors, k, offsets.values)
            values[short], items[short] = exact
        return values, items


class _Plan(NamedTuple):
    """What is searched for some sessions of a batch."""

    rows: Tensor
    k: int
    search: OffsetSearch | None
    width: int  # items searched without offsets


_Group = list[tuple[int, _Plan]]
"""Plans by their numbers that one search serves, the narrowest first."""


def _groups(plans: Sequence[_Plan]) -> list[_Group]:
    """The plans that search without offsets, those of about as many items together."""
    groups: list[_Group] = []
    for number, plan in sorted(enumerate(plans), key=lambda each: each[1].width):
        if groups and plan.width <= _APART * groups[-1][0][1].width:
            groups[-1].append((number, plan))
        elif plan.width:
            groups.append([(number, plan)])
    return groups


class VectorSearch:
    """Finds the best items of sessions by their vectors, for each as its rules want them.

    What offsets need is made once for the same ones, and kept as long as they are.

    Args:
        catalogue: The vectors of the items that can be recommended, or an index of them.
        items: The item of each vector; None if they are the first ones.
    """

    def __init__(self, catalogue: Catalogue | Index, items: Tensor | None) -> None:
        self.catalogue = catalogue
        self.items = items
        self._searches: WeakKeyDictionary[Offsets, OffsetSearch] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[type[VectorSearch], tuple[Catalogue | Index, Tensor | None]]:
        """Copied and pickled without what was made for offsets."""
        return VectorSearch, (self.catalogue, self.items)

    def best(
        self, sessions: Tensor, own: Sequence[Sequence[int]], wanted: Sequence[Wanted]
    ) -> list[Best]:
        """The best items; searches for about as many of them are one.

        Args:
            sessions: Session vectors, float32 [B, d].
            own: The items of each session.
            wanted: See :meth:`pyg_srgnn.inference.scorer.SessionScorer.best`.
        """
        plans = [self._plan(own, each) for each in wanted]
        groups = _groups(plans)
        return self._found(sessions, own, wanted, plans, self._without_offsets(sessions, groups))

    def best_and_log_sum(
        self,
        sessions: Tensor,
        own: Sequence[Sequence[int]],
        wanted: Sequence[Wanted],
        barred: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[list[Best], Tensor]:
        """The best items as :meth:`best` has them, and the logarithms of softmaxes' sums [B].

        The pass over the items that gives the sums finds the items of most lists as well, those
        with offsets among them.

        Args:
            sessions: Session vectors, float32 [B, d].
            own: The items of each session.
            wanted: See :meth:`best`.
            barred: Sessions and vectors [P] each that do not count in the sums. (default: none)
        """
        plans = [self._plan(own, each) for each in wanted]
        first, *others = _groups(plans) or [[]]
        k = max((plan.width for _, plan in first), default=1)
        values, items, log_sums = self.catalogue.best_and_log_sum(sessions, k, barred)
        without = self._without_offsets(sessions, others)
        for number, plan in first:
            without[number] = values[plan.rows, : plan.width], items[plan.rows, : plan.width]
        return self._found(sessions, own, wanted, plans, without), log_sums

    def _found(
        self,
        sessions: Tensor,
        own: Sequence[Sequence[int]],
        wanted: Sequence[Wanted],
        plans: Sequence[_Plan],
        without: Mapping[int, Best],
    ) -> list[Best]:
        """The lists, by what has been found without offsets, by the number of the plan."""
        found = []
        for number, (each, plan) in enumerate(zip(wanted, plans, strict=True)):
            best = without.get(number)
            if plan.search is not None:
                best = plan.search.best(sessions[plan.rows], plan.k, best)
            assert best is not None, "what is wanted without offsets has been searched"
            found.append(self._finished(*best, own, each))
        return found

    def _plan(self, own: Sequence[Sequence[int]], wanted: Wanted) -> _Plan:
        k = min(wanted.k + most_seen(own, wanted), len(self.catalogue))
        search = None if wanted.offsets is None else self._search(wanted.offsets)
        return _Plan(torch.as_tensor(wanted.rows), k, search, search.width(k) if search else k)

    def _search(self, offsets: Offsets) -> OffsetSearch:
        found = self._searches.get(offsets)
        if found is None:
            # Others in any case: what is kept must not keep its key.
            of_vectors = offsets.of(
                slice(len(self.catalogue)) if self.items is None else self.items
            )
            found = self._searches[offsets] = OffsetSearch(self.catalogue, of_vectors)
        return found

    def _without_offsets(self, sessions: Tensor, groups: Sequence[_Group]) -> dict[int, Best]:
        """What is found without offsets, by the number of the plan that needs it."""
        found = {}
        for group in groups:
            rows = [plan.rows for _, plan in group]
            best = self.catalogue.best(sessions[torch.cat(rows)], group[-1][1].width)
            parts = zip(*(torch.split(each, [*map(len, rows)]) for each in best), strict=True)
            for (number, plan), (values, items) in zip(group, parts, strict=True):
                found[number] = values[:, : plan.width], items[:, : plan.width]
        return found

    def _finished(
        self, values: Tensor, items: Tensor, own: Sequence[Sequence[int]], wanted: Wanted
    ) -> Best:
        """The items of vectors that were found, without those that a session holds."""
        if self.items is not None:
            items = self.items[items]
        if (beyond := wanted.k - values.size(1)) > 0:
            values = F.pad(values, (0, beyond), value=-torch.inf)
            items = F.pad(items, (0, beyond))
        return (
            without_seen((values, items), own, wanted) if wanted.exclude_seen else (values, items)
        )


def most_seen(own: Sequence[Sequence[int]], wanted: Wanted) -> int:
    """How many items more than are wanted leave enough once a session's own are taken away."""
    return max(len(set(own[row])) for row in wanted.rows) if wanted.exclude_seen else 0


def without_seen(best: Best, own: Sequence[Sequence[int]], wanted: Wanted) -> Best:
    """The wanted number of items, of those found, that their session does not hold."""
    values, items = best
    # Pairs of row and item as numbers: a long session costs its own length, not that of every row.
    held = [list(set(own[row])) for row in wanted.rows]
    size = 1 + max(int(items.max()), *(max(clicked, default=0) for clicked in held))
    pairs = [row * size + item for row, clicked in enumerate(held) for item in clicked]
    row = torch.arange(len(held)).unsqueeze(1)
    seen = torch.isin(row * size + items, torch.tensor(pairs, dtype=torch.long))
    found = values.masked_fill(seen, -torch.inf).topk(wanted.k)
    return found.values, items.gather(1, found.indices)
