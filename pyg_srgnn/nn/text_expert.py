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
from pyg_srgnn.nn.text_neighbour_head import bucket_of

_AFTER_COLD = 3.0  # added to the gate's logit after a click on a cold item
_COLD = 1.5  # added to the bias of cold items
_TOGETHER = 2.0  # added to their scores after such a click


class TextExpert(Expert):
    r"""An :class:`Expert` that attends to the texts of the clicks.

    .. math::
        q(i) = softmax(\gamma \cos(s, W t_i) + b_i)

    with :math:`t_i` an item's whitened text, :math:`b_i` learned for each bucket of how often items
    were clicked, and :math:`s` what a :class:`SessionReadout` makes of the session's :math:`W t_i`.
    (Propagation in the session graph before that brought nothing on validation.) So a cold item has
    a score like any other, and a rare one is not left to its few clicks.

    Cold items are seldom met in training, where some count as cold. What is learned there of them
    adds to what was chosen on validation: a bias of 1.5, and after a cold click, of which ids know
    little, 3 to the gate's logit, and 2 to the scores of cold items, which come on sale together.

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
        self.readout = SessionReadout(channels, positions=positions)
        self.clicks = nn.Embedding(BUCKETS, 1)
        self.lin_gate = nn.Linear(2 * channels + 2, channels)
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
        bias = self.clicks.weight[0] + _COLD
        last = torch.cat([bias, torch.ones_like(bias)])
        return self.lin.weight.T * self.lin.in_features**0.5, last

    def rows(
        self, model: Catalogue, items: Tensor | None = None, as_cold: Tensor | None = None
    ) -> Tensor:
        """See :meth:`Expert.rows`: the mapped text, the bias, and whether it is cold [n, d + 2]."""
        assert model.text is not None, "a model without texts has no such expert"
        text, bucket = model.text.vectors, self.bucket
        if as_cold is not None:
            bucket = bucket.masked_fill(as_cold, 0)
        if items is not None:
            text, bucket = text.index_select(0, items), bucket.index_select(0, items)
        everything = self.training and items is None
        mapped = self.mapped(text, model.table_products if everything else None)
        if as_cold is not None:
            mapped = mapped.detach()
        is_cold = (bucket == 0).to(mapped.dtype).unsqueeze(1)
        bias = self.clicks(bucket).to(mapped.dtype) + _COLD * is_cold
        return torch.cat([mapped, bias, is_cold], dim=1)

    def mapped(self, text: Tensor, products: torch.dtype | None = None) -> Tensor:
        """Vectors [n, d] of items by their whitened texts.

        Args:
            text: The whitened texts [n, F].
            products: Type of the products with the texts. (default: that of the texts)
        """
        # Whitened vectors have length 1; with entries of about 1, they suit a linear map as drawn.
        weight = self.lin.weight * text.size(1) ** 0.5
        dtype = products or text.dtype
        return normalize(F.linear(text.to(dtype), weight.to(dtype)).to(text.dtype))

    def forward(self, clicked: Tensor, s_h: Tensor, graphs: SessionGraphs) -> tuple[Tensor, Tensor]:
        """See :meth:`Expert.forward`.

        The gate sees both session vectors, the bias of the last item, and whether it is cold.
        """
        h = clicked[:, :-2]
        if self.training:
            h = F.dropout(h, self.dropout)
        sizes = graphs.alias_index, graphs.batch, graphs.num_graphs
        session = self.scale * normalize(self.readout(h, *sizes, clicks=graphs.clicks))
        last = clicked[:, -2:].index_select(0, graphs.last_node).detach()
        known = torch.cat([s_h.detach(), session.detach(), last], dim=1)
        gate = self.gate(torch.tanh(self.lin_gate(known))).squeeze(1)
        is_cold = last[:, 1:]
        query = torch.cat([session, torch.ones_like(is_cold), _TOGETHER * is_cold], dim=1)
        return query, at_least_float32(gate + _AFTER_COLD * is_cold.squeeze(1))
