"""Counts of pairs of items that are clicked one after the other in a session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from typing import TypeVar

import torch
from torch import Tensor

from pyg_srgnn.data.recency import recency
from pyg_srgnn.data.sessions import Sessions

T = TypeVar("T")
_CLICKS_AT_ONCE = 1 << 20  # about 300 MB a core with a window of 10, beside 3 bytes of each click
UNITS = 2520  # a multiple of 1, 2, … 10: of a window of up to 10 no weight is rounded


def weights_by_distance(window: int) -> list[int]:
    """Weights of two clicks 1, 2, … ``window`` steps apart: 1 / steps, in units of 1 / 2520."""
    return [max(1, round(UNITS / steps)) for steps in range(1, window + 1)]


def count_pairs(
    sessions: Sessions,
    num_items: int,
    weights: Iterable[int],
    half_life: float | None = None,
    once: bool = False,
) -> tuple[Tensor, Tensor]:
    """Count which items were clicked after which others in a session.

    Args:
        sessions: The sessions, in time order.
        num_items: Number of items V.
        weights: Weights of two clicks 1, 2, … steps apart; read only as far as needed.
        half_life: Share of the samples, back in time, over which the weight of a pair halves: it is
            as old as the sample whose target is its later click. (default: None: all weigh alike)
        once: Whether two items of a session make one pair at the most: the first click of the later
            one, and the last click of the other before it. (default: False)

    Returns:
        ``earlier * V + later`` of every pair, sorted, int64 [T], and its count [T], int64, or
        float64 with a half-life.
    """
    clicks = _Clicks(sessions, num_items, weights, half_life, once)
    pairs, counts = zip(*clicks.in_ranges(lambda _, pair, count: (pair, count)), strict=True)
    return torch.cat(pairs), torch.cat(counts)


def heaviest_pairs(
    sessions: Sessions,
    num_items: int,
    weights: Iterable[int],
    kept: int,
    half_life: float | None = None,
    once: bool = False,
    both: bool = False,
) -> tuple[Tensor, Tensor]:
    """Count the pairs of every item, and keep the heaviest of each.

    The same as :func:`heaviest` of what :func:`count_pairs` counts, without all pairs in memory.

    Args:
        sessions: See :func:`count_pairs`.
        num_items: See there.
        weights: See there.
        kept: Number K of pairs kept of an item.
        half_life: See there. (default: None)
        once: See there. (default: False)
        both: Whether a pair of two different items counts for both, as :func:`both_ways` counts;
            else for the earlier one alone. (default: False)

    Returns:
        The other items int64 [V, K] and their counts [V, K]; see :func:`heaviest`.
    """

    def best(first: range, pair: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        return heaviest(pair, count, num_items, kept, first)

    clicks = _Clicks(sessions, num_items, weights, half_life, once, both)
    items, counts = zip(*clicks.in_ranges(best), strict=True)
    return torch.cat(items), torch.cat(counts)


class _Clicks:
    """Counts the pairs of some items at a time, on all cores.

    Each range of first items has few clicks, and no pair is in two of them: memory is bounded, and
    there is nothing to merge.

    Args:
        sessions: See :func:`count_pairs`.
        num_items: See there.
        weights: See there.
        half_life: See there.
        once: See there.
        both: See :func:`heaviest_pairs`. (default: False)
    """

    def __init__(
        self,
        sessions: Sessions,
        num_items: int,
        weights: Iterable[int],
        half_life: float | None,
        once: bool,
        both: bool = False,
    ) -> None:
        self.sessions = sessions
        self.num_items = num_items
        longest = int(sessions.lengths.max()) if len(sessions) else 0
        self.weights = list(islice(weights, max(0, longest - 1)))
        self.half_life = half_life
        self.both = both
        number = torch.arange(len(sessions), dtype=torch.int32)
        self.session = number.repeat_interleave(sessions.lengths)
        self.next_clicks = _next_clicks(sessions, num_items) if once else None

    def in_ranges(self, then: Callable[[range, Tensor, Tensor], T]) -> list[T]:
        """Call a function with each range of first items, their pairs and the counts."""

        def of(first: range) -> T:
            return then(first, *self.pairs(first))

        ranges = self._ranges()
        if len(ranges) == 1:
            return [of(ranges[0])]
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return list(pool.map(of, ranges))

    def _ranges(self) -> list[range]:
        """Ranges of all items with few clicks each."""
        clicks = torch.bincount(self.sessions.items, minlength=self.num_items).cumsum(0)
        marks = torch.arange(0, self.sessions.num_clicks, _CLICKS_AT_ONCE)
        bounds = {0, *torch.searchsorted(clicks, marks).tolist(), self.num_items}
        return [range(low, high) for low, high in pairwise(sorted(bounds))] or [range(0)]

    def pairs(self, first: range) -> tuple[Tensor, Tensor]:
        """The pairs whose first item is in a range, and their counts."""
        items = self.sessions.items
        if len(first) == self.num_items:
            click = torch.arange(self.sessions.num_clicks)
        else:
            click = ((items >= first.start) & (items < first.stop)).nonzero().squeeze(1)
        found = [self._along(click, way) for way in ((1, -1) if self.both else (1,))]
        return found[0] if len(found) == 1 else _summed(found)

    def _along(self, click: Tensor, way: int) -> tuple[Tensor, Tensor]:
        """The pairs of some clicks with those after them, or with those before them."""
        items, session = self.sessions.items, self.session
        found = []
        for steps, weight in enumerate(self.weights, 1):
            other = click + way * steps
            click = click[(other >= 0) & (other < self.sessions.num_clicks)]
            click = click[session[click] == session[click + way * steps]]
            if click.numel() == 0:
                break
            one, other = click, click + way * steps
            if self.both:
                apart = items[one] != items[other]
                one, other = one[apart], other[apart]
            if self.next_clicks is not None:
                again, is_new = self.next_clicks
                earlier, later = (one, other) if way > 0 else (other, one)
                chosen = is_new[later] & (again[earlier] > later)
                one, other = one[chosen], other[chosen]
            pair = items[one] * self.num_items + items[other]
            if self.half_life is None:
                pair, count = torch.unique(pair, return_counts=True)
            else:
                later = other if way > 0 else one
                number = later - session[later] - 1  # numbers of samples
                weights = recency(number, self.sessions.num_samples, self.half_life)
                pair, count = summed_pairs(pair, weights)
            found.append((pair, count * weight))
        return _summed(found)


def _next_clicks(sessions: Sessions, num_items: int) -> tuple[Tensor, Tensor]:
    """The next click of each click's item in its session, and whether there was none before.

    Where there is no next click, the number of all clicks; int64 and bool [clicks].
    """
    again = torch.full_like(sessions.items, sessions.num_clicks)
    is_new = torch.ones_like(sessions.items, dtype=torch.bool)
    start = 0
    for run in sessions.runs(_CLICKS_AT_ONCE):
        session = torch.arange(len(run)).repeat_interleave(run.lengths)
        key, order = (session * num_items + run.items).sort(stable=True)
        same = (key[1:] == key[:-1]).nonzero().squeeze(1)
        earlier, later = order[same] + start, order[same + 1] + start
        again[earlier] = later
        is_new[later] = False
        start += run.num_clicks
    return again, is_new


def _summed(found: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Every pair of several counts once, sorted, with the sum of its counts."""
    if not found:
        empty = torch.empty(0, dtype=torch.long)
        return empty, empty
    pairs, counts = zip(*found, strict=True)
    return summed_pairs(torch.cat(pairs), torch.cat(counts))


def both_ways(pair: Tensor, count: Tensor, num_items: int) -> tuple[Tensor, Tensor]:
    """Count pairs of two different items whichever of them came first.

    Args:
        pair: ``earlier * V + later`` of every pair, int64 [T].
        count: Count of each [T].
        num_items: Number of items V.

    Returns:
        ``one * V + other`` of every pair and of its reverse, sorted, and the counts.
    """
    first, second = pair // num_items, pair % num_items
    apart = first != second
    there, back = pair[apart], (second * num_items + first)[apart]
    return summed_pairs(torch.cat([there, back]), count[apart].repeat(2))


def summed_pairs(pair: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Every pair once, sorted, with the sum of its counts."""
    pair, of = torch.unique(pair, return_inverse=True)
    return pair, count.new_zeros(pair.shape).index_add_(0, of, count)


def heaviest(
    pair: Tensor, count: Tensor, num_items: int, kept: int, first: range | None = None
) -> tuple[Tensor, Tensor]:
    """Keep the heaviest pairs of every first item.

    Args:
        pair: ``first * V + second`` of every pair, each once, sorted, int64 [T].
        count: Count of each [T].
        num_items: Number of items V.
        kept: Number K of pairs kept of a first item.
        first: The F first items. (default: all V)

    Returns:
        The second items int64 [F, K], the heaviest first, the lower index first among equals, and
        their counts [F, K]; what an item lacks in pairs is item 0 with a count of 0.
    """
    first = range(num_items) if first is None else first
    # Stable: by first item, then by falling count, then by second item.
    order = count.argsort(descending=True, stable=True)
    order = order[(pair[order] // num_items).argsort(stable=True)]
    row, second, count = pair[order] // num_items, pair[order] % num_items, count[order]
    row = row - first.start
    of_first = torch.bincount(row, minlength=len(first))
    place = torch.arange(row.numel()) - (of_first.cumsum(0) - of_first)[row]
    chosen = place < kept
    items = torch.zeros(len(first), kept, dtype=torch.long)
    counts = count.new_zeros(len(first), kept)
    items[row[chosen], place[chosen]] = second[chosen]
    counts[row[chosen], place[chosen]] = count[chosen]
    return items, counts
