"""Token vectors of a large language model, averaged; the weights come with the package."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.utils.extras import required_version

_CHARACTERS = 2**18  # of a batch; four of them may be a token, whose vector has 1 KB


class WordLlamaEncoder:
    """Averages of token vectors that were distilled from language models' token embeddings.

    Knows what English words mean, but not their order. It reads two files of the package
    `wordllama <https://github.com/dleemiller/WordLlama>`_ (MIT): no network, no torch. The vectors
    have 256 dimensions.

    Raises:
        ValueError: If wordllama is not installed; says how it is.
    """

    name = "wordllama"

    def __init__(self) -> None:
        self.version = required_version("wordllama", "text", "encoder=wordllama")
        self.settings: dict[str, Any] = {}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :meth:`pyg_srgnn.text.encoder.TextEncoder.encode`."""
        # Its batches are padded to their longest text: alike in length, fewer of long ones.
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        longest = max(map(len, texts), default=0)
        found: NDArray[np.float32] = self._model.embed(
            [texts[row].encode(errors="replace").decode() for row in order],  # halves of pairs
            batch_size=max(1, min(64, _CHARACTERS // (longest + 1))),
        )
        vectors = np.empty_like(found)
        vectors[order] = found
        return vectors

    @cached_property
    def _model(self) -> Any:
        # Where nothing handles the root logger yet, the package would begin to at its import.
        root, quiet = logging.getLogger(), logging.NullHandler()
        root.addHandler(quiet)
        try:
            import wordllama
        finally:
            root.removeHandler(quiet)
        folder = Path(wordllama.__file__).parent
        return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
