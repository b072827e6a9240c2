"""Finds the k best items exactly where some items are barred and the scores of others changed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.functional.offsets import Offsets
from pyg_srgnn.functional.topk import best_of_products
from pyg_srgnn.inference.catalogue import Catalogue
from pyg_srgnn.inference.index import Index

_FEW = 20_000  # items: their products are taken as fast as others are searched
_MARGIN = 2  # times as many of the best as rules leave k of, if they bar the good as the bad


def best_with(
    catalogue: Catalogue | Index, sessions: Tensor, k: int, offsets: Offsets
) -> tuple[Tensor, Tensor]:
    """The k items with the greatest sums of inner product and offset.

    Of few items that are left, all products are taken. Of many, the best are searched as they are
    without offsets, more than k of them: if none of the others can be better than the k-th that is
    found so, these are the best; else all products are taken. Of few items whose scores are raised,
    all products are taken besides. So an index, too, gives k items where as many are left.

    Args:
        catalogue: The items, or an index of them, which is approximate where many are left.
        sessions: Session vectors, float32 [B, d].
        k: How many, from 1 to V.
        offsets: What is added to each item's product.

    Returns:
        Sums and items, best first, [B, k] both; a sum of minus infinity means no item.
    """
    vectors, left = catalogue.vectors, offsets.count
    if left <= _FEW:
        there = min(k, left)
        if there == 0:
            none = sessions.new_full((len(sessions), k), -torch.inf)
            return none, torch.zeros_like(none, dtype=torch.long)
        rows = vectors[offsets.items] if left < len(vectors) else vectors
        values, index = best_of_products(sessions, rows, there, offsets.values[offsets.items])
        beyond = (0, k - there)
        return F.pad(values, beyond, value=-torch.inf), F.pad(offsets.items[index], beyond)
    if isinstance(catalogue, Catalogue) and catalogue.precision == "float32":
        return best_of_products(sessions, vectors, k, offsets.values)
    wider = min(len(vectors), _MARGIN * k * len(vectors) // left + k)
    products, candidates = catalogue.best(sessions, wider)
    bound, sums = products[:, -1] + offsets.greatest, products + offsets.values[candidates]
    raised = offsets.raised
    if 0 < len(raised) <= _FEW:
        bound = products[:, -1]
        sums.masked_fill_(offsets.values[candidates] > 0, -torch.inf)
        rows, there = vectors[raised], min(k, len(raised))
        lifted, index = best_of_products(sessions, rows, there, offsets.values[raised])
        sums, candidates = torch.cat([sums, lifted], 1), torch.cat([candidates, raised[index]], 1)
    found = sums.topk(k)
    values, items = found.values, candidates.gather(1, found.indices)
    # None of the items that were not found has more than the bound.
    short = values[:, -1] < bound
    if short.any():
        exact = best_of_products(sessions[short], vectors, k, offsets.values)
        values[short], items[short] = exact
    return values, items
