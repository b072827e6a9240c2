"""What followed the session's items in all training sessions, beside what the model expects."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_srgnn.data.graph_clicks import session_of_node
from pyg_srgnn.data.pairs import UNITS, count_pairs, heaviest, weights_by_distance
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.graphs import summed
from pyg_srgnn.functional.mixture import PLACES, Followers, followers_of
from pyg_srgnn.nn.losses import at_least_float32

_WINDOW = 10  # steps within which a click follows another


class TransitionHead(nn.Module):
    r"""A mixture of the model's softmax with the transitions counted in the training sessions.

    .. math::
        p(i) = (1 - m) \cdot softmax(s^\top v)_i + m \cdot q(i), \qquad
        q(i) \propto \sum_t \omega_t \, c(t, i) / \sum_j c(t, j)

    where :math:`c(t, i)` counts how often, and how soon, item i was clicked after the item of
    click t: 1 / d for d steps, as :class:`pyg_srgnn.baselines.SequentialRules` does.
    The weight :math:`\omega_t` is learned for every place from the session's end, and the gate
    :math:`m` from the session and from how often its last item was followed. An embedding has to
    learn from many examples what a count knows after a few.

    In training, a session's own transition to its target is left out of the counts; else the gate
    would learn to trust counts that know the answer.

    Args:
        num_items: Number of items V.
        channels: Size d of a session's vector.
        num_followers: Followers kept of each item, those counted most. (default: 50)
    """

    def __init__(self, num_items: int, channels: int, num_followers: int = 50) -> None:
        super().__init__()
        self.place = nn.Embedding(PLACES, 1)
        self.lin_gate = nn.Linear(channels + 1, channels)
        self.gate = nn.Linear(channels, 1)
        # Part of a checkpoint: a session is scored without the training sessions at hand.
        followers = torch.zeros(num_items, num_followers, dtype=torch.int32)
        self.register_buffer("followers", followers)
        self.register_buffer("count", torch.zeros(num_items, num_followers))

    followers: Tensor
    count: Tensor

    def set_training(self, sessions: Sessions) -> None:
        """Count the transitions of the training sessions."""
        num_items, kept = self.followers.shape
        pairs = count_pairs(sessions, num_items, weights_by_distance(_WINDOW))
        followers, count = heaviest(*pairs, num_items, kept)
        self.followers.copy_(followers)
        self.count.copy_(count / UNITS)

    def forward(self, s_h: Tensor, data: Data, new_only: bool) -> tuple[Followers, Tensor]:
        """The followers, and how much to trust them.

        Args:
            s_h: Session vectors [B, d].
            data: The session graphs; in training, with their targets ``y``.
            new_only: Whether the session's own items are left out.

        Returns:
            The followers, and the gate's logit [B], minus infinity where there is none.
        """
        node, num_sessions = session_of_node(data)
        followers = followers_of(
            data.x,
            data.alias_index,
            node,
            num_sessions,
            self.followers,
            self.count,
            self.weight().to(s_h.dtype),
            new_only,
            data.y if self.training else None,
        )
        trust = self.trust(s_h, followers.known)
        return followers, trust.masked_fill(~followers.some, -torch.inf)

    def weight(self) -> Tensor:
        """Weight of every place from the session's end [P]."""
        return self.place.weight.squeeze(1).exp()

    def trust(self, s_h: Tensor, known: Tensor) -> Tensor:
        """The gate's logit of every session [B].

        Args:
            s_h: Session vectors [B, d].
            known: See :class:`pyg_srgnn.functional.mixture.Followers` [B].
        """
        hidden = torch.tanh(self.lin_gate(torch.cat([s_h, known.unsqueeze(1)], dim=1)))
        return at_least_float32(self.gate(hidden).squeeze(1))

    @staticmethod
    def losses(followers: Followers, gate: Tensor, rest: Tensor, target: Tensor) -> Tensor:
        """Loss of each session, -log p(target) [B].

        Args:
            followers: See :meth:`forward`.
            gate: See :meth:`forward` [B].
            rest: -log of the target's probability in the model's softmax [B].
            target: Next items [B].
        """
        session, item, share = followers.session, followers.item, followers.share
        hit = item == target[session]
        counted = summed(share[hit], session[hit], target.numel())
        counted = counted.clamp(min=torch.finfo(share.dtype).tiny).log()
        return -torch.logaddexp(F.logsigmoid(-gate) - rest, F.logsigmoid(gate) + counted)
