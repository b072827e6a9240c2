"""A second reading of the session, as a sequence of clicks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_srgnn.functional.graphs import SessionGraphs
from pyg_srgnn.nn.expert import ItemExpert
from pyg_srgnn.nn.losses import at_least_float32

LONGEST = 20  # last clicks that are read


class SequenceExpert(ItemExpert):
    r"""An :class:`ItemExpert` that reads the last clicks one after another.

    .. math::
        \mathbf{s} = GRU(\mathbf{v}_1, \ldots, \mathbf{v}_n), \qquad
        m = \sigma(\mathbf{w}^\top \tanh(\mathbf{W} [\mathbf{s}_h; \mathbf{s}] + \mathbf{b}) + c)

    with the vectors :math:`\mathbf{v}_t` that the clicked items enter the model as, and the
    softmax's share m, by the model's session vector :math:`\mathbf{s}_h` (GRU4Rec, `Hidasi et al.,
    ICLR 2016 <https://arxiv.org/abs/1511.06939>`_). The gate's gradient ends at its inputs. Of a
    longer session, the last 20 clicks are read: all sessions are laid out in as many steps, which
    no host has to count.

    Args:
        channels: Size d of an item's vector and of the state.
        joint: See :class:`ItemExpert`. (default: False)
    """

    def __init__(self, channels: int, joint: bool = False) -> None:
        super().__init__(joint)
        self.gru = nn.GRU(channels, channels)
        self.lin_gate = nn.Linear(2 * channels, channels)
        self.gate = nn.Linear(channels, 1)

    def forward(self, clicked: Tensor, s_h: Tensor, graphs: SessionGraphs) -> tuple[Tensor, Tensor]:
        """See :meth:`ItemExpert.forward`."""
        session, place, lengths, _ = graphs.clicks
        num_sessions = lengths.size(0)
        read = lengths.clamp(max=LONGEST)
        step = read.index_select(0, session) - place
        # Earlier clicks go to a row before the first step.
        laid_out = clicked.new_zeros(LONGEST + 1, num_sessions, clicked.size(1)).index_put(
            (step.clamp(min=0), session), clicked.index_select(0, graphs.alias_index)
        )
        states, _ = self.gru(laid_out[1:])
        last = states[read - 1, torch.arange(num_sessions, device=read.device)]
        known = torch.cat([s_h.detach(), last.detach()], dim=1)
        gate = self.gate(torch.tanh(self.lin_gate(known))).squeeze(1)
        return last, at_least_float32(gate)
