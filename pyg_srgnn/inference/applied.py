"""Rules as they are applied to the items of a catalogue: what is added, and what is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_srgnn.functional.offsets import Offsets
from pyg_srgnn.functional.wanted import Best, Wanted
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.inference.selection import Cap, ItemLabels, cosines, select, shared_labels

_POOL, _LEAST = 5, 100  # candidates of a list: times k, and at least
_WIDER = 8  # times as many where caps leave too few
_SAID = 300  # characters of the rules in a reason
_AT_ONCE = 2**22  # candidates that are held, where a first search has found too few

Again = Callable[[Sequence[int], int], Best]
"""Finds so many of the best items of some sessions, by their places."""

Directions = Callable[[Tensor], Tensor]
"""Unit vectors of items."""


@dataclass(frozen=True, eq=False)
class Applied:
    """What rules mean for a catalogue.

    Args:
        rules: The rules.
        offsets: What they add to the score of each item; None if nothing.
        exclude_seen: Whether a session's own items are left out.
        weight: Weight of the similarity to items above.
        by: The labels by which items are alike; None: their vectors.
        caps: Labels of the items, and how many of a list may share one.
    """

    rules: tuple[Rules, ...]
    offsets: Offsets | None
    exclude_seen: bool
    weight: float
    by: ItemLabels | None
    caps: Sequence[tuple[ItemLabels, int]]

    @property
    def chooses(self) -> bool:
        """Whether an item's place depends on those above."""
        return any(one.chooses for one in self.rules)

    def wanted(self, rows: Sequence[int], k: int, num_items: int) -> Wanted:
        """What some sessions of a batch want, for lists of k of V items."""
        pool = min(max(_POOL * k, _LEAST), num_items) if self.chooses else k
        return Wanted(rows, pool, self.offsets, self.exclude_seen)

    def lists(
        self, found: Best, k: int, num_items: int, again: Again, directions: Directions
    ) -> Best:
        """The lists of some sessions.

        Args:
            found: The scores and items that :meth:`wanted` asks for [B, P].
            k: Items of a list, at most V.
            num_items: Items V.
            again: Finds more items of some of the sessions.
            directions: Unit vectors of items.

        Returns:
            The model's scores and items, in the order of the list, [B, k] both; a score of minus
            infinity means no item, and no later one either.
        """
        values, items = found
        if self.chooses:
            values, items = self._chosen(found, k, num_items, again, directions)
        if self.offsets is not None:
            added = self.offsets.values.to(values.device)[items]
            values = torch.where(values == -torch.inf, values, values - added)
        return values, items

    def _chosen(
        self, found: Best, k: int, num_items: int, again: Again, directions: Directions
    ) -> Best:
        """Lists in which an item's place depends on those above."""
        rows: Sequence[int] = range(len(found[0]))
        values = np.full((len(rows), k), -np.inf)
        items = np.zeros((len(rows), k), np.int64)
        candidates, width = _each(*found), found[0].size(1)
        while True:
            short = []
            for row, (scores, numbers) in zip(rows, candidates, strict=True):
                chosen = self._select(scores, numbers, k, directions)
                values[row, : len(chosen)] = scores[chosen]
                items[row, : len(chosen)] = numbers[chosen]
                if len(chosen) < k and scores[-1] != -np.inf:
                    short.append(row)
            if not short or width == num_items:
                return torch.from_numpy(values), torch.from_numpy(items)
            rows, width = short, min(_WIDER * width, num_items)
            candidates = _wider(again, short, width)

    def _select(
        self,
        scores: NDArray[np.float64],
        items: NDArray[np.int64],
        k: int,
        directions: Directions,
    ) -> list[int]:
        """The places of a list's items among a session's candidates [P]."""
        similar = None
        if self.weight and self.by is not None:
            similar = shared_labels(self.by.of(items))
        elif self.weight:
            similar = cosines(directions(torch.from_numpy(items)).numpy())
        caps = [Cap(labels.of(items), most) for labels, most in self.caps]
        return select(scores, k, self.weight, similar, caps)

    @cached_property
    def reason(self) -> str:
        """Why a list is empty; long rules are cut."""
        said = " and ".join(map(repr, self.rules)) or "no rule"
        said = said if len(said) <= _SAID else f"{said[:_SAID]} …"
        if self.offsets is not None and self.offsets.count == 0:
            return f"no item of the catalogue meets {said}"
        return f"no item is left by {said} that can be recommended to the session"


def _each(values: Tensor, items: Tensor) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Scores and items of one session after another."""
    return zip(values.double().cpu().numpy(), items.cpu().numpy(), strict=True)


def _wider(
    again: Again, rows: Sequence[int], width: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """More candidates of some sessions, not those of all of them at once."""
    at_once = max(1, _AT_ONCE // width)
    for start in range(0, len(rows), at_once):
        yield from _each(*again(rows[start : start + at_once], width))
