"""A hashed bag of words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.utils.arguments import checking

_WORD = re.compile(r"\w+")
_SLOTS = 4  # of a word: two words that share one of them are still told apart


class HashedEncoder:
    """A hashed bag of words: knows words, not their meaning.

    Each word adds ±1 at four positions that its hash says, and the sum is divided by its length.
    Texts are near if they share words; synonyms, plurals and other languages are different words,
    and the order of words does not matter. It needs no extra, no weights and no training, and gives
    the same vectors on every machine. For real catalogues ``wordllama`` is the better choice.

    A text without letters and digits has a vector of zeros.

    Args:
        dimensions: Of the vectors. (default: 256)

    Raises:
        ArgumentError: If ``dimensions`` is not a whole number from 8.
    """

    name = "hashed"
    version = "1"  # of the rule above

    def __init__(self, dimensions: int = 256) -> None:
        with checking(self) as check:
            check.whole("dimensions", dimensions, 8)
        self.settings: dict[str, Any] = {"dimensions": dimensions}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :meth:`pyg_srgnn.text.encoder.TextEncoder.encode`."""
        bags = [_WORD.findall(text.casefold()) for text in texts]
        numbers: dict[str, int] = {}
        words = [numbers.setdefault(word, len(numbers)) for bag in bags for word in bag]
        rows = np.repeat(np.arange(len(bags)), np.fromiter(map(len, bags), np.int64))
        digests = b"".join(blake2b(w.encode(), digest_size=4 * _SLOTS).digest() for w in numbers)
        hashes = np.frombuffer(digests, "<u4").reshape(-1, _SLOTS)[words]
        vectors = np.zeros((len(bags), self.settings["dimensions"]), np.float32)
        signs = np.where(hashes & 1, np.float32(1), np.float32(-1))
        np.add.at(vectors, (rows[:, None], (hashes >> 1) % vectors.shape[1]), signs)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.maximum(lengths, np.float32(1e-6))
        return vectors
