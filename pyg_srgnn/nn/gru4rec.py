"""GRU4Rec, a neural baseline that reads a session as a sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.data import Data

from pyg_srgnn.data.graphs import session_of_node
from pyg_srgnn.functional.graphs import places_from_end
from pyg_srgnn.nn.session_model import SessionModel
from pyg_srgnn.utils.arguments import checking


class GRU4Rec(SessionModel):
    """A recurrent network over the clicks, with the scores, losses and training of SR-GNN.

    GRU4Rec (`Hidasi et al., ICLR 2016 <https://arxiv.org/abs/1511.06939>`_). The last state is the
    session's vector. Item embeddings are shared between clicks and scores ("constrained
    embeddings" of the authors' later code), and the loss is the softmax over all items instead of
    one over a sample.

    Args:
        num_items: Number of items V in the catalogue.
        channels: Size d of an item's embedding and of the state. (default: 100)
        num_layers: Layers of the network. (default: 1)
        **kwargs: Further arguments of :class:`SessionModel`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self, num_items: int, channels: int = 100, num_layers: int = 1, **kwargs: Any
    ) -> None:
        with checking(self) as check:
            check.whole("num_layers", num_layers, 1)
            super().__init__(num_items, channels, **kwargs)
        self.gru = nn.GRU(channels, channels, num_layers)
        self.reset_parameters()

    def encode(self, data: Data) -> Tensor:
        """Session vectors [B, d], before they are normalised."""
        node, num_sessions = session_of_node(data)
        session = node[data.alias_index]
        place, clicks = places_from_end(session, num_sessions)
        # All sessions' first clicks, then all second ones, the longer session first: the form that
        # torch would make of a list of sequences.
        position = clicks[session] - 1 - place
        by_length = clicks.argsort(descending=True, stable=True)
        back = by_length.argsort()
        order = (position * num_sessions + back[session]).argsort()
        packed = PackedSequence(
            self.clicked(data.x)[data.alias_index[order]],
            torch.bincount(position).cpu(),
            by_length,
            back,
        )
        state: Tensor = self.gru(packed)[1][-1]
        return state
