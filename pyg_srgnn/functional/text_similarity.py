"""Weights of the edges of session graphs by how alike the texts of their ends are."""

from __future__ import annotations

from torch import Tensor

from pyg_srgnn.functional.graphs import SessionGraphs


def similar_weights(
    graphs: SessionGraphs, x: Tensor, text: Tensor, factor: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Multiply the weights of edges by a factor of the cosine of their ends' texts.

    .. math::
        w'_{uv} = w_{uv} \exp(\theta \cos(t_u, t_v))

    Args:
        graphs: The session graphs.
        x: Item of each node [N].
        text: Whitened texts of the items, of length 1, or 0 without a text [V, F].
        factor: :math:`\theta` of the weights in the sources' sums, and in the targets' [2].

    Returns:
        The weights in the sources' sums and in the targets' [E] both.
    """
    first, second = (text.index_select(0, x.index_select(0, end)) for end in graphs.edge_index)
    cosine = (first * second).sum(dim=1)
    outgoing, incoming = (factor.unsqueeze(1) * cosine.to(factor.dtype)).exp()
    return graphs.edge_weight * outgoing, graphs.edge_weight_in * incoming
