"""Leaves clicks out of training samples at random."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from pyg_srgnn.utils.arguments import checking


class Augmentation:
    """Makes a session that might have been of each sample, with the same next item.

    What is drawn depends on the seed and on which samples make the batch, in which order: a
    shuffled epoch draws anew, a resumed run draws the same, and so does any number of workers. The
    last clicked item always stays, and an item stays or goes with all its clicks.

    Args:
        drop: Probability that an item of a session is left out. (default: 0)
        crop: Probability that a session begins at any of its clicks instead of the first one.
            (default: 0)
        seed: Seed of what is drawn. (default: 0)

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, drop: float = 0.0, crop: float = 0.0, seed: int = 0) -> None:
        with checking(self) as check:
            check.number("drop", drop, least=0, below=1)
            check.number("crop", crop, least=0, most=1)
            check.whole("seed", seed, 0, 2**32 - 1)
        self.drop = drop
        self.crop = crop
        self.seed = seed

    def kept(self, items: Tensor, lengths: Tensor, numbers: Tensor) -> Tensor:
        """Which clicks stay, bool [L]; at least the last one of each sample.

        Args:
            items: Item of each click, the samples one after another, int64 [L].
            lengths: Clicks of each sample, at least 1, int64 [B].
            numbers: Number of each sample in its dataset, int64 [B].
        """
        seed = zlib.crc32(numbers.numpy().tobytes(), self.seed)
        generator = torch.Generator().manual_seed(seed)
        session = torch.arange(len(lengths)).repeat_interleave(lengths)
        end = lengths.cumsum(0)
        position = torch.arange(len(items)) - (end - lengths)[session]
        chosen, begin = torch.rand(2, len(lengths), generator=generator)
        begin = ((chosen < self.crop) * begin * lengths).long()
        kept: Tensor = position >= begin[session]
        if not self.drop or not len(items):
            return kept
        key = session * (items.max() + 1) + items
        of_items, item = torch.unique(key, return_inverse=True)
        stays = torch.rand(len(of_items), generator=generator) >= self.drop
        stays[item[end - 1]] = True
        kept &= stays[item]
        return kept
