"""Losses as if some of the items had never been clicked, for what learns how far to trust texts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.functional.cold import STAND_INS
from pyg_srgnn.functional.lookups import Pairs
from pyg_srgnn.functional.whitening import cosine_weights
from pyg_srgnn.nn.expert import Expert

if TYPE_CHECKING:
    from pyg_srgnn.nn.session_model import SessionModel


class AsCold:
    """Some of the trained items count as cold, as clicks and as next items.

    Training has no cold items. A sum over all items is not taken again: what these few have of it
    is replaced.

    Args:
        model: The model, with texts.
        items: Which of the trained items count as cold, bool [T].
        data: The nodes' items ``x`` [N] of sessions, and their next items ``y`` [B].
        taken: What the softmaxes leave out already.

    Attributes:
        cold: Which of all items count as cold, bool [V].
    """

    def __init__(self, model: SessionModel, items: Tensor, data: Data, taken: Pairs | None) -> None:
        self.model = model
        self.data = data
        self.target: Tensor = data.y
        self.cold = F.pad(items, (0, model.num_items - model.num_trained))
        self._items = items.nonzero().squeeze(1)
        self._taken: Pairs | None = None
        if taken is not None:
            session, item = taken
            cold = self.cold[item].nonzero().squeeze(1)
            self._taken = session[cold], (self.cold.cumsum(0) - 1)[item[cold]]

    def clicked(self, vectors: Tensor, vectors_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Input vectors [N, d] of the nodes' items; see :meth:`SessionModel.clicked`.

        Args:
            vectors: Theirs if none is cold [N, d].
            vectors_of: Gives those of other items [n] that are not cold.
        """
        if self.model.embedding.mode != "id":
            return vectors
        assert self.model.text is not None, "the texts are what a cold item is known by"
        text = self.model.text.vectors
        at = self.cold[self.data.x].nonzero().squeeze(1)
        trained = self.model.num_trained
        cosine = text[self.data.x[at]] @ text[:trained].T
        # Exactly 0 is the cosine of an item without a text.
        cosine = cosine.masked_fill(self.cold[:trained] | (cosine == 0), -1)
        cosine, near = cosine.topk(min(STAND_INS, trained))
        each = vectors_of(near.flatten()).view(*near.shape, vectors.size(1))
        mean = (each * cosine_weights(cosine).unsqueeze(2)).sum(dim=1)
        return vectors.index_copy(0, at, mean.to(vectors.dtype))

    @torch.no_grad()
    def of_ids(self, s_h: Tensor, losses: Tensor) -> Tensor:
        """Losses [B] of the model's own softmax, which leaves cold items out.

        Args:
            s_h: Session vectors [B, d].
            losses: Its losses where no next item is cold [B].
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

    def of_expert(self, expert: Expert, query: Tensor, losses: Tensor) -> Tensor:
        """Losses [B] of an expert, which scores cold items as :meth:`Expert.rows` says.

        Args:
            expert: The expert.
            query: Its queries [B, e].
            losses: Its losses where no next item is cold [B].
        """
        query = query.detach()
        with torch.no_grad():
            of_target = (query * expert.rows(self.model, self.target)).sum(dim=1)
            log_sum = losses + of_target
            less = self._share(query, log_sum, expert.rows(self.model, self._items))
        rows = torch.cat([self.target, self._items])
        rows = expert.rows(self.model, rows, self.cold)
        then = (query * rows[: len(self.target)]).sum(dim=1)
        then = torch.where(self.cold[self.target], then, then.detach())
        more = self._share(query, log_sum, rows[len(self.target) :])
        change = torch.log1p((more - less).clamp(min=1e-6 - 1)).to(losses.dtype)
        return losses + change + of_target - then

    def _share(self, queries: Tensor, log_sum: Tensor, vectors: Tensor) -> Tensor:
        """What the cold items have of the sums [B] with these vectors."""
        scores = queries @ vectors.T
        if self._taken is not None:
            scores = scores.index_put(self._taken, scores.new_full((), -torch.inf))
        return (scores - log_sum.unsqueeze(1)).exp().sum(dim=1)
