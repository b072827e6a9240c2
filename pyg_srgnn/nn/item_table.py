"""The vectors of all items: learned for each id, made of its text, or both, and its categories."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_srgnn.nn.item_categories import ItemCategories
from pyg_srgnn.nn.item_text import ItemText
from pyg_srgnn.utils.arguments import checking

MODES = ("id", "text", "sum", "delta", "null_space")
_BOUND = 0.5  # of an entry of a delta, where a frozen entry is about 1


class ItemTable(nn.Embedding):
    r"""Vectors of items [V, d], of which only some are looked up where that is enough.

    With :math:`e_i` an item's learned vector and :math:`t_i` its whitened text:

    - ``"id"``: :math:`e_i`.
    - ``"text"``: :math:`W t_i`, a linear map.
    - ``"sum"``: :math:`e_i + W t_i`.
    - ``"delta"``: :math:`P t_i + \tanh(e_i) / 2`, the text's leading directions, frozen, and a
      bounded difference.
    - ``"null_space"``: :math:`[P' t_i ; e_i]`, the leading half of the directions, frozen, and ids
      learned in place of the weakest (AlphaFuse, `Hu et al., SIGIR 2025
      <https://arxiv.org/abs/2504.19218>`_).

    In the last three, ids start at zero, but for items without a text.

    With categories, each mode adds the embeddings of the item's values (:class:`ItemCategories`).

    Args:
        num_items: Number of items V.
        channels: Size d of a vector.
        mode: One of the above. (default: ``"id"``)
        text_channels: Size F of a text vector. (default: 0: there are no texts)
        sparse: Whether looked up ids have sparse gradients in an optimizer of sparse rows.
            (default: False)
        category_sizes: Number of values of each column of categories. (default: none)

    Raises:
        ValueError: If the mode is unknown, or needs texts and there are none.
    """

    def __init__(
        self,
        num_items: int,
        channels: int,
        mode: str = "id",
        text_channels: int = 0,
        sparse: bool = False,
        category_sizes: Sequence[int] = (),
    ) -> None:
        with checking(self) as check:
            if check.one_of("mode", mode, MODES):
                check.that(mode == "id" or text_channels > 0, "mode", "id without text", mode)
                fits = mode == "id" or not sparse
                check.that(fits, "mode", "id with loss='sampled'", mode)
        learned = {"text": 0, "null_space": channels - channels // 2}.get(mode, channels)
        # Several processes must know beforehand whether they will exchange sparse gradients.
        super().__init__(num_items, learned, sparse=sparse)
        self.weight.requires_grad_(learned > 0)
        self.channels = channels
        self.mode = mode
        self.lin: nn.Linear | None = None
        if mode in ("text", "sum"):
            self.lin = nn.Linear(text_channels, channels, bias=False)
        self.categories = (
            ItemCategories(num_items, channels, category_sizes) if category_sizes else None
        )

    @torch.no_grad()
    def reset_ids(self, text: ItemText) -> None:
        """Let the ids of items with a text start at zero, where both make a vector."""
        if self.mode != "id":
            # One without a text would be zeros, which cannot be normalised: its id stays as drawn.
            self.weight.masked_fill_((text.vectors != 0).any(dim=1, keepdim=True), 0)

    def forward(self, items: Tensor, text: ItemText | None = None) -> Tensor:
        """Vectors of some items [N, d].

        Args:
            items: The items [N].
            text: The texts of all items; not needed by the mode ``"id"``. (default: None)
        """
        vectors = self._of_items(items, text)
        return vectors if self.categories is None else vectors + self.categories(items)

    def _of_items(self, items: Tensor, text: ItemText | None) -> Tensor:
        """Vectors of some items [N, d] without their categories."""
        # The scores give every row of the table a gradient; a sparse one of the few rows read here
        # is added to that dense one in place, where a second table of zeros would cost as much.
        # A compiled graph has no sparse gradients.
        sparse = self.sparse or not torch.compiler.is_compiling()
        rows = F.embedding(items, self.weight, sparse=sparse)
        if self.mode == "id":
            return rows
        assert text is not None, "the constructor asks for texts"
        return self._joined(rows, text.vectors.index_select(0, items))

    def table(self, text: ItemText | None = None) -> Tensor:
        """Vectors of all items [V, d]; see :meth:`forward` for the argument."""
        table: Tensor = self.weight
        if self.mode != "id":
            assert text is not None, "the constructor asks for texts"
            table = self._joined(table, text.vectors)
        return table if self.categories is None else table + self.categories()

    def from_text(self, vectors: Tensor) -> Tensor:
        """Vectors [n, d] of items of which nothing but the whitened text is known [n, F]."""
        return self._joined(vectors.new_zeros(len(vectors), self.embedding_dim), vectors)

    def _joined(self, ids: Tensor, text: Tensor) -> Tensor:
        # Whitened vectors have length 1; with entries of about 1, they suit a linear map as drawn.
        text = text * text.size(1) ** 0.5
        if self.lin is not None:
            mapped: Tensor = self.lin(text)
            return mapped if self.mode == "text" else ids + mapped
        size = self.channels // 2 if self.mode == "null_space" else self.channels
        leading = F.pad(text[:, :size], (0, max(0, size - text.size(1))))
        if self.mode == "null_space":
            return torch.cat([leading, ids], dim=1)
        return leading + _BOUND * torch.tanh(ids)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.num_embeddings}, {self.channels}, mode={self.mode}"
