"""Base class of the session-KNN baselines: the search for similar training sessions."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from pyg_srgnn.baselines.markov import ranges
from pyg_srgnn.baselines.popularity import Found, Popularity, last_clicks
from pyg_srgnn.data.graphs import session_of_node
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.utils.arguments import checking

_LIKENESS_UNITS = 2**32
_UNITS = 2**20  # 500 neighbours and the popularity of a million items fit float64 exactly
_CANDIDATES = 2**20  # looked at once, unless a single session has more


class Evidence(NamedTuple):
    """Items of the neighbours of some sessions, and what they were found by; int64 [E] each.

    Args:
        item: The item.
        position: Its last click in the neighbour, 0 for the first click there.
        ago: The last click of the session whose item the neighbour shares, 0 for the last click.
        shared: The last click of that item in the neighbour.
    """

    item: Tensor
    position: Tensor
    ago: Tensor
    shared: Tensor


class SessionNeighbours(Popularity):
    """Scores an item by the training sessions that hold it and are similar to the session.

    Each item of the session is looked up in the most recent training sessions that hold it, and
    counts as shared with those alone, as in "Serenade" (Kersbergen et al., SIGMOD 2022), whose
    index has a few thousand sessions per item. Similarity is the weight of the shared items, each
    once and at its last click, divided by the weight of all items. The k most similar sessions are
    the neighbours; ties go to the more recent one. An item's score is the sum, over the neighbours
    that hold it, of similarity times :meth:`item_weight`. Items of no neighbour come last, by
    popularity.

    All weights are rounded to whole numbers of a unit, and at least one: sums are exact then,
    in any order, so that equal items are equal and popularity decides between them.

    Args:
        sessions: The training sessions, in time order.
        num_items: Number of items V.
        k: Neighbours of a session, at most.
        sample_size: Training sessions that are looked at for each item of the session, at most.

    Raises:
        ValueError: If one of the two is below 1.
    """

    def __init__(self, sessions: Sessions, num_items: int, k: int, sample_size: int) -> None:
        with checking(self) as check:
            check.whole("k", k, 1)
            check.whole("sample_size", sample_size, 1)
        super().__init__(torch.bincount(sessions.items, minlength=num_items))
        self.k = k
        # A session's number is its age: 0 is the most recent one.
        session, click = last_clicks(sessions)
        age = len(sessions) - 1 - session
        age, order = age.sort(stable=True)
        click, session = click[order], session[order]
        number = torch.bincount(age, minlength=len(sessions))
        self.register_buffer("age", age)
        self.register_buffer("item", sessions.items[click])
        self.register_buffer("position", click - sessions.offsets[session])
        self.register_buffer("start", cumsum(number))
        # For each item, its entries in the above, the most recent first.
        item, entry = self.item.sort(stable=True)
        number = torch.bincount(item, minlength=num_items)
        kept = torch.arange(item.numel()) - (number.cumsum(0) - number)[item] < sample_size
        number = number.clamp(max=sample_size)
        self.register_buffer("entry", entry[kept])
        self.register_buffer("first", cumsum(number))

    age: Tensor
    item: Tensor
    position: Tensor
    start: Tensor
    entry: Tensor
    first: Tensor

    @classmethod
    def fit(cls, sessions: Sessions, num_items: int, **settings: Any) -> Self:
        """Index the training sessions; the settings are the arguments of the class."""
        return cls(sessions, num_items, **settings)

    @abstractmethod
    def click_weight(self, ago: Tensor, clicks: Tensor) -> Tensor:
        """Weights >= 0 of clicks, 0 steps ``ago`` for the last of so many ``clicks`` [Q]."""

    def session_weight(self, age: Tensor) -> Tensor:
        """Factors in (0, 1] of the likeness of training sessions, by their numbers [P]."""
        return torch.ones_like(age, dtype=torch.float64)

    @abstractmethod
    def item_weight(self, found: Evidence) -> Tensor:
        """Factors >= 0 of the likeness of the neighbours, for the score of the items [E]."""

    def found(self, data: Data) -> Found:
        """Items of the neighbours, by evidence in units of 2**-20 plus the popularity below 1."""
        row, item, ago, weight = self._clicked_items(data)
        number = self.first[item + 1] - self.first[item]
        candidates = number.new_zeros(session_of_node(data)[1]).index_add_(0, row, number)
        part = ((candidates.cumsum(0) - candidates) // _CANDIDATES)[row]
        sizes = torch.unique_consecutive(part, return_counts=True)[1].tolist()
        clicked = (torch.split(part, sizes) for part in (row, item, ago, weight))
        parts = [self._evidence(*some) for some in zip(*clicked, strict=True)]
        session, item, value = (torch.cat(each) for each in zip(*parts, strict=True))
        session, item, value = _summed(session, item, value, candidates.numel(), len(self.score))
        return Found(session, item, value + self.score[item])

    def _clicked_items(self, data: Data) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Session, item, steps since its last click and weight, by session and then by steps."""
        of_node, _ = session_of_node(data)
        session = of_node[data.alias_index]
        clicks = torch.bincount(session)
        click = torch.arange(session.numel(), device=session.device)
        last = torch.zeros_like(data.x).scatter_reduce_(0, data.alias_index, click, "amax")
        ago = clicks.cumsum(0)[of_node] - 1 - last
        weight = self.click_weight(ago, clicks[of_node]).double()
        total = weight.new_zeros(clicks.numel()).index_add_(0, of_node, weight)[of_node]
        order = last.argsort(descending=True)
        order = order[of_node[order].argsort(stable=True)]
        order = order[weight[order] > 0]
        weight = (_LIKENESS_UNITS * weight / total).round().clamp(min=1)
        return of_node[order], data.x[order], ago[order], weight[order]

    def _evidence(
        self, row: Tensor, item: Tensor, ago: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Session, item and value of every item of the sessions' neighbours, one entry each."""
        clicked, at = ranges(self.first[item], self.first[item + 1])
        entry = self.entry[at]
        # The same session may be found by several items. Stable: by the last click of all first.
        pair, order = (row[clicked] * self.start.numel() + self.age[entry]).sort(stable=True)
        clicked, entry = clicked[order], entry[order]
        pair, of, number = torch.unique_consecutive(pair, return_inverse=True, return_counts=True)
        likeness = weight.new_zeros(pair.numel()).index_add_(0, of, weight[clicked])
        found = number.cumsum(0) - number
        clicked, entry = clicked[found], entry[found]
        age = self.age[entry]
        likeness = (likeness * self.session_weight(age)).round().clamp(min=1)

        best = _best(row[clicked], likeness, self.k)
        clicked, entry, age, likeness = clicked[best], entry[best], age[best], likeness[best]
        of, at = ranges(self.start[age], self.start[age + 1])
        factor = self.item_weight(
            Evidence(self.item[at], self.position[at], ago[clicked][of], self.position[entry][of])
        )
        value = (likeness[of] * factor * (_UNITS / _LIKENESS_UNITS)).round().clamp(min=1)
        scored = factor > 0
        return row[clicked][of][scored], self.item[at][scored], value[scored]


def _summed(
    row: Tensor, item: Tensor, value: Tensor, rows: int, items: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Every item of a row once, with the sum of its values; rows stay in their order."""
    # Without a sort: of the entries of an item, whichever is written last stands for all.
    key, number = row * items + item, torch.arange(row.numel(), device=row.device)
    of = key.new_empty(rows * items).index_put_((key,), number)[key]
    total = value.new_zeros(value.shape).index_add_(0, of, value)
    first = of == number
    return row[first], item[first], total[first]


def _best(row: Tensor, value: Tensor, k: int) -> Tensor:
    """Where each row's k greatest values are, the earlier first among equals; rows are sorted."""
    number = torch.bincount(row)
    if row.numel() == 0 or int(number.max()) <= k:
        return torch.arange(row.numel(), device=row.device)
    # Rows count more than any value: both are whole numbers far below 2**53 together.
    order = (row * (value.max() + 1) - value).argsort(stable=True)
    place = torch.arange(row.numel(), device=row.device) - (number.cumsum(0) - number)[row]
    return order[place < k]
