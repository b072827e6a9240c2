"""Mixes in the items that were clicked in the same training sessions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_srgnn.data.pairs import UNITS, heaviest_pairs, weights_by_distance
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.graphs import SessionGraphs
from pyg_srgnn.functional.lookups import PLACES
from pyg_srgnn.functional.mixture import Share
from pyg_srgnn.nn.component import Component
from pyg_srgnn.nn.losses import at_least_float32

_WINDOW = PLACES  # steps within which two items are counted: a session's own pairs are all known


class SimilarHead(Component):
    r"""A mixture of the model's softmax with the items of sessions like this one.

    .. math::
        p(i) = (1 - m) \cdot softmax(s^\top v)_i + m \cdot q(i)

    with :math:`q` of :func:`pyg_srgnn.functional.lookups.similar_of`. Two items are counted once
    in a training session, whichever came first, with 1 / d for the d steps between the first click
    of the later one and the last click of the other before it. So what training sessions know of
    the session's items together is summed up in a table of items, as the neighbours of sessions
    are, but each session need not be searched for. The weight of a place, the power of the counts
    and the gate :math:`m` are learned.

    In training, what the session itself added to the counts of the target is left out, exactly: the
    target, where it is a candidate, is clicked there for the first time.

    Args:
        num_items: Number of items V.
        channels: Size d of a session's vector.
        num_similar: Similar items kept of each item, those counted most.
        half_life: Share of the training samples, back in time, over which the weight of a counted
            pair halves. (default: None: all weigh alike)
    """

    lookup = "similar"

    def __init__(
        self, num_items: int, channels: int, num_similar: int, half_life: float | None = None
    ) -> None:
        super().__init__()
        self.half_life = half_life
        self.place = nn.Embedding(PLACES, 1)
        self.log_power = nn.Parameter(torch.zeros(1))
        self.lin_gate = nn.Linear(channels + 2, channels)
        self.gate = nn.Linear(channels, 1)
        similar = torch.zeros(num_items, num_similar, dtype=torch.int32)
        self.register_buffer("similar", similar)
        self.register_buffer("count", torch.zeros(num_items, num_similar))

    similar: Tensor
    count: Tensor

    def set_training(self, sessions: Sessions) -> None:
        """Count the pairs of the training sessions."""
        num_items, kept = self.similar.shape
        weights = weights_by_distance(_WINDOW)
        similar, count = heaviest_pairs(
            sessions, num_items, weights, kept, self.half_life, once=True, both=True
        )
        self.similar.copy_(similar)
        self.count.copy_(count / UNITS)

    def stand_in(self, items: Tensor, stand_ins: Tensor) -> None:
        """Copy the counts of trained items to cold ones."""
        self.similar[items] = self.similar[stand_ins]
        self.count[items] = self.count[stand_ins]

    def tables(self) -> dict[str, Tensor]:
        """The counts, and what is learned of places and counts."""
        return {
            "similar": self.similar,
            "count": self.count,
            "place_weight": self.place.weight.squeeze(1).exp(),
            "power": self.log_power.exp(),
        }

    def forward(
        self, h: Tensor, s_h: Tensor, graphs: SessionGraphs, known: Tensor | None
    ) -> tuple[Tensor, None]:
        """The gate's logit [B]; see :meth:`Component.forward`."""
        assert known is not None, "similar_of describes the candidates"
        both = torch.cat([s_h.detach(), known], dim=1)
        hidden = torch.tanh(self.lin_gate(both))
        return at_least_float32(self.gate(hidden).squeeze(1)), None

    def losses(
        self, share: Share, rest: Tensor, target: Tensor, held_out: Tensor | None = None
    ) -> Tensor:
        """Loss of each session [B]; see :meth:`Component.losses`.

        The gate is trained with the model detached, as that of :class:`TransitionHead` is.
        """
        alone = rest.detach()
        return super().losses(share, alone, target) + rest - alone
