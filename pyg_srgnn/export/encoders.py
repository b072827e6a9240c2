"""The part of a trained model that knows no item, in the form that is exported.

An encoder is called with tensors alone, and holds nothing that grows with the catalogue: whoever
calls it looks the clicked items' vectors up, and multiplies what it returns with all of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pyg_srgnn.functional.graphs import graph_tensors
from pyg_srgnn.nn.gru4rec import GRU4Rec
from pyg_srgnn.nn.session_model import SessionModel
from pyg_srgnn.nn.srgnn import SRGNN


class _Graphs(NamedTuple):
    """What a model reads of a batch of session graphs beside the items of its nodes."""

    edge_index: Tensor
    edge_weight: Tensor
    edge_weight_in: Tensor
    alias_index: Tensor
    batch: Tensor
    num_graphs: int


class GraphEncoder(nn.Module):
    """Session graphs to session vectors, by :class:`SRGNN`.

    Args:
        model: The model.
    """

    def __init__(self, model: SRGNN) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        embedded: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor,
        edge_weight_in: Tensor,
        alias_index: Tensor,
        batch: Tensor,
        known: Tensor,
    ) -> dict[str, Tensor]:
        """Encode a batch.

        Args:
            embedded: What each node's item enters the model as [N, d].
            edge_index: See :func:`pyg_srgnn.functional.graphs.graph_tensors`, as for the next four.
            edge_weight: [E].
            edge_weight_in: [E].
            alias_index: [L].
            batch: [N].
            known: See :class:`pyg_srgnn.functional.mixture.Followers` [B].

        Returns:
            ``session`` [B, d], the vectors whose products with all items are the scores; of a
            readout that attends ``attention`` [L]; of a :class:`RepeatHead` ``within`` [N] and
            ``again`` [B], of a :class:`TransitionHead` ``trust`` [B].
        """
        model = self.model
        graphs = _Graphs(edge_index, edge_weight, edge_weight_in, alias_index, batch, known.size(0))
        h = model.propagate(embedded, graphs)
        session = model.finish(model.read(h, graphs))
        found = {"session": session}
        if model.readout.attends:
            found["attention"] = model.readout.attention(h, alias_index, batch, known.size(0))
        if model.repeat is not None:
            found["within"], found["again"] = model.repeat(h, session, graphs)
        if model.transitions is not None:
            found["trust"] = model.transitions.trust(session, known)
        return found

    def example(self) -> tuple[Tensor, ...]:
        """Arguments of :meth:`forward` of which no size is 0 or 1, or equals another by chance."""
        lengths = torch.tensor([3, 5, 2, 7])
        graphs = graph_tensors(torch.arange(17) % 4, lengths)
        embedded = torch.zeros(graphs.pop("x").numel(), self.model.embedding.embedding_dim)
        return (embedded, *graphs.values(), torch.zeros(lengths.numel()))

    def dynamic(self) -> tuple[dict[int, Any], ...]:
        """Which dimensions of the arguments may have any size."""
        any_size = torch.export.Dim.DYNAMIC
        return tuple({int(argument == 1): any_size} for argument in range(7))


class StepEncoder(nn.Module):
    """A click more, to the states of :class:`GRU4Rec`.

    Args:
        model: The model.
    """

    def __init__(self, model: GRU4Rec) -> None:
        super().__init__()
        self.model = model

    def forward(self, embedded: Tensor, state: Tensor) -> dict[str, Tensor]:
        """Take one click of every session.

        Args:
            embedded: What each session's click enters the model as [B, d].
            state: States of all layers before it [layers, B, d]; zeros before the first one.

        Returns:
            ``after``, the states after it, and ``session`` [B, d], the vectors whose products with
            all items are the scores.
        """
        state = self.model.gru(embedded.unsqueeze(0), state)[1]
        return {"session": self.model.finish(state[-1]), "after": state}

    def example(self) -> tuple[Tensor, ...]:
        """Arguments of :meth:`forward`."""
        channels, layers = self.model.gru.hidden_size, self.model.gru.num_layers
        return torch.zeros(3, channels), torch.zeros(layers, 3, channels)

    def dynamic(self) -> tuple[dict[int, Any], ...]:
        """Which dimensions of the arguments may have any size."""
        any_size = torch.export.Dim.DYNAMIC
        return {0: any_size}, {1: any_size}


def encoder_of(model: SessionModel) -> GraphEncoder | StepEncoder:
    """The encoder of a model.

    Raises:
        ValueError: If there is none of this kind of model.
    """
    if isinstance(model, SRGNN):
        return GraphEncoder(model)
    if isinstance(model, GRU4Rec):
        return StepEncoder(model)
    raise ValueError(
        f"a model of the class {type(model).__name__} cannot be exported; SRGNN and GRU4Rec can"
    )
