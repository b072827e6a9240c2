"""Joins a session's graph with its older part: the clicks of the user's earlier sessions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_srgnn.functional.earlier import OlderPart
from pyg_srgnn.functional.graphs import Clicks, SessionGraphs, counts, log_softmax_within


class OlderClicks(nn.Module):
    r"""What the clicks of a user's earlier sessions add to the session's graph.

    They are a path that leads to the session's first click, on nodes that the session's items
    share. Its edges are marked: a learned factor multiplies their weights in the propagation, one
    in each direction, and a learned vector is added to the nodes that were clicked earlier:

    .. math::
        \mathbf{a}_v = \sum_{u \to v} w_{uv} \mathbf{h}_u
        + e^{\theta} \sum_{u \to v}^{older} w'_{uv} \mathbf{h}_u

    Weights :math:`w'` are normalised within the older part. If both parts shared a normalisation,
    a long history would weaken the session's own edges, which tell what the user wants now; so the
    session's sums stay what they are without a history, and :math:`\theta \to -\infty` is the model
    without such edges.

    A round of propagation does not carry the history to a node that is on no such edge. So all
    nodes of the session get a summary of the K earlier clicks after it, that a softmax makes of
    them for the session's last click:

    .. math::
        \beta_t = \mathrm{softmax}_t \, \mathbf{q}^\top \sigma(\mathbf{W}_1 \mathbf{h}_{last}
        + \mathbf{W}_2 \mathbf{h}_t + \mathbf{p}_t) \qquad
        \mathbf{h}_v \leftarrow \mathbf{h}_v + \mathbf{W}_3 \sum_t \beta_t \mathbf{h}_t

    where :math:`\mathbf{p}_t` is an embedding of the place from the end. The readout then reads the
    session's clicks alone, so that its query is the last click; its attention has no softmax, and
    would grow with the history if it read that, too. Factors start at 1, the vector and
    :math:`\mathbf{W}_3` at 0.

    Args:
        channels: Size d of a node's features.
        num_earlier: How many earlier clicks a session has at most.
    """

    def __init__(self, channels: int, num_earlier: int) -> None:
        super().__init__()
        self.log_factor = nn.Parameter(torch.empty(2))
        self.node = nn.Parameter(torch.empty(channels))
        self.lin_last = nn.Linear(channels, channels, bias=False)
        self.lin_click = nn.Linear(channels, channels, bias=False)
        self.place = nn.Embedding(num_earlier, channels)
        self.q = nn.Linear(channels, 1, bias=False)
        self.lin_out = nn.Linear(channels, channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with edges that weigh as much as the session's, and nothing that is added."""
        for parameter in (self.log_factor, self.node, self.lin_out.weight):
            nn.init.zeros_(parameter)

    def forward(
        self, x: Tensor, edge_index: Tensor, weights: tuple[Tensor, Tensor], older: OlderPart
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Nodes and edges of both parts.

        Args:
            x: Features of the session's nodes [N, d].
            edge_index: The session's edges [2, E].
            weights: Their weights in their sources' and in their targets' sums [E] both.
            older: The older part, with M nodes and K edges.

        Returns:
            The same of N + M nodes and E + K edges, the session's first.
        """
        x = torch.cat([x, older.embedded])
        clicked = counts(older.edge[:, 0], x.size(0)).clamp(max=1)
        x = x + clicked.to(x.dtype).unsqueeze(1) * self.node
        added = older.weight.to(x.dtype) * self.log_factor.exp()
        out, into = weights
        weights = torch.cat([out, added[:, 0]]), torch.cat([into, added[:, 1]])
        return x, torch.cat([edge_index, older.edge.transpose(0, 1)], dim=1), weights

    def read(self, h: Tensor, graphs: SessionGraphs, older: OlderPart) -> Tensor:
        """Features of the session's nodes [N, d], with the summary of the earlier clicks.

        Args:
            h: Features of all nodes after propagation [N + M, d].
            graphs: The session graphs, with N nodes.
            older: Their older part.
        """
        own = torch.arange(graphs.batch.size(0), device=h.device)
        clicked, session = h.index_select(0, older.edge[:, 0]), older.session
        place = Clicks.of(session, graphs.num_graphs).place.clamp(max=self.place.num_embeddings - 1)
        gate = self.lin_last(h.index_select(0, graphs.last_node)).index_select(0, session)
        gate = gate + self.lin_click(clicked) + self.place(place)
        score = self.q(torch.sigmoid(gate)).squeeze(1)
        share = log_softmax_within(score, session, graphs.num_graphs).exp().unsqueeze(1)
        summary = h.new_zeros(graphs.num_graphs, h.size(1)).index_add(0, session, share * clicked)
        added: Tensor = self.lin_out(summary)
        return h.index_select(0, own) + added.index_select(0, graphs.batch)
