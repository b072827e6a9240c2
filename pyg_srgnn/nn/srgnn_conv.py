"""The gated graph layer of SR-GNN."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_sparse, scatter, to_edge_index

from pyg_srgnn.utils.arguments import checking


class SRGNNConv(MessagePassing):
    r"""The gated layer of SR-GNN on any directed graph.

    From `"Session-based Recommendation with Graph Neural Networks"
    <https://arxiv.org/abs/1811.00855>`_ (Wu et al., AAAI 2019), equations 1-5.

    Every step hears both directions of the edges and updates each node through a gated unit; all
    steps share their weights:

    .. math::
        \mathbf{a}_i &= \Big[ \sum_{u \to i} w^{in}_{ui} (\mathbf{W}_{in} \mathbf{h}_u
        + \mathbf{b}_{in}) \,;\, \sum_{i \to x} w^{out}_{ix} (\mathbf{W}_{out} \mathbf{h}_x
        + \mathbf{b}_{out}) \Big] + \mathbf{b}

        \mathbf{z} &= \sigma(\mathbf{W}_z \mathbf{a} + \mathbf{U}_z \mathbf{h}) \qquad
        \mathbf{r} = \sigma(\mathbf{W}_r \mathbf{a} + \mathbf{U}_r \mathbf{h})

        \tilde{\mathbf{h}} &= \tanh(\mathbf{W}_o \mathbf{a}
        + \mathbf{U}_o (\mathbf{r} \odot \mathbf{h})) \qquad
        \mathbf{h}' = (1 - \mathbf{z}) \odot \mathbf{h} + \mathbf{z} \odot \tilde{\mathbf{h}}

    The authors' code resets after the product instead, with biases in the gates:
    :math:`\tilde{\mathbf{h}} = \tanh(\mathbf{W}_o \mathbf{a} + \mathbf{r} \odot
    (\mathbf{U}_o \mathbf{h} + \mathbf{b}_o))`. That is ``reset_after=True``.

    Args:
        channels: Size of a node's features, in and out.
        num_steps: Rounds of propagation. (default: 1)
        reset_after: Whether to take the authors' form of the gates. (default: False, the paper's)
        bias: Whether there are biases: of both directions, after the aggregation and, with
            ``reset_after``, in the gates. (default: True)
        **kwargs: Further arguments of :class:`torch_geometric.nn.conv.MessagePassing`.

    Shapes:
        - **input:** node features :math:`(|V|, channels)`, edge index :math:`(2, |E|)` or
          transposed adjacency matrix :math:`(|V|, |V|)`, weights by out-degree and by in-degree
          :math:`(|E|)` or :math:`(|E|, 1)`, both optional
        - **output:** node features :math:`(|V|, channels)`

    Raises:
        ValueError: If ``channels`` or ``num_steps`` is less than 1, the features or weights have
            another size, or the graph is bipartite.

    Example:
        >>> conv = SRGNNConv(channels=64, num_steps=2)
        >>> conv(torch.randn(3, 64), torch.tensor([[0, 1, 1], [1, 2, 0]])).shape
        torch.Size([3, 64])
    """

    def __init__(
        self,
        channels: int,
        num_steps: int = 1,
        reset_after: bool = False,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        with checking(self) as check:
            check.whole("channels", channels, 1)
            check.whole("num_steps", num_steps, 1)
            check.flag("reset_after", reset_after)
            check.flag("bias", bias)
            # It propagates along both directions: whoever wants another flow flips the edges.
            check.one_of("flow", kwargs.get("flow", "source_to_target"), ["source_to_target"])
        super().__init__(**kwargs)
        self.channels = channels
        self.num_steps = num_steps
        self.reset_after = reset_after

        self.lin_in = nn.Linear(channels, channels, bias=bias)
        self.lin_out = nn.Linear(channels, channels, bias=bias)
        self.bias = nn.Parameter(torch.empty(2 * channels)) if bias else None
        # Three products in one, in the order reset, update, candidate.
        self.lin_ih = nn.Linear(2 * channels, 3 * channels, bias=bias and reset_after)
        self.lin_hh = nn.Linear(channels, 3 * channels, bias=bias and reset_after)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/√channels, 1/√channels), as the authors' code does."""
        bound = self.channels**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | SparseTensor,
        edge_weight: Tensor | None = None,
        edge_weight_in: Tensor | None = None,
    ) -> Tensor:
        """Propagate along the edges.

        Args:
            x: Node features [N, channels].
            edge_index: Source and target of each edge [2, E], or the transposed adjacency matrix
                [N, N] that :class:`torch_geometric.transforms.ToSparseTensor` makes. Its values
                are the ``edge_weight``, unless all are one, as in a graph without weights.
            edge_weight: Weight of each edge in its source's outgoing sum [E] or [E, 1], in the
                order of the edges, or of the matrix's entries. (default: one over the source's
                out-degree)
            edge_weight_in: Weight of each edge in its target's incoming sum, likewise. (default:
                one over the target's in-degree)

        Returns:
            Node features [N, channels].
        """
        if not isinstance(x, Tensor):
            raise ValueError(
                f"SRGNNConv: 'x' must be one tensor (got a {type(x).__name__}); bipartite graphs "
                f"are not supported, because the gates update every node from its own features, "
                f"and every node hears both directions: sources and targets must be of one type"
            )
        if x.dim() != 2 or x.size(1) != self.channels:
            raise ValueError(
                f"SRGNNConv: 'x' must have shape [nodes, {self.channels}] (got {list(x.shape)})"
            )
        if is_sparse(edge_index):
            edge_index, values = _edges(edge_index, x)
            edge_weight = values if edge_weight is None else edge_weight
        edge_weight = _weight("edge_weight", edge_weight, edge_index[0], x)
        edge_weight_in = _weight("edge_weight_in", edge_weight_in, edge_index[1], x)

        backward_index = edge_index.flip(0)
        for _ in range(self.num_steps):
            incoming = self.propagate(edge_index, x=self.lin_in(x), edge_weight=edge_weight_in)
            outgoing = self.propagate(backward_index, x=self.lin_out(x), edge_weight=edge_weight)
            a = torch.cat([incoming, outgoing], dim=-1)
            if self.bias is not None:
                a = a + self.bias
            x = self._gates(a, x)
        return x

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        """Weigh the other end of each edge."""
        return x_j * edge_weight.to(x_j.dtype).unsqueeze(-1)

    def _gates(self, a: Tensor, h: Tensor) -> Tensor:
        sizes = [2 * self.channels, self.channels]
        a_rz, a_o = torch.split(self.lin_ih(a), sizes, dim=-1)
        if self.reset_after:
            h_rz, h_o = torch.split(self.lin_hh(h), sizes, dim=-1)
            r, z = torch.sigmoid(a_rz + h_rz).chunk(2, dim=-1)
            candidate = torch.tanh(a_o + r * h_o)
        else:
            u_rz, u_o = torch.split(self.lin_hh.weight, sizes)
            r, z = torch.sigmoid(a_rz + F.linear(h, u_rz)).chunk(2, dim=-1)
            candidate = torch.tanh(a_o + F.linear(r * h, u_o))
        return h + z * (candidate - h)

    def __repr__(self) -> str:
        """Short description with the settings."""
        return (
            f"{self.__class__.__name__}({self.channels}, num_steps={self.num_steps}, "
            f"reset_after={self.reset_after})"
        )


def _edges(adj_t: Tensor | SparseTensor, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """The edges of a transposed adjacency matrix, and their weights if there are any."""
    size = [adj_t.size(0), adj_t.size(1)]
    if size != [x.size(0)] * 2:
        raise ValueError(
            f"SRGNNConv: 'adj_t' must have shape [{x.size(0)}, {x.size(0)}], a row and a column "
            f"for each node of 'x' (got {size})"
        )
    backward_index, values = to_edge_index(adj_t)
    # torch's sparse matrices have values even where the graph has no weights.
    return backward_index.flip(0), None if bool((values == 1).all()) else values


def _weight(name: str, weight: Tensor | None, end: Tensor, x: Tensor) -> Tensor:
    """The weights given [E], or one over the number of edges that share this end."""
    if weight is not None:
        if weight.dim() == 2 and weight.size(1) == 1:
            weight = weight.squeeze(1)
        if weight.dim() != 1 or weight.size(0) != end.size(0):
            edges = end.size(0)
            raise ValueError(
                f"SRGNNConv: '{name}' must have shape [{edges}] or [{edges}, 1], a weight for "
                f"each edge (got {list(weight.shape)})"
            )
        return weight
    # Half precision could not count beyond some hundreds of edges.
    ones = torch.ones_like(end, dtype=torch.promote_types(x.dtype, torch.float32))
    degree: Tensor = scatter(ones, end, dim_size=x.size(0))
    return 1 / degree[end]
