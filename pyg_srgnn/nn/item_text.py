"""The whitened text vectors of a catalogue."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_srgnn.functional.whitening import Whitening


class ItemText(nn.Module):
    """A vector of each item's text, whitened, of length 1; zeros of an item without text.

    All are buffers: a checkpoint holds what it takes to add the text of another item.

    Args:
        num_items: Number of items V.
        channels: Size F of a text vector.
    """

    vectors: Tensor
    mean: Tensor
    directions: Tensor

    def __init__(self, num_items: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(num_items, channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("directions", torch.zeros(channels, channels))

    @property
    def whitening(self) -> Whitening:
        """The map from an encoder's vectors to these."""
        return Whitening(self.mean, self.directions)

    @torch.no_grad()
    def set_vectors(
        self, vectors: Tensor, num_trained: int, whitening: Whitening | None = None
    ) -> None:
        """Take the vectors of an encoder, and whiten them.

        Args:
            vectors: The vectors, zeros of an item without text [V, F].
            num_trained: Items from the first to which the whitening is fitted, those that the
                training sessions hold.
            whitening: That of another model, which is taken over. (default: it is fitted)

        Raises:
            ValueError: If the shape is another one, or none of those items has a text.
        """
        if vectors.shape != self.vectors.shape:
            raise ValueError(
                f"ItemText: vectors must have the shape {list(self.vectors.shape)} (got "
                f"{list(vectors.shape)})"
            )
        fitted = vectors[:num_trained]
        fitted = fitted[(fitted != 0).any(dim=1)]
        if not len(fitted):
            raise ValueError("ItemText: no item of the training sessions has a text")
        whitening = Whitening.fit(fitted) if whitening is None else whitening
        self.mean.copy_(whitening.mean)
        self.directions.copy_(whitening.directions)
        self.vectors.copy_(self.whitening(vectors.to(self.mean)))
