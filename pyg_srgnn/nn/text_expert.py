"""A second reading of the session, which knows items by their texts alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.graphs import SessionGraphs
from pyg_srgnn.functional.lookups import BUCKETS
from pyg_srgnn.nn.expert import Catalogue, Expert
from pyg_srgnn.nn.losses import at_least_float32
from pyg_srgnn.nn.normalize import normalize
from pyg_srgnn.nn.readout import SessionReadout
from pyg_srgnn.nn.srgnn_conv import SRGNNConv
from pyg_srgnn.nn.text_neighbour_head import bucket_of


class TextExpert(Expert):
    r"""An :class:`Expert` of session graphs whose nodes are texts.

    .. math::
        q(i) = softmax(\gamma \cos(s, W t_i) + b_i)

    with :math:`t_i` an item's whitened text, :math:`b_i` learned for each bucket of how often items
    were clicked, and :math:`s` read from the graph of the session's :math:`W t_i` as the model does
    it: :class:`SRGNNConv`, a highway past it, :class:`SessionReadout`. So a cold item has a score
    like any other, and a rare one is not left to its few clicks.

    Args:
        num_items: Number of items V.
        text_channels: Size F of a text vector.
        channels: Size d of a node's features.
        scale: Factor :math:`\gamma` of the cosine.
        dropout: Probability that an entry of a clicked item's vector is dropped. (default: 0)
        positions: Places, counted from the end, with an embedding in the attention. (default: 0)
    """

    bucket: Tensor

    def __init__(
        self,
        num_items: int,
        text_channels: int,
        channels: int,
        scale: float,
        dropout: float = 0.0,
        positions: int = 0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.dropout = dropout
        self.lin = nn.Linear(text_channels, channels, bias=False)
        self.conv = SRGNNConv(channels)
        self.lin_residual = nn.Linear(2 * channels, channels)
        self.readout = SessionReadout(channels, positions=positions)
        self.clicks = nn.Embedding(BUCKETS, 1)
        self.lin_gate = nn.Linear(2 * channels + 1, channels)
        self.gate = nn.Linear(channels, 1)
        self.register_buffer("bucket", torch.zeros(num_items, dtype=torch.int32))

    def set_training(self, sessions: Sessions) -> None:
        """Count the clicks of the training sessions."""
        self.bucket.copy_(bucket_of(torch.bincount(sessions.items, minlength=len(self.bucket))))

    def tables(self) -> dict[str, Tensor]:
        """See :meth:`Expert.tables`."""
        return {"bucket": self.bucket}

    def of_new_items(self) -> tuple[Tensor, Tensor]:
        """See :meth:`Expert.of_new_items`."""
        return self.lin.weight.T * self.lin.in_features**0.5, self.clicks.weight[1]

    def rows(
        self, model: Catalogue, items: Tensor | None = None, as_cold: Tensor | None = None
    ) -> Tensor:
        """See :meth:`Expert.rows`: the mapped text, normalised, and the bias [n, d + 1]."""
        assert model.text is not None, "a model without texts has no such expert"
        text, bucket = model.text.vectors, self.bucket
        if as_cold is not None:
            bucket = bucket.masked_fill(as_cold, 0)
        if items is not None:
            text, bucket = text.index_select(0, items), bucket.index_select(0, items)
        if self.training and items is None:
            return self.rows_of(text, bucket, model.table_products)
        return self.rows_of(text, bucket)

    def rows_of(self, text: Tensor, bucket: Tensor, products: torch.dtype | None = None) -> Tensor:
        """Vectors [n, d + 1] of items by their whitened texts and clicks.

        An item without a click counts as one with a single click: no training target has zero
        clicks.

        Args:
            text: The whitened texts [n, F].
            bucket: The buckets of their clicks [n].
            products: Type of the products with the texts. (default: that of the texts)
        """
        # Whitened vectors have length 1; with entries of about 1, they suit a linear map as drawn.
        weight = self.lin.weight * text.size(1) ** 0.5
        dtype = products or text.dtype
        mapped = normalize(F.linear(text.to(dtype), weight.to(dtype)).to(text.dtype))
        bias = self.clicks(bucket.clamp(min=1))
        return torch.cat([mapped, bias], dim=1)

    def forward(self, clicked: Tensor, s_h: Tensor, graphs: SessionGraphs) -> tuple[Tensor, Tensor]:
        """See :meth:`Expert.forward`; the gate sees both session vectors and the last bias."""
        embedded = clicked[:, :-1]
        if self.training:
            embedded = F.dropout(embedded, self.dropout)
        weights = graphs.edge_weight, graphs.edge_weight_in
        h = self.conv(embedded, graphs.edge_index, *weights)
        share = torch.sigmoid(self.lin_residual(torch.cat([embedded, h], dim=1)))
        h = h + share * (embedded - h)
        clicks = graphs.clicks
        sizes = graphs.alias_index, graphs.batch, graphs.num_graphs
        read = self.readout(h, *sizes, clicks=clicks)
        session = self.scale * normalize(read)
        last = graphs.alias_index.index_select(0, clicks.last)
        often = clicked[:, -1:].index_select(0, last)
        known = torch.cat([s_h.detach(), session.detach(), often.detach()], dim=1)
        gate = self.gate(torch.tanh(self.lin_gate(known))).squeeze(1)
        return torch.cat([session, torch.ones_like(often)], dim=1), at_least_float32(gate)
