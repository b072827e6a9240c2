r"""The best items of a mixture, without the scores of all items.

An item that no component gives probability to has that of the softmax alone,

.. math:: \log p(i) = s^\top v_i - \log Z + \sum_n \log(1 - g_n),

so that such items are ordered by their products. The best of the mixture are among the best by
products and the components' candidates, a few hundred items. :math:`Z`, the softmax's sum, is all
that is asked of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.functional.mixture import Share, each_once, mix_in_
from pyg_srgnn.functional.wanted import Best


class SparseMixture:
    """A softmax over the items with components mixed in, known where these have candidates.

    Args:
        log_sums: Logarithm of the softmax's sum without what exclusive components take [B]; minus
            infinity where nothing is left.
        shares: The components' shares, the innermost first, at least one.
        products: Gives the products of sessions and items [P] of pairs.
        num_items: Number of items V.
    """

    def __init__(
        self,
        log_sums: Tensor,
        shares: Sequence[Share],
        products: Callable[[Tensor, Tensor], Tensor],
        num_items: int,
    ) -> None:
        given = [each_once(share, num_items) for share in shares]
        pairs = [session * num_items + item for session, item, _ in given]
        keys, places = torch.unique(torch.cat(pairs), return_inverse=True)
        session, item = keys // num_items, keys % num_items
        logs = products(session, item)
        of_each = places.split([len(each) for each in pairs])
        for share, at in zip(shares, of_each, strict=True):
            if share.exclusive:
                logs[at] = -torch.inf
        shift = -log_sums.masked_fill(log_sums.isinf(), 0).unsqueeze(1)
        for share, (of, _, within), at in zip(shares, given, of_each, strict=True):
            shift = mix_in_(logs, shift, share, within, of, at)
        # One row per session.
        first = torch.searchsorted(
            keys, torch.arange(len(log_sums), device=keys.device) * num_items
        )
        place = torch.arange(len(keys), device=keys.device) - first.index_select(0, session)
        width = int(place.max()) + 1 if len(keys) else 0
        self._logs = logs.new_full((len(log_sums), width), -torch.inf)
        self._items = item.new_zeros(self._logs.shape)
        self._logs[session, place], self._items[session, place] = logs, item
        self._keys, self._shift, self._num_items = keys, shift, num_items

    def best(self, best: Best, rows: Tensor, k: int, added: Tensor | None = None) -> Best:
        """The k best items of some sessions.

        Args:
            best: The best items by the softmax, by products and what is added, best first [n, m].
                For exact lists m is at least k and the number of items that exclusive components
                take of a session, or all items.
            rows: The sessions [n].
            k: How many.
            added: Added to the logarithm of each item's probability [V]. (default: nothing)

        Returns:
            Logarithms of probabilities, what is added included, and items, best first, [n, k] both;
            minus infinity means no item.
        """
        values, items = best
        if len(self._keys):  # those that are candidates have more than the softmax gives
            key = rows.unsqueeze(1) * self._num_items + items
            at = torch.searchsorted(self._keys, key).clamp_(max=len(self._keys) - 1)
            values = values.masked_fill(self._keys.take(at) == key, -torch.inf)
        logs, candidates = self._logs[rows], self._items[rows]
        if added is not None:
            logs = logs + added[candidates]
        values, items = torch.cat([values, logs], dim=1), torch.cat([items, candidates], dim=1)
        beyond = (0, max(0, k - values.size(1)))
        values, items = F.pad(values, beyond, value=-torch.inf), F.pad(items, beyond)
        found = values.topk(k)
        return found.values + self._shift[rows], items.gather(1, found.indices)
