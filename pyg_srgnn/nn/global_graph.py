"""The graph of all training sessions, whose edges join items clicked near one another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_srgnn.data.pairs import UNITS, heaviest_pairs
from pyg_srgnn.data.session_pairs import SessionPairs
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.lookups import ROUNDED
from pyg_srgnn.functional.whitening import cosine_weights, nearest
from pyg_srgnn.nn.item_categories import ItemCategories
from pyg_srgnn.nn.normalize import normalize


class GlobalGraph(nn.Module):
    r"""Adds to a clicked item's embedding those of its neighbours in all training sessions.

    Two items are neighbours where they were clicked within ``window`` steps of one another; an
    edge weighs as often as it happened, and each item keeps its ``num_neighbours`` heaviest (the
    global graph of GCE-GNN, `Wang et al., SIGIR 2020 <https://arxiv.org/abs/2106.05081>`_,
    section 4.1). The neighbours' embeddings are averaged by these weights and transformed:
    :math:`v_i + W \sum_j w_{ij} v_j`.

    Args:
        num_items: Number of items V.
        channels: Size d of an embedding.
        num_neighbours: Neighbours kept of an item.
        window: Steps within which two clicks make neighbours.
        dropout: Probability that an entry of the average is dropped.
        normalize: Whether the average is normalised, as the items' vectors are.
        half_life: Share of the training samples, back in time, over which the weight of two clicks
            halves. (default: None: all weigh alike)
        leave_out: Whether training leaves out of the weight of a sample's target what its session
            added to it; else the average tells the target of a rare item. (default: False)
    """

    def __init__(
        self,
        num_items: int,
        channels: int,
        num_neighbours: int,
        window: int,
        dropout: float,
        normalize: bool,
        half_life: float | None = None,
        leave_out: bool = False,
    ) -> None:
        super().__init__()
        self.leave_out = leave_out
        self._pairs: SessionPairs | None = None
        self.half_life = half_life
        self.normalize = normalize
        self.window = window
        self.dropout = dropout
        self.lin = nn.Linear(channels, channels, bias=False)
        # Buffers: a checkpoint scores sessions without the training sessions.
        neighbours = torch.zeros(num_items, num_neighbours, dtype=torch.int32)
        self.register_buffer("neighbours", neighbours)
        self.register_buffer("weight", torch.zeros(num_items, num_neighbours))
        # What a count of 1 weighs, for training alone.
        self.register_buffer("unit", torch.zeros(num_items), persistent=False)

    neighbours: Tensor
    weight: Tensor
    unit: Tensor

    def set_training(self, sessions: Sessions) -> None:
        """Count the neighbours in the training sessions."""
        num_items, kept = self.neighbours.shape
        neighbours, count = heaviest_neighbours(
            sessions, num_items, kept, self.window, self.half_life
        )
        total = count.sum(dim=1)
        unit = 1 / total.where(total > 0, 1)
        self.neighbours.copy_(neighbours)
        self.weight.copy_(count * unit.unsqueeze(1))
        self.unit.copy_(unit)
        if self.leave_out:
            weights = [UNITS] * self.window
            self._pairs = SessionPairs(sessions, num_items, weights, self.half_life)

    @torch.no_grad()
    def add_text(self, vectors: Tensor, num_trained: int) -> None:
        """Join items that have too few neighbours with the nearest texts.

        With n of K places taken by counted neighbours, these keep n / K of the weight, and the
        texts that fill the others share the rest by the softmax of their cosines.

        Args:
            vectors: Whitened texts of all items [V, F].
            num_trained: Items from the first that the training sessions hold; others are no
                neighbours.
        """
        kept = self.weight.size(1)
        counted = (self.weight > 0).sum(dim=1, keepdim=True)
        own = torch.arange(num_trained, device=vectors.device)
        trained, k = vectors[:num_trained], min(kept, num_trained)
        parts = nearest(trained, trained, k, own), nearest(vectors[num_trained:], trained, k)
        items, cosine = (torch.cat(each) for each in zip(*parts, strict=True))
        place = torch.arange(kept, device=vectors.device) - counted
        filled = (place >= 0) & (place < k)
        place = place.clamp(0, k - 1)
        cosine = cosine.gather(1, place).masked_fill(~filled, -1)
        weight = cosine_weights(cosine)
        share = torch.where(weight.any(dim=1, keepdim=True), counted / kept, 1)
        self.weight.mul_(share).add_(weight * (1 - share))
        self.unit.mul_(share.squeeze(1))
        self.neighbours.copy_(torch.where(filled, items.gather(1, place), self.neighbours))

    def weight_without(
        self,
        items: Tensor,
        batch: Tensor,
        target: Tensor,
        session: Tensor,
        num_clicks: int | None = None,
    ) -> Tensor | None:
        """Weights of the neighbours in other sessions than the samples' own [N, K]; None: in all.

        Args:
            items: The clicked items [N].
            batch: Sample of each [N].
            target: Next item of each sample [B].
            session: Training session of each sample [B].
            num_clicks: See :meth:`pyg_srgnn.data.session_pairs.SessionPairs.of`. (default: None)
        """
        if self._pairs is None:
            return None
        pairs, target = self._pairs.of(session, num_clicks), target.index_select(0, batch)
        own = pairs.of(batch, items, target) + pairs.of(batch, target, items)
        weight = self.weight.index_select(0, items)
        left = weight - (own * self.unit.index_select(0, items)).to(weight.dtype).unsqueeze(1)
        left = left.masked_fill(left < ROUNDED * weight, 0)
        of_target = self.neighbours.index_select(0, items) == target.unsqueeze(1)
        weight = torch.where(of_target, left, weight)
        total = weight.sum(dim=1, keepdim=True)
        return weight / total.where(total > 0, 1)

    def forward(
        self,
        items: Tensor,
        embedded: Tensor,
        table: Tensor,
        weight: Tensor | None = None,
        categories: ItemCategories | None = None,
    ) -> Tensor:
        """Embeddings of clicked items with those of their neighbours [N, d].

        Args:
            items: The clicked items [N].
            embedded: Their embeddings [N, d].
            table: Embeddings of all items [V, d].
            weight: Weights of their neighbours [N, K]. (default: those counted)
            categories: Those of the items, where the table is without them. (default: None)
        """
        weight = (self.weight[items] if weight is None else weight).to(table.dtype)
        neighbours = self.neighbours[items].long()
        mean = F.embedding_bag(
            neighbours,
            table,
            per_sample_weights=weight,
            mode="sum",
            sparse=table.is_leaf and not torch.compiler.is_compiling(),
        )
        if categories is not None:
            mean = mean + categories.weighted(neighbours, weight)
        if self.normalize:
            mean = normalize(mean)
        added: Tensor = self.lin(F.dropout(mean, self.dropout, self.training))
        return embedded + added


def heaviest_neighbours(
    sessions: Sessions,
    num_items: int,
    num_neighbours: int,
    window: int,
    half_life: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Find the items most often clicked near each item.

    Args:
        sessions: The training sessions.
        num_items: Number of items V.
        num_neighbours: Number K of neighbours kept.
        window: Steps within which two clicks make neighbours.
        half_life: See :class:`GlobalGraph`. (default: None)

    Returns:
        Neighbours int64 [V, K], the heaviest first, the lower index first among equals, and their
        counts [V, K], float64; an item with fewer has counts 0 at the end.
    """
    weights = [1] * window
    neighbours, count = heaviest_pairs(
        sessions, num_items, weights, num_neighbours, half_life, both=True
    )
    return neighbours, count.double()
