"""From raw item ids to recommended raw item ids."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data import Vocabulary, session_graphs
from pyg_srgnn.evaluation import rows_at_once
from pyg_srgnn.nn import SessionModel

_ROWS_AT_ONCE = 256  # at most; fewer where the catalogue is large


class UnknownItemWarning(UserWarning):
    """Items were clicked that the model has not been trained on."""


class Recommender:
    """Recommends the next items of sessions given as raw ids.

    Args:
        model: A trained model.
        vocabulary: Its catalogue's raw ids.
        clicks: Clicks of each item in training, the fallback's order, int64 [V].
    """

    def __init__(self, model: SessionModel, vocabulary: Vocabulary, clicks: Tensor) -> None:
        self.model = model.eval()
        self.vocabulary = vocabulary
        self.popularity = clicks.double() / clicks.sum()

    @classmethod
    def load(cls, path: str | Path) -> Recommender:
        """Open a run directory or a checkpoint file; nothing in it is executed.

        Raises:
            FileNotFoundError: If there is no checkpoint.
            ValueError: If the file is not a checkpoint of this package.
        """
        checkpoint = Checkpoint.load(path)
        return cls(checkpoint.model, checkpoint.vocabulary, checkpoint.clicks)

    def recommend(
        self, sessions: Sequence[Sequence[int | str]], k: int = 20
    ) -> list[list[tuple[int | str, float]]]:
        """The k best next items of every session, best first.

        Unknown ids are left out, with a warning that names them. A session without a known id
        gets the most popular items, their share of all clicks for a score, and a warning.

        Args:
            sessions: Each session's clicks as raw ids, in order of time.
            k: Number of items; capped at the catalogue. (default: 20)

        Returns:
            For each session, pairs (raw id, score).

        Raises:
            ValueError: If k is less than 1.
        """
        if k < 1:
            raise ValueError(f"k must be a whole number >= 1 (got {k})")
        indices = [self.vocabulary.encode(session) for session in sessions]
        known = [[i for i in session if i >= 0] for session in indices]
        self._warn(sessions, indices, known)
        rows = [row for row, session in enumerate(known) if session]
        fallback = self._popular(k) if len(rows) < len(sessions) else []
        found = [fallback] * len(sessions)
        device = self.model.embedding.weight.device
        at_once = rows_at_once(self.model.num_items, _ROWS_AT_ONCE)
        for start in range(0, len(rows), at_once):
            chunk = rows[start : start + at_once]
            clicks = torch.tensor([i for row in chunk for i in known[row]])
            graphs = session_graphs(clicks, torch.tensor([len(known[row]) for row in chunk]))
            graphs = graphs.to(device)
            with torch.inference_mode():
                values, items = self.model.topk(graphs, k)
            for row, best, scores in zip(chunk, items.tolist(), values.tolist(), strict=True):
                found[row] = list(zip(self.vocabulary.decode(best), scores, strict=True))
        return [list(row) for row in found]

    def _popular(self, k: int) -> list[tuple[int | str, float]]:
        order = self.popularity.argsort(descending=True, stable=True)[:k]
        raw = self.vocabulary.decode(order.tolist())
        return list(zip(raw, self.popularity[order].tolist(), strict=True))

    def _warn(
        self,
        sessions: Sequence[Sequence[int | str]],
        indices: Sequence[Sequence[int]],
        known: Sequence[Sequence[int]],
    ) -> None:
        unknown = {
            raw: None
            for session, row in zip(sessions, indices, strict=True)
            for raw, index in zip(session, row, strict=True)
            if index < 0
        }
        if unknown:
            shown = ", ".join(repr(raw) for raw in list(unknown)[:10])
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            warnings.warn(
                f"left out items that the model does not know: {shown}{more}",
                UnknownItemWarning,
                stacklevel=3,
            )
        empty = [row for row, session in enumerate(known) if not session]
        if empty:
            shown = ", ".join(map(str, empty[:10])) + (" …" if len(empty) > 10 else "")
            warnings.warn(
                f"no known item in {len(empty)} of {len(sessions)} sessions (number {shown}): "
                f"the most popular items are recommended there instead",
                UnknownItemWarning,
                stacklevel=3,
            )
