"""Orders the session's own items by counts, starting from session popularity."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from pyg_srgnn.functional.graphs import SessionGraphs, log_softmax_within, summed
from pyg_srgnn.nn.component import Component
from pyg_srgnn.nn.losses import at_least_float32
from pyg_srgnn.nn.transition_head import TransitionHead

_MOST = 20  # clicks and places beyond it look alike
_START = (1.0, -0.005)  # of the logarithms of clicks and places: no place outweighs a click
_IN_SESSION, _IN_TRAINING = 8, 7  # counts of an item


class RepeatCountsHead(Component):
    r"""Probability that the next click repeats an item of the session, and which one, by counts.

    It has the place of :class:`RepeatHead` and its mixture. An item's score is

    .. math::
        r_i = w^\top f_i + q^\top \tanh(W f_i + U s + e_{clicks(i)} + e_{place(i)})

    of counts :math:`f_i` and the session's vector s. The counts are how often, how recently and how
    early the item was clicked in the session, whether it is the last or the last but one, what
    share of the last item's earlier transitions in the session lead to it or come from it, and how
    often the last item led to it, it to the last and it to itself in the training sessions. The
    item's vector is no input: it has memorised the training sessions. Before training, :math:`w`
    orders the items as :class:`pyg_srgnn.baselines.SessionPopularity` does, and q is 0.

    The gate knows the session's vector, its clicks, how many of them were repeats, and the mean of
    the counts over its items, as they are and by the items' probability.

    Args:
        channels: Size d of the sessions' vectors, and of what is hidden.
        transitions: The component whose counts are read. (default: None: without those of the
            training sessions)
    """

    exclusive = True

    def __init__(self, channels: int, transitions: TransitionHead | None = None) -> None:
        super().__init__()
        self.lookup = "own_items" if transitions is None else "own_items_followed"
        self._transitions = (transitions,)  # in a tuple, it is no part of this module
        features = _IN_SESSION + (0 if transitions is None else _IN_TRAINING)
        self.weight = nn.Linear(features, 1, bias=False)
        self.lin = nn.Linear(features, channels)
        self.lin_session = nn.Linear(channels, channels, bias=False)
        self.frequency = nn.Embedding(_MOST + 1, channels)
        self.place = nn.Embedding(_MOST + 1, channels)
        self.q = nn.Linear(channels, 1, bias=False)
        self.lin_gate = nn.Linear(channels + 2 * features, channels)
        self.clicks = nn.Embedding(_MOST + 1, channels)
        self.repeats = nn.Embedding(_MOST + 1, channels)
        self.gate = nn.Linear(channels, 1)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Order the items as session popularity does."""
        self.q.weight.zero_()
        self.weight.weight.zero_()
        self.weight.weight[0, :2] = torch.tensor(_START)

    def tables(self) -> dict[str, Tensor]:
        """The counts of the transitions."""
        (transitions,) = self._transitions
        if transitions is None:
            return {}
        return {"followers": transitions.followers, "count": transitions.count}

    def forward(
        self, h: Tensor, s_h: Tensor, graphs: SessionGraphs, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        r"""The gate's logit [B], and :math:`\log softmax(r)` of every node [N].

        See :meth:`Component.forward` for the arguments; ``known`` is [N, 3, 2], or None without
        transitions.
        """
        session, num_sessions = graphs.batch, graphs.num_graphs
        clicks = graphs.clicks.lengths
        features = _features(graphs, known, self.weight.weight.dtype)
        hidden = (
            self.lin(features)
            + self.lin_session(s_h).index_select(0, session)
            + self.frequency(graphs.often.clamp(max=_MOST))
            + self.place(graphs.last_place.clamp(max=_MOST))
        )
        r = self.weight(features) + self.q(torch.tanh(hidden))
        r = at_least_float32(r.squeeze(-1))
        within = log_softmax_within(r, session, num_sessions)

        alike = graphs.nodes.index_select(0, session).to(features.dtype).reciprocal()
        weights = torch.stack([alike, within.detach().exp().to(features.dtype)], dim=1)
        means = (weights.unsqueeze(2) * features.unsqueeze(1)).view(-1, 2 * features.size(1))
        means = scatter(means, session, 0, num_sessions)
        repeats = clicks - graphs.nodes
        hidden = (
            self.lin_gate(torch.cat([s_h, means], dim=1))
            + self.clicks(clicks.clamp(max=_MOST))
            + self.repeats(repeats.clamp(0, _MOST))
        )
        return at_least_float32(self.gate(torch.tanh(hidden)).squeeze(-1)), within


def _features(graphs: SessionGraphs, known: Tensor | None, dtype: torch.dtype) -> Tensor:
    """What is counted of every node, in the session [N, 8] and in the training sessions [N, 7].

    Args:
        graphs: The session graphs.
        known: See :func:`pyg_srgnn.functional.lookups.own_items_followed`; None without the latter.
        dtype: Type of the result.
    """
    place, clicks, often = graphs.clicks.place, graphs.clicks.lengths, graphs.often
    alias, num_nodes, last = graphs.alias_index, often.numel(), graphs.last_place
    first = torch.zeros_like(often).scatter_reduce_(0, alias, place, "amax")
    is_last = last == 0
    is_last_but_one = summed((place == 1).long(), alias, num_nodes)
    # Of the edges from the last item, to where they lead; of those to it, where they come from.
    weight = torch.stack([graphs.edge_weight, graphs.edge_weight_in]) * is_last[graphs.edge_index]
    around = weight.new_zeros(2, num_nodes).scatter_add(1, graphs.edge_index.flip(0), weight)
    often = often.clamp(min=1)  # of a node that no click belongs to, which weighs nothing
    lengths = clicks.index_select(0, graphs.batch)
    logs = torch.stack([often, last + 1, first + 1, lengths]).to(dtype).log()
    which = torch.stack([is_last, is_last_but_one > 0]).to(dtype)
    in_session = [logs[0], logs[1], logs[2], logs[0] - logs[3]]
    in_session += [which[0], which[1], around[0].to(dtype), around[1].to(dtype)]
    if known is None:
        return torch.stack(in_session, dim=1)
    known = known.to(dtype)
    counted, total = known[:, :, 0], known[:, :, 1]
    share = 20 * counted / (total + 1)  # 20: half of the range of its logarithm is below 5 %
    in_training = [torch.cat([share, counted], dim=1).log1p(), total[:, 2:].log1p() / 4]
    return torch.cat([torch.stack(in_session, dim=1), *in_training], dim=1)
