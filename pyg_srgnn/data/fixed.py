"""Builds batches of a few fixed sizes, where the sessions are: on a GPU, without the host."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pyg_srgnn.data.sessions import Sessions


@dataclass
class FixedBatch:
    """Session graphs of B samples and one session more, which takes up the rest and weighs nothing.

    It has what a model asks of a ``Batch``, and the loss and gradients of one. A node is made of
    every click, though only an item's first one in its session has edges: how many items there are
    need not be known.
    """

    x: Tensor
    """Item of each node [L]."""
    edge_index: Tensor
    """Edges [2, L - 1], one from each click to the next; a repeated edge is there as often."""
    edge_weight: Tensor
    """Weight of each, 0 between two sessions [L - 1]."""
    edge_weight_in: Tensor
    """See ``edge_weight``."""
    alias_index: Tensor
    """Node of each click [L]."""
    batch: Tensor
    """Session of each node [L]."""
    y: Tensor
    """Next item of each session [B + 1]."""
    row: Tensor
    """Number of each sample [B + 1]."""
    target_weight: Tensor
    """Weight of each session in the mean of B + 1 losses, such that it is that of the samples."""
    global_size: int
    """Number of samples."""
    session_clicks: int
    """Clicks of the whole sessions of all samples, rounded up."""
    loss_weight: float = field(default=1.0, init=False)
    """See :class:`~pyg_srgnn.datasets.loader.SessionLoader`."""

    @property
    def num_graphs(self) -> int:
        """Number of sessions, the one that weighs nothing among them."""
        return self.y.size(0)

    def __contains__(self, name: str) -> bool:
        """Whether it has a value of this name, as of a ``Data``."""
        return name in self.__dataclass_fields__

    def to(self, device: torch.device, non_blocking: bool = False) -> FixedBatch:
        """The batch on a device, which is where it was made."""
        del device, non_blocking
        return self


class FixedBatches:
    """Builds batches of samples from sessions that lie on a device.

    All operations are of fixed sizes and take place there: the host sends sample numbers, and waits
    for nothing. Clicks take the next multiple of the batch's size, so that a training has few sizes
    in all, which ``torch.compile`` and CUDA graphs ask for.

    Args:
        sessions: The sessions, without types of clicks or pauses.
        num_items: Number of items V.
        batch_size: Samples of a batch B; a smaller one is filled up with samples of weight 0.
        device: Where to build. (default: the CPU)
    """

    def __init__(
        self,
        sessions: Sessions,
        num_items: int,
        batch_size: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.num_items = num_items
        self.batch_size = batch_size
        self.sessions = sessions
        self.device = torch.device(device)
        self._items = sessions.items.to(self.device)

    def __call__(self, numbers: list[int]) -> FixedBatch:
        """The batch of samples, by their numbers."""
        size = len(numbers)
        number = torch.tensor(numbers + numbers[:1] * (self.batch_size - size))
        session, cut = self.sessions.samples(number)
        start, clicks = self.sessions.offsets[session], int(cut.sum())
        lengths = self.sessions.offsets[session + 1] - start
        whole = int(lengths.sum() + lengths[0])  # and of the session that takes up the rest
        total = (clicks // self.batch_size + 1) * self.batch_size  # one click more at the least
        of_samples = torch.stack([number, start, cut])
        if self.device.type == "cuda":
            of_samples = of_samples.pin_memory()
        of_samples = of_samples.to(self.device, non_blocking=True)
        weight = torch.zeros(self.batch_size + 1, device=self.device)
        weight[:size] = (self.batch_size + 1) / size
        number, start, cut = of_samples
        tensors = fixed_graphs(self._items, start, cut, total, self.num_items)
        row = torch.cat([number, number[:1]])
        return FixedBatch(
            **tensors,
            row=row,
            target_weight=weight,
            global_size=size,
            session_clicks=1 << whole.bit_length(),  # of few sizes, as the other tensors
        )


def fixed_graphs(
    items: Tensor, start: Tensor, cut: Tensor, total: int, num_items: int
) -> dict[str, Tensor]:
    """Build the graphs of :class:`FixedBatch`.

    Args:
        items: Item index of every click of all sessions.
        start: Where the session of each sample starts there [B].
        cut: Number of clicks of each sample, which its target follows [B].
        total: Number of clicks L of the batch, above the sum of ``cut``.
        num_items: Number of items V.
    """
    size, place = len(cut), torch.arange(total, device=items.device)
    ends = cut.cumsum(0)
    session = torch.searchsorted(ends, place, right=True)  # B where no sample has a click
    rest = torch.full_like(ends[:1], -total)
    shift = torch.cat([start - (ends - cut), rest]).index_select(0, session)
    item = items.index_select(0, (place + shift).clamp_(min=0))

    key = session * num_items + item
    ordered, order = key.sort(stable=True)
    alias = order.index_select(0, torch.searchsorted(ordered, key))  # the first of equal ones
    source, target = alias[:-1], alias[1:]
    inside = (session[1:] == session[:-1]) & (session[1:] < size)
    one = inside.to(torch.get_default_dtype())
    degree = one.new_zeros(2, total)
    degree[0].scatter_add_(0, source, one)
    degree[1].scatter_add_(0, target, one)
    degree.clamp_(min=1)
    return {
        "x": item,
        "edge_index": torch.stack([source, target]),
        "edge_weight": one / degree[0].index_select(0, source),
        "edge_weight_in": one / degree[1].index_select(0, target),
        "alias_index": alias,
        "batch": session.where(alias == place, size),
        "y": items.index_select(0, torch.cat([start + cut, torch.zeros_like(cut[:1])])),
    }
