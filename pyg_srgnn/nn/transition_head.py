"""What followed the session's items in all training sessions, beside what the model expects."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from pyg_srgnn.data.graph_clicks import session_of_node
from pyg_srgnn.data.pairs import UNITS, count_pairs, heaviest, weights_by_distance
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.functional.graphs import places_from_end
from pyg_srgnn.nn.losses import at_least_float32

_PLACES = 10  # last clicks whose followers are looked at
_WINDOW = 10  # steps within which a click follows another


class Followers(NamedTuple):
    """Items that may follow, C for all sessions together; one may stand there several times."""

    session: Tensor
    """Session of each [C]."""
    item: Tensor
    """Index of each [C]."""
    share: Tensor
    """Probability of each; those of a session sum to 1, or there are none [C]."""


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
        self.place = nn.Embedding(_PLACES, 1)
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
        session = node[data.alias_index]
        place, clicks = places_from_end(session, num_sessions)
        ends = clicks.cumsum(0) - 1
        near = place < _PLACES
        session, place, item = session[near], place[near], data.x[data.alias_index[near]]
        found, count = self.followers[item].long(), self.count[item].to(s_h.dtype)
        if self.training:
            own = (1 / (place + 1).to(count.dtype)).unsqueeze(1)
            of_target = found == data.y[session].unsqueeze(1)
            count = torch.where(of_target, (count - own).clamp(min=0), count)
        if new_only:
            width = self.followers.size(0)
            nodes = (node * width + data.x).sort().values
            key = session.unsqueeze(1) * width + found
            at = torch.searchsorted(nodes, key).clamp_(max=nodes.numel() - 1)
            count = count.masked_fill(nodes[at] == key, 0)
        share = count / count.sum(dim=1, keepdim=True).clamp(min=1e-6)
        share = share * self.place.weight[place].exp()
        total = scatter(share.sum(dim=1), session, dim_size=num_sessions)
        share = share / total.clamp(min=1e-12)[session].unsqueeze(1)

        last = data.x[data.alias_index[ends]]
        known = torch.log1p(self.count[last].sum(dim=1)).to(s_h.dtype).unsqueeze(1)
        hidden = torch.tanh(self.lin_gate(torch.cat([s_h, known], dim=1)))
        gate = at_least_float32(self.gate(hidden).squeeze(1)).masked_fill(total == 0, -torch.inf)
        session = session.unsqueeze(1).expand_as(found)
        return Followers(session.flatten(), found.flatten(), share.flatten()), gate

    @staticmethod
    def losses(followers: Followers, gate: Tensor, rest: Tensor, target: Tensor) -> Tensor:
        """Loss of each session, -log p(target) [B].

        Args:
            followers: See :meth:`forward`.
            gate: See :meth:`forward` [B].
            rest: -log of the target's probability in the model's softmax [B].
            target: Next items [B].
        """
        session, item, share = followers
        hit = item == target[session]
        counted = scatter(share[hit], session[hit], dim_size=target.numel())
        counted = counted.clamp(min=torch.finfo(share.dtype).tiny).log()
        return -torch.logaddexp(F.logsigmoid(-gate) - rest, F.logsigmoid(gate) + counted)

    @staticmethod
    def log_probabilities(logs: Tensor, followers: Followers, gate: Tensor) -> Tensor:
        """Logarithm of every item's probability [B, V], made of the model's own in place."""
        logs += F.logsigmoid(-gate).unsqueeze(1)
        num_items = logs.size(1)
        positive = followers.share > 0
        key = followers.session[positive] * num_items + followers.item[positive]
        key, of = torch.unique(key, return_inverse=True)
        share = scatter(followers.share[positive], of, dim_size=key.numel())
        session, item = key // num_items, key % num_items
        counted = share.log() + F.logsigmoid(gate)[session]
        logs[session, item] = torch.logaddexp(logs[session, item], counted)
        return logs
