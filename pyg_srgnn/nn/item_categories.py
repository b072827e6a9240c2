"""Embeddings of the categories of a catalogue's items."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ItemCategories(nn.Embedding):
    r"""The sum over columns of the embedding of an item's value [V, d].

    A value that training lacks and a missing one add zeros, whatever is learned.

    Args:
        num_items: Number of items V.
        channels: Size d of an embedding.
        sizes: Number of values of each column, one at least [C].
    """

    codes: Tensor

    def __init__(self, num_items: int, channels: int, sizes: Sequence[int]) -> None:
        super().__init__(sum(sizes), channels)
        self.sizes = list(sizes)
        self.register_buffer("codes", torch.zeros(num_items, len(sizes), dtype=torch.long))

    def set_codes(self, codes: Tensor) -> None:
        """Take the value of every item in every column, from 0, -1 of none [V, C].

        Raises:
            ValueError: If the shape is another one, or a value is not among those of its column.
        """
        if codes.shape != self.codes.shape:
            raise ValueError(
                f"ItemCategories: codes must have the shape {list(self.codes.shape)} (got "
                f"{list(codes.shape)})"
            )
        sizes = torch.tensor(self.sizes, device=codes.device)
        if bool(((codes < -1) | (codes >= sizes)).any()):
            raise ValueError(
                f"ItemCategories: codes must be from -1 to below {self.sizes} (got "
                f"{codes.min(0).values.tolist()} to {codes.max(0).values.tolist()})"
            )
        first = 1 + sizes.cumsum(0) - sizes  # row 0 is the zeros
        self.codes.copy_(torch.where(codes < 0, 0, codes + first))

    @property
    def known(self) -> Tensor:
        """Whether an item has a value in some column, bool [V]."""
        return (self.codes > 0).any(dim=1)

    def forward(self, items: Tensor | None = None) -> Tensor:
        """What is added to some items' vectors [N, d], or to those of all for None."""
        codes = self.codes if items is None else self.codes.index_select(0, items)
        rows = F.pad(self.weight, (0, 0, 1, 0))
        total = F.embedding(codes[:, 0], rows)
        for column in codes.T[1:]:
            total = total + F.embedding(column, rows)
        return total

    def weighted(self, items: Tensor, weight: Tensor) -> Tensor:
        """Sums of what is added to some items' vectors, by their weights [N, d].

        Args:
            items: The items [N, K].
            weight: Their weights [N, K].
        """
        codes = self.codes[items].flatten(1)
        weights = weight.repeat_interleave(self.codes.size(1), dim=1)
        rows = F.pad(self.weight, (0, 0, 1, 0))
        return F.embedding_bag(codes, rows, per_sample_weights=weights, mode="sum")

    def extra_repr(self) -> str:
        """The settings."""
        return f"{len(self.codes)}, {self.embedding_dim}, sizes={self.sizes}"
