"""The protocol of models that score sessions of item indices, trained or exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from pyg_srgnn.functional.offsets import Offsets

Session = Sequence[int]
"""Item index of each click, at least one, in order of time."""


class SessionScorer(Protocol):
    """Scores items for sessions of indices; several threads may ask at once."""

    @property
    def num_items(self) -> int:
        """Number of items V in the catalogue."""
        ...

    @property
    def log_probabilities(self) -> bool:
        """Whether the scores are log-probabilities; others can only be compared in a session."""
        ...

    @property
    def mixes_models(self) -> bool:
        """Whether it is a mixture of whole models."""
        ...

    def topk(
        self,
        sessions: Sequence[Session],
        k: int,
        offsets: Offsets | None = None,
        exclude_seen: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """The k best items of every session.

        Args:
            sessions: The sessions, B of them.
            k: How many, from 1 to V.
            offsets: What is added to each item's score. (default: nothing)
            exclude_seen: Whether a session's own items must not. (default: False)

        Returns:
            Scores with what was added, and items, best first, [B, k] both; a score of minus
            infinity means no item.
        """
        ...

    def scores(self, sessions: Sequence[Session]) -> Tensor:
        """Scores of every item for every session [B, V]."""
        ...

    def attention(self, sessions: Sequence[Session]) -> Tensor | None:
        """Weight of every click, session after session [L]; None of a model without attention."""
        ...

    def log_parts(self, sessions: Sequence[Session], items: Tensor) -> dict[str, Tensor]:
        """Logarithms of what each part of a mixture gives to the probability of items.

        Args:
            sessions: The sessions, B of them.
            items: Items of each session [B, K].

        Returns:
            [B, K] by the name of the component, and ``model`` for the model's own softmax; empty of
            a model that mixes nothing.
        """
        ...

    def directions(self, items: Tensor) -> Tensor:
        """Vectors of items [N], as they are when clicked, of length 1, or 0 [N, D]."""
        ...

    @property
    def texts(self) -> Tensor | None:
        """Whitened text of every item, of length 1 or 0 [V, F]; None of a model without texts."""
        ...
