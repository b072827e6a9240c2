"""Reads out session graphs with several queries, of the last clicks at several levels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from pyg_srgnn.functional.graphs import Clicks
from pyg_srgnn.nn.readout import Readout
from pyg_srgnn.utils.arguments import checking


class MultiLevelReadout(Readout):
    r"""As :class:`SessionReadout`, with a query and a head of attention for each level.

    .. math::
        \mathbf{u}_l = mean(\mathbf{h}_{n - l + 1}, \ldots, \mathbf{h}_n) \qquad
        \alpha_{lt} = \mathbf{q}_l^\top \sigma(\mathbf{W}_l \mathbf{u}_l
        + \mathbf{W}_2 \mathbf{h}_t + \mathbf{c}) \qquad
        \mathbf{s}_h = \mathbf{W}_3 [\mathbf{h}_n; \sum_t \alpha_{1t} \mathbf{h}_t; \ldots;
        \sum_t \alpha_{Lt} \mathbf{h}_t]

    The query of level l is made of the last l clicks, as in Atten-Mixer (`Zhang et al., WSDM 2023
    <https://arxiv.org/abs/2206.12781>`_): what a user wants is rarely that of one click alone. With
    one level, it is the readout of the paper.

    Args:
        channels: Size d of a node's features and of a session's vector.
        levels: Number of levels L.
        bias: Whether :math:`\mathbf{W}_3` has a bias. (default: False)
        positions: Number of places, counted from the end, with an embedding that goes into the
            attention; earlier clicks share the last one. (default: 0: none)

    Raises:
        ValueError: If an argument is out of its range.
    """

    attends = True

    def __init__(self, channels: int, levels: int, bias: bool = False, positions: int = 0) -> None:
        super().__init__(channels)
        with checking(self) as check:
            check.whole("channels", channels, 1)
            check.whole("levels", levels, 1)
            check.flag("bias", bias)
            check.whole("positions", positions, 0)
        self.levels = levels
        self.query = nn.Parameter(torch.empty(levels, channels, channels))
        self.lin_click = nn.Linear(channels, channels)
        self.q = nn.Parameter(torch.empty(levels, channels))
        self.position = nn.Embedding(positions, channels) if positions else None
        self.lin_out = nn.Linear((1 + levels) * channels, channels, bias=bias)
        self.reset_parameters()

    def read(self, h_click: Tensor, clicks: Clicks, marks: Tensor | None) -> Tensor:
        """See :meth:`Readout.read`."""
        means, alpha = self._attend(h_click, clicks, marks)
        weighted = alpha.unsqueeze(2) * h_click.unsqueeze(1)
        weighted = weighted.view(-1, self.levels * self.channels)
        s_g = scatter(weighted, clicks.session, dim_size=clicks.lengths.size(0))
        out: Tensor = self.lin_out(torch.cat([means[:, 0], s_g], dim=1))
        return out

    def weigh(self, h_click: Tensor, clicks: Clicks, marks: Tensor | None) -> Tensor:
        r"""The mean over the levels of :math:`\alpha_{lt}`, for every click [L]."""
        return self._attend(h_click, clicks, marks)[1].mean(dim=1)

    def _attend(
        self, h_click: Tensor, clicks: Clicks, marks: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Means of the last clicks [B, levels, d], and weights of all clicks [L, levels]."""
        session, place, lengths, _ = clicks
        # Each of the last clicks in a row of its own, the earlier ones in one behind.
        laid_out = h_click.new_zeros(lengths.size(0), self.levels + 1, self.channels)
        laid_out = laid_out.index_put((session, place.clamp(max=self.levels)), h_click)
        sums = laid_out[:, :-1].cumsum(dim=1)
        level = torch.arange(self.levels, device=session.device) + 1
        size = torch.minimum(level, lengths.unsqueeze(1)).unsqueeze(2)
        means = sums / size.to(sums.dtype)
        queries = (means.transpose(0, 1) @ self.query).transpose(0, 1)
        of_click = self.lin_click(h_click)
        if self.position is not None:
            of_click = of_click + self.position(place.clamp(max=self.position.num_embeddings - 1))
        if marks is not None:
            of_click = of_click + marks
        gate = torch.sigmoid(queries.index_select(0, session) + of_click.unsqueeze(1))
        return means, (gate * self.q).sum(dim=2)

    def __repr__(self) -> str:
        """Short description with the settings."""
        return f"{self.__class__.__name__}({self.channels}, levels={self.levels})"
