"""Mixes in the items that followed the session's items in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_srgnn.data.pairs import UNITS, heaviest_pairs, weights_by_distance
from pyg_srgnn.data.session_pairs import SessionPairs
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.graphs import SessionGraphs
from pyg_srgnn.functional.lookups import PLACES, ROUNDED
from pyg_srgnn.functional.mixture import Share
from pyg_srgnn.nn.component import Component
from pyg_srgnn.nn.losses import at_least_float32

_WINDOW = 10  # steps within which a click follows another


class TransitionHead(Component):
    r"""A mixture of the model's softmax with the transitions counted in the training sessions.

    .. math::
        p(i) = (1 - m) \cdot softmax(s^\top v)_i + m \cdot q(i), \qquad
        q(i) \propto \sum_t \omega_t \, c(t, i) / \sum_j c(t, j)

    where :math:`c(t, i)` counts how often, and how soon, item i was clicked after the item of
    click t: 1 / d for d steps, as :class:`pyg_srgnn.baselines.SequentialRules` does.
    The weight :math:`\omega_t` is learned for every place from the session's end, and the gate
    :math:`m` from the session and from how often its last item was followed. A count needs few
    examples where an embedding needs many.

    In training, a session's own transition to its target is left out of the counts; else the gate
    would learn to trust counts that know the answer.

    Args:
        num_items: Number of items V.
        channels: Size d of a session's vector.
        num_followers: Followers kept of each item, those counted most.
        half_life: Share of the training samples, back in time, over which the weight of a
            transition halves. (default: None: all weigh alike)
    """

    lookup = "followers"

    def __init__(
        self, num_items: int, channels: int, num_followers: int, half_life: float | None = None
    ) -> None:
        super().__init__()
        self.half_life = half_life
        self.place = nn.Embedding(PLACES, 1)
        self.lin_gate = nn.Linear(channels + 1, channels)
        self.gate = nn.Linear(channels, 1)
        # Buffers: a checkpoint scores sessions without the training sessions.
        followers = torch.zeros(num_items, num_followers, dtype=torch.int32)
        self.register_buffer("followers", followers)
        self.register_buffer("count", torch.zeros(num_items, num_followers))

    followers: Tensor
    count: Tensor

    def set_training(self, sessions: Sessions) -> None:
        """Count the transitions of the training sessions."""
        num_items, kept = self.followers.shape
        weights = weights_by_distance(_WINDOW)
        followers, count = heaviest_pairs(sessions, num_items, weights, kept, self.half_life)
        self.followers.copy_(followers)
        count = count / UNITS
        # With a short half-life, the oldest are too small to divide by what is left of them.
        self.count.copy_(count.masked_fill(count < torch.finfo(torch.float32).tiny / ROUNDED, 0))

    def own_pairs(self, sessions: Sessions) -> SessionPairs:
        """What each of the training sessions added to the counts."""
        num_items = len(self.followers)
        return SessionPairs(sessions, num_items, weights_by_distance(_WINDOW), self.half_life)

    def stand_in(self, items: Tensor, stand_ins: Tensor) -> None:
        """Copy the counts of trained items to cold ones."""
        self.followers[items] = self.followers[stand_ins]
        self.count[items] = self.count[stand_ins]

    def tables(self) -> dict[str, Tensor]:
        """The counts, and the weight of every place from the session's end [P]."""
        weight = self.place.weight.squeeze(1).exp()
        return {"followers": self.followers, "count": self.count, "place_weight": weight}

    def forward(
        self, h: Tensor, s_h: Tensor, graphs: SessionGraphs, known: Tensor | None
    ) -> tuple[Tensor, None]:
        """The gate's logit [B]; see :meth:`Component.forward`."""
        assert known is not None, "followers_of gives how often the last item was followed"
        both = torch.cat([s_h.detach(), known.unsqueeze(1)], dim=1)
        hidden = torch.tanh(self.lin_gate(both))
        return at_least_float32(self.gate(hidden).squeeze(1)), None

    def losses(
        self, share: Share, rest: Tensor, target: Tensor, held_out: Tensor | None = None
    ) -> Tensor:
        """Loss of each session [B]; see :meth:`Component.losses`.

        The gate is trained with the model detached, and the model as if it were alone: in a
        mixture, it would learn little from the targets that the counts predict.
        """
        alone = rest.detach()
        return super().losses(share, alone, target) + rest - alone
