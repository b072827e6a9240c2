"""Scores sessions with a mixture of exported models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pyg_srgnn.functional.graphs import flat_clicks, graph_tensors
from pyg_srgnn.functional.model_mixture import Weights, mix, mixed_parts, name_of
from pyg_srgnn.functional.wanted import Best, Wanted, best_of_all_scores
from pyg_srgnn.inference.scorer import Session, SessionScorer


class ExportedModelMixture:
    """Mixes the probabilities of exported models, as :class:`pyg_srgnn.nn.ModelMixture` does.

    Args:
        members: Their scorers, with the same items.
        weights: The weights and temperatures of the mixture.
    """

    log_probabilities = True
    mixes_models = True
    texts = None
    """The texts are those of its members; items cannot be added by them."""

    def __init__(self, members: Sequence[SessionScorer], weights: Weights) -> None:
        self.members = list(members)
        self.weights = weights

    @property
    def num_items(self) -> int:
        """Number of items V in the catalogue."""
        return self.members[0].num_items

    @torch.inference_mode()
    def best(self, sessions: Sequence[Session], wanted: Sequence[Wanted]) -> list[Best]:
        """The best items of every session, as it wants them."""
        return best_of_all_scores(self.scores(sessions), _nodes(sessions), wanted)

    @torch.inference_mode()
    def scores(self, sessions: Sequence[Session]) -> Tensor:
        """Scores of every item for every session [B, V]."""
        return mix(self._distributions(sessions), self.weights, *_nodes(sessions))

    def directions(self, items: Tensor) -> Tensor:
        """Those of the members, side by side [N, D]: a cosine is the mean of theirs."""
        members = [member.directions(items) for member in self.members]
        return torch.cat(members, dim=1).div(len(members) ** 0.5)

    def attention(self, sessions: Sequence[Session]) -> Tensor | None:
        """None: the members' attentions are not mixed."""
        return None

    @torch.inference_mode()
    def log_parts(self, sessions: Sequence[Session], items: Tensor) -> dict[str, Tensor]:
        """Logarithms of what each member gives to the probability of items [B, K], by its name."""
        members = self._distributions(sessions)
        parts = mixed_parts(members, self.weights, *_nodes(sessions), items)
        return {name_of(number): part for number, part in enumerate(parts)}

    def _distributions(self, sessions: Sequence[Session]) -> Iterator[Tensor]:
        for member in self.members:
            scores = member.scores(sessions)
            yield scores if member.log_probabilities else scores.log_softmax(dim=1)


def _nodes(sessions: Sequence[Session]) -> tuple[Tensor, Tensor]:
    """Session and item of every node [N]."""
    tensors = graph_tensors(*flat_clicks(sessions))
    return tensors["batch"], tensors["x"]
