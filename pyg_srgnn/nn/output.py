"""The output side of a model: makes of encoded sessions and item vectors what is multiplied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_srgnn.data.recency import recency
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.nn.losses import Pairs, at_least_float32
from pyg_srgnn.nn.normalize import normalize

TABLES = ("tied", "delta")


def not_counted(key: str) -> RuntimeError:
    """The error of training before ``set_training``, for what an argument asks."""
    return RuntimeError(
        f"training with {key!r} needs the numbers of the training samples, which a checkpoint does "
        "not hold; call set_training(sessions) before the loss (it was not called)"
    )


class Output(nn.Module):
    r"""Scales both vectors and appends columns, so that a score of several terms is one product.

    With :math:`\gamma` the scale, s an encoded session and :math:`v_i` an item's vector, the score

    .. math::
        \gamma e^{\tanh \tau(s)} \cos(s, v_i + \delta_i) + \sum_h f_h(s) \, c_{hi} + b_i

    is the product of :math:`[\gamma e^{\tanh \tau(s)} s / \|s\|; f(s); 1]` and
    :math:`[(v_i + \delta_i) / \|v_i + \delta_i\|; c_i; b_i]`. What is not asked for is left out,
    and what is learned starts at zero: it changes nothing at first, and cold items never.

    An item's popularity :math:`c_{hi}` is the logarithm of one plus its clicks in the training
    sessions, where a click weighs half as much for every half-life h that it lies back; less the
    mean of all trained items, so that a cold item's, 0, is an average one. In training, the click
    that is a sample's target is left out of its count (:meth:`without_own`).

    Args:
        num_items: Number of items V.
        channels: Size d of an item's vector.
        scale: Factor :math:`\gamma` of the cosine, or None for plain inner products.
        item_bias: Whether items have a bias b.
        popularity: Half-lives, as shares of the training samples; None or none of them for scores
            without popularity. Their factors f are linear functions of s.
        temperature: Whether there is :math:`\tau`, a linear function of s; it is bounded, as a
            softmax of products underflows otherwise.
        output_table: ``"tied"``, or ``"delta"`` for a second table :math:`\delta`.
        dropout: Probability that an entry of :math:`v_i + \delta_i` is dropped in training, before
            it is normalised. (default: 0)
    """

    def __init__(
        self,
        num_items: int,
        channels: int,
        scale: float | None,
        item_bias: bool,
        popularity: Sequence[float] | None,
        temperature: bool,
        output_table: str,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.scale = scale
        self.temperature = temperature
        self.dropout = dropout
        self.half_lives = list(popularity or [])
        learned = int(temperature) + len(self.half_lives)
        self.lin: nn.Linear | None = None
        if learned:  # Uses no random numbers: other parameters are initialised as without it.
            lin = nn.Linear(channels, learned, device="meta")
            self.lin = lin.to_empty(device=torch.get_default_device())
        self.bias = nn.Parameter(torch.zeros(num_items)) if item_bias else None
        delta = output_table == "delta"
        self.delta = nn.Parameter(torch.zeros(num_items, channels)) if delta else None
        # A buffer: a checkpoint scores sessions without the training sessions.
        counted = torch.zeros(num_items, len(self.half_lives)) if self.half_lives else None
        self.register_buffer("popularity", counted)
        self.register_buffer("mean", torch.zeros(len(self.half_lives)), persistent=False)
        self._num_samples = 0
        self.reset_parameters()

    popularity: Tensor | None
    mean: Tensor

    def reset_parameters(self) -> None:
        """Set all that is learned to zero."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def tables(self) -> dict[str, Tensor]:
        """What has one row per item, by its name."""
        found = {"bias": self.bias, "delta": self.delta, "popularity": self.popularity}
        return {name: table for name, table in found.items() if table is not None}

    def set_training(self, sessions: Sessions, num_trained: int) -> None:
        """Count the clicks of the training sessions, which hold the first items only."""
        if self.popularity is None:
            return
        self._num_samples = sessions.num_samples
        session = torch.arange(len(sessions)).repeat_interleave(sessions.lengths)
        first = sessions.offsets[:-1] - torch.arange(len(sessions))
        # A click is as old as the sample whose target it is; a first click as the sample after it.
        row = torch.maximum(torch.arange(sessions.num_clicks) - session - 1, first[session])
        weight = self._weight(row)
        clicks = torch.zeros(num_trained, weight.size(1), dtype=torch.float64)
        logs = clicks.index_add_(0, sessions.items, weight).log1p_()
        self.mean.copy_(logs.mean(dim=0))
        self.popularity.zero_()
        self.popularity[:num_trained] = (logs - logs.mean(dim=0)).to(self.popularity)

    def _weight(self, row: Tensor) -> Tensor:
        """Weights [N, H] of the clicks that are the targets of training samples [N]."""
        each = [recency(row, self._num_samples, half_life) for half_life in self.half_lives]
        return torch.stack(each, dim=1)

    def sessions(self, encoded: Tensor) -> Tensor:
        """Session vectors [B, D] of encoded sessions [B, d]; D counts the appended columns, too."""
        vectors = encoded if self.scale is None else self.scale * normalize(encoded)
        columns = []
        if self.lin is not None:
            learned = at_least_float32(self.lin(encoded))
            if self.temperature:
                vectors = vectors * torch.tanh(learned[:, :1]).exp().to(vectors.dtype)
            columns.append(learned[:, int(self.temperature) :].to(vectors.dtype))
        if self.bias is not None:
            columns.append(torch.ones_like(vectors[:, :1]))
        return torch.cat([vectors, *columns], dim=1) if columns else vectors

    def items(self, vectors: Tensor, items: Tensor | None = None) -> Tensor:
        """Vectors [N, D] of items by those of the item table.

        Args:
            vectors: Their vectors in the item table [N, d].
            items: The items [N]. (default: the first N)
        """

        def of(table: Tensor) -> Tensor:
            return table[: len(vectors)] if items is None else table.index_select(0, items)

        if self.delta is not None:
            vectors = vectors + of(self.delta)
        vectors = F.dropout(vectors, self.dropout, self.training)
        if self.scale is not None:
            vectors = normalize(vectors)
        columns = []
        if self.popularity is not None:
            columns.append(of(self.popularity).to(vectors.dtype))
        if self.bias is not None:
            columns.append(of(self.bias).unsqueeze(1))
        return torch.cat([vectors, *columns], dim=1) if columns else vectors

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Within it, nothing of the items' vectors is dropped."""
        dropout, self.dropout = self.dropout, 0.0
        try:
            yield
        finally:
            self.dropout = dropout

    def own(self, s_h: Tensor, data: Data, counted: bool | None = None) -> Tensor | None:
        r"""What the score of a sample's target loses without the sample's own click [B].

        That is :math:`\sum_h f_h(s) \log(1 - w_h / e^{c_h})` with the click's weights w, and c
        before the mean is subtracted. None where nothing is to be left out.

        Args:
            s_h: Session vectors [B, D].
            data: The samples, with next items ``y`` [B] and their numbers ``row`` [B].
            counted: Whether their clicks have been counted. (default: in training)

        Raises:
            RuntimeError: If :meth:`set_training` was not called.
        """
        counted = self.training if counted is None else counted
        if self.popularity is None or not counted:
            return None
        if not self._num_samples:
            raise not_counted("popularity")
        if "row" not in data:
            return None
        factor = s_h[:, self.channels : self.channels + len(self.half_lives)]
        logs = self.popularity.index_select(0, data.y) + self.mean
        share = self._weight(data.row) / logs.exp()
        return (factor * torch.log1p(-share).to(factor.dtype)).sum(dim=1)

    def without_own(self, losses: Tensor, s_h: Tensor, data: Data) -> Tensor:
        r"""Losses [B] with each target as popular as it is without the sample's click, in training.

        Where the target's score changes by :math:`\Delta`, and no other, a loss :math:`-\log p`
        becomes :math:`-\log p - \Delta + \log(1 - p + p e^\Delta)`.

        Args:
            losses: Losses [B].
            s_h: See :meth:`own`.
            data: See :meth:`own`.
        """
        change = self.own(s_h, data)
        if change is None:
            return losses
        return losses - change + _change_of_total(losses, change)

    def logs_without_own(
        self,
        logs: Tensor,
        items: Tensor,
        losses: Tensor,
        s_h: Tensor,
        data: Data,
        without: Pairs | None,
    ) -> Tensor:
        """Log-probabilities of items [B, K], likewise.

        Args:
            logs: Log-probabilities [B, K].
            items: The items [B, K].
            losses: Losses [B], before they are changed.
            s_h: See :meth:`own`.
            data: See :meth:`own`.
            without: Sessions and items [P] that the softmax leaves out; its total does not change
                with a target among them.
        """
        change = self.own(s_h, data)
        if change is None:
            return logs
        of_total = _change_of_total(losses, change)
        if without is not None:
            session, item = without
            of_total = of_total.index_fill(0, session[item == data.y[session]], 0)
        of_target: Tensor = change.unsqueeze(1) * (items == data.y.unsqueeze(1))
        return logs + of_target - of_total.unsqueeze(1)


def _change_of_total(losses: Tensor, change: Tensor) -> Tensor:
    """How the logarithms of the softmaxes' totals change with the targets' scores [B]."""
    # A target that the softmax leaves out has a loss below 0, for which there is no p.
    p = (-losses.clamp(min=torch.finfo(losses.dtype).eps)).exp()
    return torch.log1p(p * torch.expm1(change))
