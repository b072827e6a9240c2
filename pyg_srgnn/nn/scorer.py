"""A trained model as a recommender asks it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_srgnn.data.graphs import session_graphs
from pyg_srgnn.functional.topk import best_of_scores
from pyg_srgnn.inference.scorer import Session, bar, flat_clicks
from pyg_srgnn.nn.session_model import SessionModel


class ModelScorer:
    """A :class:`~pyg_srgnn.inference.scorer.SessionScorer` that asks a model in memory.

    Args:
        model: A trained model; it is set to evaluation mode.
    """

    def __init__(self, model: SessionModel) -> None:
        self.model = model.eval()

    @property
    def num_items(self) -> int:
        """Number of items V in the catalogue."""
        return self.model.num_items

    @property
    def log_probabilities(self) -> bool:
        """Whether the scores are log-probabilities."""
        return self.model.mixes

    @torch.inference_mode()
    def topk(
        self,
        sessions: Sequence[Session],
        k: int,
        barred: Tensor | None = None,
        exclude_seen: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """The k best items of every session, scores and items [B, k], best first."""
        graphs = self._graphs(sessions)
        if barred is None and not exclude_seen:
            return self.model.topk(graphs, k)
        seen = (graphs.batch, graphs.x) if exclude_seen else None
        return best_of_scores(bar(self.model.scores(graphs), barred, seen), k)

    @torch.inference_mode()
    def scores(self, sessions: Sequence[Session]) -> Tensor:
        """Scores of every item for every session [B, V]."""
        return self.model.scores(self._graphs(sessions))

    @torch.inference_mode()
    def attention(self, sessions: Sequence[Session]) -> Tensor | None:
        """Weight of every click, session after session [L]; None of a model without attention."""
        return self.model.attention(self._graphs(sessions))

    def _graphs(self, sessions: Sequence[Session]) -> Batch:
        """The graphs of sessions of indices, where the model is."""
        return session_graphs(*flat_clicks(sessions)).to(self.model.embedding.weight.device)
