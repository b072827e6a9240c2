"""Losses as if some of the items had never been clicked, for what learns how far to trust texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.functional.lookups import Pairs
from pyg_srgnn.nn.expert import Expert

if TYPE_CHECKING:
    from pyg_srgnn.nn.session_model import SessionModel


class AsCold:
    """Some of the trained items count as cold, in the sessions of a batch that are held out.

    Training has no cold targets. A sum over all items is not taken again: what these few have of it
    is replaced. Losses are those of the sessions held out; others have no meaning.

    Args:
        model: The model.
        items: Which of the trained items count as cold, bool [T].
        data: The batch, with next items ``y``.
        taken: What the softmaxes leave out already.
        held_out: The sessions held out, bool [B].

    Attributes:
        at: Their numbers [K].
        taken: What the softmaxes leave out of them; sessions are numbered as in ``at``.
    """

    at: Tensor
    taken: Pairs | None

    def __init__(
        self,
        model: SessionModel,
        items: Tensor,
        data: Data,
        taken: Pairs | None,
        held_out: Tensor,
    ) -> None:
        self.model = model
        self.data = data
        self.target: Tensor = data.y
        self.cold = F.pad(items, (0, model.num_items - model.num_trained))
        self._items = items.nonzero().squeeze(1)
        self.at = held_out.nonzero().squeeze(1)
        self.taken = None
        self._taken: Pairs | None = None
        if taken is not None:
            session, item = taken
            there = held_out[session].nonzero().squeeze(1)
            session, item = (held_out.cumsum(0) - 1)[session[there]], item[there]
            self.taken = session, item
            cold = self.cold[item].nonzero().squeeze(1)
            self._taken = session[cold], (self.cold.cumsum(0) - 1)[item[cold]]

    @torch.no_grad()
    def of_ids(self, s_h: Tensor, losses: Tensor) -> Tensor:
        """Losses [B] of the model's own softmax, which leaves cold items out.

        Args:
            s_h: Session vectors [B, d].
            losses: Its losses where they are not cold [B].
        """
        of_target = (s_h * self.model.rows(self.target)).sum(dim=1)
        if self.model.label_smoothing:  # which is no part of the softmax
            mean = self.model.item_vectors()[: self.model.num_trained].mean(dim=0)
            losses = losses - self.model.label_smoothing * (of_target - s_h @ mean)
        own = self.model.output.own(s_h, self.data)
        log_sum = losses + (of_target if own is None else of_target + own)
        share = self._share(s_h, log_sum, self.model.rows(self._items))
        losses = losses + torch.log1p(-share.clamp(max=1 - 1e-6)).to(losses.dtype)
        # Without an id, a target is one of V. Minus infinity would have the gate trust texts that
        # do not find it, either.
        return losses.masked_fill(self.cold[self.target], math.log(self.model.num_items))

    @torch.no_grad()
    def of_expert(self, expert: Expert, query: Tensor, losses: Tensor) -> Tensor:
        """Losses [B] of an expert, which scores cold items as :meth:`Expert.rows` says.

        Args:
            expert: The expert.
            query: Its queries [B, e].
            losses: Its losses where they are not cold [B].
        """
        of_target = (query * expert.rows(self.model, self.target)).sum(dim=1)
        then = (query * expert.rows(self.model, self.target, self.cold)).sum(dim=1)
        log_sum = losses + of_target
        less = self._share(query, log_sum, expert.rows(self.model, self._items))
        more = self._share(query, log_sum, expert.rows(self.model, self._items, self.cold))
        change = torch.log1p((more - less).clamp(min=1e-6 - 1)).to(losses.dtype)
        return losses + change + of_target - then

    def _share(self, queries: Tensor, log_sum: Tensor, vectors: Tensor) -> Tensor:
        """What the cold items have of the sums [B] with these vectors, 0 in other sessions."""
        scores = queries[self.at] @ vectors.T
        if self._taken is not None:
            scores[self._taken] = -torch.inf
        share = (scores - log_sum[self.at].unsqueeze(1)).exp().sum(dim=1)
        return share.new_zeros(len(queries)).index_copy(0, self.at, share)
