"""One more softmax of a mixture of softmaxes, from the same reading of the session."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_srgnn.functional.graphs import SessionGraphs
from pyg_srgnn.nn.expert import ItemExpert
from pyg_srgnn.nn.losses import at_least_float32


class SoftmaxHead(ItemExpert):
    r"""A joint :class:`ItemExpert` that makes another vector of the model's session vector.

    .. math::
        \mathbf{s} = \tanh(\mathbf{W} \mathbf{s}_h + \mathbf{b}), \qquad
        m = \mathbf{w}^\top \mathbf{s}_h + c

    with the logit m of the softmax's share, as in a mixture of softmaxes (`Yang et al., ICLR 2018
    <https://arxiv.org/abs/1711.03953>`_, equation 3), but that the gate's gradient ends at its
    input. The logarithm of one softmax of d-dimensional products is a matrix of rank d; that of
    several mixed is not.

    Args:
        channels: Size d of a session's vector.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(joint=True)
        self.lin = nn.Linear(channels, channels)
        self.gate = nn.Linear(channels, 1)

    def forward(self, clicked: Tensor, s_h: Tensor, graphs: SessionGraphs) -> tuple[Tensor, Tensor]:
        """See :meth:`ItemExpert.forward`."""
        return torch.tanh(self.lin(s_h)), at_least_float32(self.gate(s_h.detach()).squeeze(1))
