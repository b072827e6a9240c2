"""Decides between the session's own items and new ones, as RepeatNet does."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from pyg_srgnn.functional.graphs import SessionGraphs, counts, places_from_end
from pyg_srgnn.nn.component import Component
from pyg_srgnn.nn.losses import at_least_float32

_MOST = 20  # clicks and places beyond it look alike


class RepeatHead(Component):
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

    lookup = "own_items"
    exclusive = True

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

    def forward(
        self, h: Tensor, s_h: Tensor, graphs: SessionGraphs, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        r"""The gate's logit [B], and :math:`\log softmax(r)` of every node [N].

        See :meth:`Component.forward` for the arguments.
        """
        session, num_sessions = graphs.batch, graphs.num_graphs
        often = counts(graphs.alias_index, session.numel())
        place, clicks = places_from_end(session[graphs.alias_index], num_sessions)
        last = torch.full_like(session, _MOST).scatter_reduce_(0, graphs.alias_index, place, "amin")
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
        return at_least_float32(self.gate(torch.tanh(hidden)).squeeze(-1)), within
