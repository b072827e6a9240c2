"""Item-KNN: items that were clicked in the same sessions."""

from __future__ import annotations

from itertools import repeat

import torch
from torch_geometric.utils import cumsum

from pyg_srgnn.baselines.markov import Markov
from pyg_srgnn.baselines.popularity import last_clicks
from pyg_srgnn.data.pairs import both_ways, count_pairs
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.utils.arguments import checking

_UNITS = 2**30


class ItemKNN(Markov):
    """Scores an item by its likeness to the session's last one (Item-KNN).

    Two items are alike as the sessions are that hold them: with n(i) the sessions that hold item i
    and n(i, j) those that hold both, by ``n(i, j) / sqrt((n(i) + s) (n(j) + s))``, the cosine of
    the two items' vectors over the sessions, shrunk by s where few sessions hold the items. An item
    is not its own neighbour. All other items come last, by popularity. From Hidasi et al.,
    "Session-based recommendations with recurrent neural networks", ICLR 2016, and its code. The
    scores are in units of 2**-30, so that they are whole numbers plus the popularity below 1.
    """

    @classmethod
    def fit(
        cls,
        sessions: Sessions,
        num_items: int,
        shrinkage: float = 20.0,
        neighbours: int = 100,
    ) -> ItemKNN:
        """Find the neighbours in the training sessions.

        Args:
            sessions: The training sessions.
            num_items: Number of items.
            shrinkage: Sessions added to those of every item. (default: 20.0)
            neighbours: Neighbours that are kept of each item, of equals the more popular ones.
                (default: 100)

        Raises:
            ValueError: If the shrinkage is negative or no neighbour is to be kept.
        """
        with checking(cls) as check:
            check.number("shrinkage", shrinkage, least=0)
            check.whole("neighbours", neighbours, 1)
        session, kept = last_clicks(sessions)
        lengths = torch.bincount(session, minlength=len(sessions))
        offsets = cumsum(lengths)
        distinct = Sessions(sessions.items[kept], offsets)
        pair, both = both_ways(*count_pairs(distinct, num_items, repeat(1)), num_items)

        holding = (torch.bincount(distinct.items, minlength=num_items) + shrinkage).sqrt()
        item, other = pair // num_items, pair % num_items
        likeness = (_UNITS * both / (holding[item] * holding[other])).round().clamp(min=1)
        popularity = torch.bincount(sessions.items, minlength=num_items)
        # The last sort counts most; each leaves equals as the one before it did.
        order = popularity[other].argsort(stable=True, descending=True)
        order = order[likeness[order].argsort(stable=True, descending=True)]
        order = order[item[order].argsort(stable=True)]
        number = torch.bincount(item, minlength=num_items)
        place = torch.arange(order.numel()) - (number.cumsum(0) - number)[item[order]]
        order = order[place < neighbours]
        return cls.from_pairs(sessions, num_items, pair[order], likeness[order])
