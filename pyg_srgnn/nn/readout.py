"""Reads out the nodes of session graphs as one vector per session."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from pyg_srgnn.functional.graphs import Clicks
from pyg_srgnn.utils.arguments import checking

MODES = ("hybrid", "local", "average", "attention")


class Readout(nn.Module, ABC):
    """The base class of readouts, which make a session's vector of its clicks.

    Args:
        channels: Size of a node's features and of a session's vector.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/√channels, 1/√channels), as the authors' code does."""
        bound = self.channels**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    @property
    @abstractmethod
    def attends(self) -> bool:
        """Whether the readout weighs the clicks."""

    @abstractmethod
    def read(self, h_click: Tensor, clicks: Clicks, marks: Tensor | None) -> Tensor:
        """Session vectors [B, channels] of the clicks' nodes [L, channels].

        See :meth:`forward` for the arguments.
        """

    @abstractmethod
    def weigh(self, h_click: Tensor, clicks: Clicks, marks: Tensor | None) -> Tensor:
        """Weight of every click [L], of a readout that attends; as :meth:`read`."""

    def forward(
        self,
        h: Tensor,
        alias_index: Tensor,
        batch: Tensor,
        batch_size: int | None = None,
        marks: Tensor | None = None,
        clicks: Clicks | None = None,
    ) -> Tensor:
        """Read out the sessions of a batch.

        Args:
            h: Node features [N, channels].
            alias_index: Node of each click, the sessions one after another [L].
            batch: Session of each node [N].
            batch_size: Number of sessions B. (default: read from ``batch``)
            marks: What is added to each click in the attention [L, channels]. (default: nothing)
            clicks: The clicks, where they have been counted. (default: they are counted)

        Returns:
            Session vectors [B, channels].
        """
        clicks = clicks or _clicks_of(alias_index, batch, batch_size)
        return self.read(h.index_select(0, alias_index), clicks, marks)

    def attention(
        self,
        h: Tensor,
        alias_index: Tensor,
        batch: Tensor,
        batch_size: int | None = None,
        marks: Tensor | None = None,
    ) -> Tensor:
        r"""The weight :math:`\alpha_t` of every click [L]; see :meth:`forward` for the arguments.

        Raises:
            ValueError: If this readout has no attention.
        """
        if not self.attends:
            raise ValueError(f"{self!r} has no attention")
        clicks = _clicks_of(alias_index, batch, batch_size)
        return self.weigh(h.index_select(0, alias_index), clicks, marks)


class SessionReadout(Readout):
    r"""Soft attention over the *clicks* of a session (Wu et al., AAAI 2019, equations 6-7).

    .. math::
        \mathbf{s}_l = \mathbf{h}_{last} \qquad
        \alpha_t = \mathbf{q}^\top \sigma(\mathbf{W}_1 \mathbf{h}_{last}
        + \mathbf{W}_2 \mathbf{h}_t + \mathbf{c}) \qquad
        \mathbf{s}_g = \sum_t \alpha_t \mathbf{h}_t \qquad
        \mathbf{s}_h = \mathbf{W}_3 [\mathbf{s}_l ; \mathbf{s}_g]

    A repeated item counts once for every click, and *last* is the last click's node.

    Args:
        channels: Size of a node's features and of a session's vector.
        mode: ``"hybrid"`` as above, or one of the paper's ablations: ``"local"`` (SR-GNN-L,
            :math:`\mathbf{s}_l` alone), ``"average"`` (SR-GNN-AVG, the mean over the clicks),
            ``"attention"`` (SR-GNN-ATT, :math:`\mathbf{s}_g` alone). (default: ``"hybrid"``)
        bias: Whether :math:`\mathbf{W}_3` has a bias, as in the authors' code. (default: False)
        last_k: Number of last clicks whose mean is :math:`\mathbf{s}_l`. (default: 1)
        positions: Number of places, counted from the end, with an embedding that goes
            into the attention; earlier clicks share the last one. As in GCE-GNN (`Wang et
            al., SIGIR 2020 <https://arxiv.org/abs/2106.05081>`_, equation 12). (default: 0: none)

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        channels: int,
        mode: str = "hybrid",
        bias: bool = False,
        last_k: int = 1,
        positions: int = 0,
    ) -> None:
        super().__init__(channels)
        with checking(self) as check:
            check.whole("channels", channels, 1)
            check.one_of("mode", mode, MODES)
            check.flag("bias", bias)
            check.whole("last_k", last_k, 1)
            check.whole("positions", positions, 0)
        self.mode = mode
        self.last_k = last_k
        self.positions = positions
        if self.attends:
            self.lin_last = nn.Linear(channels, channels, bias=False)
            self.lin_click = nn.Linear(channels, channels)
            self.q = nn.Linear(channels, 1, bias=False)
            if positions:
                self.position = nn.Embedding(positions, channels)
        if mode == "hybrid":
            self.lin_out = nn.Linear(2 * channels, channels, bias=bias)
        self.reset_parameters()

    @property
    def attends(self) -> bool:
        """Whether the readout weighs the clicks."""
        return self.mode in ("hybrid", "attention")

    def read(self, h_click: Tensor, clicks: Clicks, marks: Tensor | None) -> Tensor:
        """See :meth:`Readout.read`."""
        session, batch_size = clicks.session, clicks.lengths.size(0)
        last = h_click.index_select(0, clicks.last)
        local = last
        if self.last_k > 1:
            near = (clicks.place < self.last_k).to(h_click.dtype).unsqueeze(1)
            total = scatter(near * h_click, session, dim_size=batch_size)
            local = total / clicks.lengths.clamp(max=self.last_k).to(total.dtype).unsqueeze(1)
        if self.mode == "local":
            return local
        if self.mode == "average":
            mean: Tensor = scatter(h_click, session, dim_size=batch_size, reduce="mean")
            return mean
        alpha = self._alpha(h_click, last, clicks, marks)
        s_g: Tensor = scatter(alpha * h_click, session, dim_size=batch_size)
        if self.mode == "attention":
            return s_g
        out: Tensor = self.lin_out(torch.cat([local, s_g], dim=-1))
        return out

    def weigh(self, h_click: Tensor, clicks: Clicks, marks: Tensor | None) -> Tensor:
        """See :meth:`Readout.weigh`."""
        last = h_click.index_select(0, clicks.last)
        return self._alpha(h_click, last, clicks, marks).squeeze(1)

    def _alpha(self, h_click: Tensor, last: Tensor, clicks: Clicks, marks: Tensor | None) -> Tensor:
        """Weights [L, 1] of clicks by their vectors [L, d], those of the last ones [B, d], marks.

        For the marks see :meth:`Readout.forward`.
        """
        gate = self.lin_last(last).index_select(0, clicks.session) + self.lin_click(h_click)
        if self.positions:
            gate = gate + self.position(clicks.place.clamp(max=self.positions - 1))
        if marks is not None:
            gate = gate + marks
        alpha: Tensor = self.q(torch.sigmoid(gate))
        return alpha

    def __repr__(self) -> str:
        """Short description with the settings."""
        return f"{self.__class__.__name__}({self.channels}, mode={self.mode})"


def _clicks_of(alias_index: Tensor, batch: Tensor, batch_size: int | None) -> Clicks:
    """The clicks of a batch; see :meth:`Readout.forward` for the arguments."""
    if batch_size is None:
        batch_size = int(batch[-1]) + 1
    return Clicks.of(batch.index_select(0, alias_index), batch_size)
