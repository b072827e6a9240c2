"""Rules as they are applied to the items of a catalogue: what is added, and what is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pyg_srgnn.functional.offsets import Offsets
from pyg_srgnn.functional.selection import Cap, cosines, select, shared_labels
from pyg_srgnn.inference.rules import Rules

_POOL, _LEAST = 5, 100  # candidates of a list: times k, and at least
_WIDER = 8  # times as many where caps leave too few
_SAID = 300  # characters of the rules in a reason
_AT_ONCE = 2**17  # candidates of all sessions whose vectors are held

Find = Callable[[Sequence[int], int], tuple[Tensor, Tensor]]
"""The best items of some sessions, by their numbers: scores and items [B, P], best first."""


@dataclass(frozen=True)
class Applied:
    """What rules mean for a catalogue.

    Args:
        rules: The rules.
        offsets: What they add to the score of each item; None if nothing.
        exclude_seen: Whether a session's own items are left out.
        weight: Weight of the similarity to items above.
        by: The labels by which items are alike, filled up with -1 [V, m]; None: their vectors.
        caps: Labels of every item [V, m], and how many of a list may share one.
    """

    rules: tuple[Rules, ...]
    offsets: Offsets | None
    exclude_seen: bool
    weight: float
    by: Tensor | None
    caps: Sequence[tuple[Tensor, int]]

    @property
    def chooses(self) -> bool:
        """Whether an item's place depends on those above."""
        return self.weight > 0 or bool(self.caps)

    def best(
        self,
        find: Find,
        sessions: int,
        k: int,
        num_items: int,
        directions: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """The lists of some sessions.

        Args:
            find: Finds items with offsets, without those that the session holds where they are
                left out.
            sessions: How many B.
            k: Items of a list, at most V.
            num_items: Items V.
            directions: Unit vectors of items.

        Returns:
            The model's scores and items, in the order of the list, [B, k] both; a score of minus
            infinity means no item, and no later one either.
        """
        if self.chooses:
            values = torch.full((sessions, k), -torch.inf, dtype=torch.float64)
            items = torch.zeros(sessions, k, dtype=torch.long)
            rows, width = torch.arange(sessions), min(max(_POOL * k, _LEAST), num_items)
            while len(rows):
                short = []
                for part in torch.split(rows, max(1, _AT_ONCE // width)):
                    scores, candidates = (each.cpu() for each in find(part.tolist(), width))
                    scores = scores.double()
                    values[part], items[part] = self._chosen(scores, candidates, k, directions)
                    full = values[part, -1] != -torch.inf
                    short.append(part[~full & (scores[:, -1] != -torch.inf)])
                rows, width = torch.cat(short) if width < num_items else rows[:0], _WIDER * width
                width = min(width, num_items)
        else:
            values, items = find(range(sessions), k)
        if self.offsets is not None:
            added = self.offsets.values.to(values.device)[items]
            values = torch.where(values == -torch.inf, values, values - added)
        return values, items

    def _chosen(
        self, values: Tensor, items: Tensor, k: int, directions: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The scores and items of lists [B, k] among candidates [B, P]."""
        similar = None
        if self.weight and self.by is not None:
            similar = shared_labels(self.by[items])
        elif self.weight:
            similar = cosines(directions(items.flatten()).view(*items.shape, -1))
        caps = [Cap(labels[items], most) for labels, most in self.caps]
        chosen, there = select(values, k, self.weight, similar, caps)
        return values.gather(1, chosen).masked_fill(~there, -torch.inf), items.gather(1, chosen)

    @cached_property
    def reason(self) -> str:
        """Why a list is empty; long rules are cut."""
        said = " and ".join(map(repr, self.rules)) or "no rule"
        said = said if len(said) <= _SAID else f"{said[:_SAID]} …"
        if self.offsets is not None and self.offsets.count == 0:
            return f"no item of the catalogue meets {said}"
        return f"no item is left by {said} that can be recommended to the session"
