"""The protocol of models that score sessions of item indices, trained or exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from pyg_srgnn.functional.wanted import Best, Wanted

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

    def best(self, sessions: Sequence[Session], wanted: Sequence[Wanted]) -> list[Best]:
        """The best items of sessions that are scored together, whatever each of them wants.

        Args:
            sessions: The sessions, B of them.
            wanted: What they want; each session is in one of these.

        Returns:
            Scores with what was added, and items, of the sessions of each wish.
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
