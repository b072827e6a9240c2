"""What makes a vector of a text, and how it is found by name."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.utils.packages import load, names_in

GROUP = "pyg_srgnn.text_encoders"
"""The group of entry points in which another package names its encoders."""

OWN = [
    EntryPoint(name, f"pyg_srgnn.text.encoders.{name}:{encoder}", GROUP)
    for name, encoder in {
        "hashed": "HashedEncoder",
        "http": "HTTPEncoder",
        "llm": "LLMEncoder",
        "sentence_transformers": "SentenceTransformersEncoder",
        "wordllama": "WordLlamaEncoder",
    }.items()
]
"""The encoders of this package, which need no installed metadata."""


class TextEncoder(Protocol):
    """Makes vectors of texts.

    ``name``, ``version`` and ``settings`` identify the vectors: they are part of the cache's key
    and of the checkpoint. Settings are plain JSON values without secrets, from which
    :func:`open_encoder` makes the encoder again. It is made without loading its model, which waits
    for the first call of :meth:`encode`. An encoder that sends texts to another machine has an
    attribute ``remote = True``; the file of a model does not decide where they go.
    """

    name: str
    settings: dict[str, Any]

    @property
    def version(self) -> str:
        """Changes whenever the vectors of a text do."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts, in their order.

        Args:
            texts: n texts.

        Returns:
            Finite vectors, float32 [n, F]; [0, F] for no texts.
        """
        ...


def open_encoder(name: str, **settings: Any) -> TextEncoder:
    """Make an encoder by its name.

    Args:
        name: One of this package's, or of an entry point in the group
            ``pyg_srgnn.text_encoders``.
        **settings: Arguments of the encoder.

    Raises:
        ValueError: If no installed package has an encoder of this name, if it has no such argument,
            or if it cannot be used: names what it lacks.
    """
    own = {point.name: point for point in OWN}
    if name in own:
        encoder = own[name].load()
    elif name in (others := names_in(GROUP)):
        encoder = load("encoder", GROUP, name)
    else:
        known = ", ".join(sorted({*own, *others}))
        raise ValueError(f"encoder.name must be one of {known} (got {name!r})")
    try:
        inspect.signature(encoder).bind(**settings)
    except TypeError as error:
        raise ValueError(f"encoder {name!r}: {error}") from None
    made: TextEncoder = encoder(**settings)
    return made
