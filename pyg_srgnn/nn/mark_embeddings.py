"""Embeddings of the marks of clicks: of their types, and of the pauses before them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_srgnn.functional.graphs import SessionGraphs, counts
from pyg_srgnn.functional.marks import GAPS


class MarkEmbeddings(nn.Module):
    r"""What the marks of clicks add to a session graph.

    A node's features get the mean over its clicks of an embedding of each mark, and the attention
    of a click one of its own. With types, the weight of an edge in the propagation is multiplied
    by a factor of the types of the clicks that its steps end with, one factor in each direction:

    .. math::
        w'_{uv} = w_{uv} \sum_t a_{uvt} e^{\theta_t}

    where :math:`a_{uvt}` is the share of the steps along the edge that end with a click of type
    :math:`t`. The factors start at 1.

    Args:
        channels: Size d of a node's features.
        num_events: Number of types T. (default: 0, none)
        gaps: Whether there are pauses, in :data:`~pyg_srgnn.functional.marks.GAPS` buckets.
            (default: False)
    """

    def __init__(self, channels: int, num_events: int = 0, gaps: bool = False) -> None:
        super().__init__()
        sizes = ({"event": num_events} if num_events else {}) | ({"gap": GAPS} if gaps else {})
        self.num_events = num_events
        self.gaps = gaps
        self.node = nn.ModuleDict({name: nn.Embedding(n, channels) for name, n in sizes.items()})
        self.click = nn.ModuleDict({name: nn.Embedding(n, channels) for name, n in sizes.items()})
        self.step = nn.Embedding(num_events, 2) if num_events else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as if there were no marks: all is zero."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def nodes(self, graphs: SessionGraphs) -> Tensor:
        """What is added to the nodes' features [N, d]."""
        of_click = self._sum(self.node, graphs)
        alias, num_nodes = graphs.alias_index, graphs.batch.numel()
        total = of_click.new_zeros(num_nodes, of_click.size(1)).index_add(0, alias, of_click)
        return total / counts(alias, num_nodes).to(total.dtype).unsqueeze(1)

    def clicks(self, graphs: SessionGraphs) -> Tensor:
        """What is added to the clicks in the attention [L, d]."""
        return self._sum(self.click, graphs)

    def weights(self, graphs: SessionGraphs) -> tuple[Tensor, Tensor]:
        """Weights of the edges in their sources' and in their targets' sums [E] both."""
        if self.step is None:
            return graphs.edge_weight, graphs.edge_weight_in
        shares = _given(graphs, "edge_attr")
        factors = shares.to(self.step.weight.dtype) @ self.step.weight.exp()
        return graphs.edge_weight * factors[:, 0], graphs.edge_weight_in * factors[:, 1]

    def _sum(self, embeddings: nn.ModuleDict, graphs: SessionGraphs) -> Tensor:
        found = [embedding(_given(graphs, name)) for name, embedding in embeddings.items()]
        return torch.stack(found).sum(dim=0) if len(found) > 1 else found[0]


def _given(graphs: SessionGraphs, name: str) -> Tensor:
    """A mark of the graphs.

    Raises:
        ValueError: If they have none.
    """
    mark: Tensor | None = getattr(graphs, name)
    if mark is None:
        what = "pauses (dataset.pauses)" if name == "gap" else "types of clicks (dataset.event)"
        raise ValueError(f"the model was made for {what}, and the session graphs have no {name!r}")
    return mark
