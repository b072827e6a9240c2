"""Decides between the session's own items and new ones, as RepeatNet does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_srgnn.functional.graphs import SessionGraphs, log_softmax_within
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
        session, clicks = graphs.batch, graphs.clicks.lengths
        hidden = (
            self.lin_node(h)
            + self.lin_session(s_h).index_select(0, session)
            + self.frequency(graphs.often.clamp(max=_MOST))
            + self.place(graphs.last_place.clamp(max=_MOST))
        )
        r = at_least_float32(self.q(torch.tanh(hidden)).squeeze(-1))
        within = log_softmax_within(r, session, graphs.num_graphs)

        repeats = clicks - graphs.nodes
        hidden = (
            self.lin_gate(s_h)
            + self.clicks(clicks.clamp(max=_MOST))
            + self.repeats(repeats.clamp(0, _MOST))
        )
        return at_least_float32(self.gate(torch.tanh(hidden)).squeeze(-1)), within
