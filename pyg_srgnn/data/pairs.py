"""Counts of pairs of items that are clicked one after the other in a session."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from pyg_srgnn.data.recency import recency
from pyg_srgnn.data.sessions import Sessions

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
    session = torch.arange(len(sessions)).repeat_interleave(sessions.lengths)
    first = torch.arange(sessions.num_clicks)
    again, is_new = _next_clicks(sessions, session, num_items) if once else (first, first)
    pairs, counts = [], []
    for steps, weight in enumerate(weights, 1):
        first = first[first + steps < sessions.num_clicks]
        first = first[session[first] == session[first + steps]]
        if first.numel() == 0:
            break
        later = first + steps
        if once:
            later = later[is_new[later] & (again[first] > later)]
        pair = sessions.items[later - steps] * num_items + sessions.items[later]
        if half_life is None:
            pair, count = torch.unique(pair, return_counts=True)
        else:
            later = later - session[later] - 1  # numbers of samples
            pair, count = summed_pairs(pair, recency(later, sessions.num_samples, half_life))
        pairs.append(pair)
        counts.append(count * weight)
    if not pairs:
        return first, first
    return summed_pairs(torch.cat(pairs), torch.cat(counts))


def _next_clicks(sessions: Sessions, session: Tensor, num_items: int) -> tuple[Tensor, Tensor]:
    """The next click of each click's item in its session, and whether there was none before.

    Where there is no next click, the number of all clicks; int64 and bool [clicks].
    """
    key, order = (session * num_items + sessions.items).sort(stable=True)
    same = (key[1:] == key[:-1]).nonzero().squeeze(1)
    earlier, later = order[same], order[same + 1]
    again = torch.full_like(order, sessions.num_clicks).index_copy_(0, earlier, later)
    is_new = torch.ones_like(order, dtype=torch.bool).index_fill_(0, later, False)
    return again, is_new


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


def heaviest(pair: Tensor, count: Tensor, num_items: int, kept: int) -> tuple[Tensor, Tensor]:
    """Keep the heaviest pairs of every first item.

    Args:
        pair: ``first * V + second`` of every pair, each once, sorted, int64 [T].
        count: Count of each [T].
        num_items: Number of items V.
        kept: Number K of pairs kept of a first item.

    Returns:
        The second items int64 [V, K], the heaviest first, the lower index first among equals, and
        their counts [V, K]; what an item lacks in pairs is item 0 with a count of 0.
    """
    # Stable: by first item, then by falling count, then by second item.
    order = count.argsort(descending=True, stable=True)
    order = order[(pair[order] // num_items).argsort(stable=True)]
    first, second, count = pair[order] // num_items, pair[order] % num_items, count[order]
    of_first = torch.bincount(first, minlength=num_items)
    place = torch.arange(first.numel()) - (of_first.cumsum(0) - of_first)[first]
    chosen = place < kept
    items = torch.zeros(num_items, kept, dtype=torch.long)
    counts = count.new_zeros(num_items, kept)
    items[first[chosen], place[chosen]] = second[chosen]
    counts[first[chosen], place[chosen]] = count[chosen]
    return items, counts
