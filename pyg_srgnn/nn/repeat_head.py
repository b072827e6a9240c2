"""Again, or something new: a softmax over the session's own items beside the one over the rest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from pyg_srgnn.data.graph_clicks import frequencies, session_of_node
from pyg_srgnn.functional.graphs import counts, places_from_end
from pyg_srgnn.functional.mixture import Repeats
from pyg_srgnn.nn.losses import at_least_float32

_MOST = 20  # clicks and places beyond it look alike


class RepeatHead(nn.Module):
    r"""Probability that the next click repeats an item of the session, and which one.

    .. math::
        p(i) = g \cdot softmax_{j \in S}(r_j)_i \text{ for } i \in S, \qquad
        (1 - g) \cdot softmax_{j \notin S}(s^\top v_j)_i \text{ for the rest}

    as in RepeatNet (`Ren et al., AAAI 2019 <https://arxiv.org/abs/1812.02646>`_) and MSGIFSR
    (`Guo et al., WSDM 2022 <https://arxiv.org/abs/2112.13197>`_). An item's score
    :math:`r_i` knows the node, the session, how often the item was clicked and how long ago: on
    data ruled by repeats, frequency is the signal. The gate :math:`g` knows the session and how
    many of its clicks were new.

    Args:
        channels: Size d of the nodes' features and of the sessions' vectors.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lin_node = nn.Linear(channels, channels)
        self.lin_session = nn.Linear(channels, channels, bias=False)
        self.frequency = nn.Embedding(_MOST + 1, channels)
        self.place = nn.Embedding(_MOST + 1, channels)
        self.q = nn.Linear(channels, 1, bias=False)
        self.lin_gate = nn.Linear(channels, channels)
        self.clicks = nn.Embedding(_MOST + 1, channels)
        self.repeats = nn.Embedding(_MOST + 1, channels)
        self.gate = nn.Linear(channels, 1)

    def forward(self, h: Tensor, s_h: Tensor, data: Data) -> Repeats:
        r"""Logarithms of the probabilities.

        Args:
            h: Node features [N, d].
            s_h: Session vectors [B, d].
            data: The session graphs.

        Returns:
            :math:`\log softmax(r)` of every node among its session's [N], and the gate's logit
            [B]: ``logsigmoid`` of it is log g, of its negative log (1 - g).
        """
        session, num_sessions = session_of_node(data)
        often = frequencies(data)
        place, clicks = places_from_end(session[data.alias_index], num_sessions)
        last = torch.full_like(session, _MOST).scatter_reduce_(0, data.alias_index, place, "amin")
        hidden = (
            self.lin_node(h)
            + self.lin_session(s_h)[session]
            + self.frequency(often.clamp(max=_MOST))
            + self.place(last)
        )
        r = at_least_float32(self.q(torch.tanh(hidden)).squeeze(-1))
        peak = scatter(r.detach(), session, dim_size=num_sessions, reduce="max")
        exps = (r - peak[session]).exp()
        total = scatter(exps, session, dim_size=num_sessions)
        within = r - (peak + total.log())[session]

        repeats = clicks - counts(session, num_sessions)
        hidden = (
            self.lin_gate(s_h)
            + self.clicks(clicks.clamp(max=_MOST))
            + self.repeats(repeats.clamp(max=_MOST))
        )
        return Repeats(within, at_least_float32(self.gate(torch.tanh(hidden)).squeeze(-1)))

    @staticmethod
    def losses(within: Tensor, gate: Tensor, rest: Tensor, data: Data) -> Tensor:
        """Loss of each session, -log p(target) [B].

        Args:
            within: See :meth:`forward` [N].
            gate: See :meth:`forward` [B].
            rest: -log of the target's probability among the rest [B].
            data: The session graphs with their targets ``y``.
        """
        session, _ = session_of_node(data)
        node = (data.x == data.y[session]).nonzero().squeeze(1)  # a session's target is one node
        loss = rest - F.logsigmoid(-gate)
        again = session[node]
        return loss.index_put((again,), -within[node] - F.logsigmoid(gate[again]))
