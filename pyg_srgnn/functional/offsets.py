"""What is added to the scores of items before the best ones are found."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor


class Offsets:
    """A number to add to the score of each item; minus infinity where it must not be recommended.

    Args:
        values: The numbers, float32 [V].
    """

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @cached_property
    def count(self) -> int:
        """How many items may be recommended."""
        return int((self.values != -torch.inf).sum())

    @cached_property
    def items(self) -> Tensor:
        """The items that may be recommended, ascending [n]."""
        return (self.values != -torch.inf).nonzero().squeeze(1)

    @cached_property
    def greatest(self) -> float:
        """The greatest number; minus infinity if no item may be recommended."""
        return float(self.values.max()) if len(self.values) else -torch.inf

    @cached_property
    def raised(self) -> Tensor:
        """The items whose score is raised, ascending [n]."""
        return (self.values > 0).nonzero().squeeze(1)

    def of(self, rows: Tensor | slice) -> Offsets:
        """Those of some items [R]."""
        return Offsets(self.values[rows])

    def __add__(self, other: Offsets) -> Offsets:
        """Both added: what either bars is barred."""
        return Offsets(self.values + other.values)


def add_offsets(
    scores: Tensor, offsets: Offsets | None, seen: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Add offsets to scores, and bar what the sessions hold, in place.

    Args:
        scores: Scores [B, V].
        offsets: What is added to each item's, or None.
        seen: Pairs of sessions and items [N] that must not be recommended, or None.
    """
    if offsets is not None:
        scores += offsets.values.to(scores)
    if seen is not None:
        scores[seen] = -torch.inf
    return scores
