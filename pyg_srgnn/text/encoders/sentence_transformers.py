"""A model of the package sentence-transformers that lies on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.text.local_files import content_of
from pyg_srgnn.utils.arguments import checking
from pyg_srgnn.utils.extras import required_version


class SentenceTransformersEncoder:
    """Any model of `sentence-transformers <https://sbert.net>`_. On a GPU, if there is one.

    Args:
        model: A folder, or the name of a model that was downloaded before, such as
            ``"intfloat/multilingual-e5-small"``; a name without a slash is of the organisation
            ``sentence-transformers``.
        prompt: Put before each text, as some models want it (``"passage: "``). (default: None)
        download: Whether to have the package download a model that is not on this machine; code
            that comes with a model is not run. (default: False)
        batch_size: Texts that go through the model at once. (default: 32)

    Raises:
        ArgumentError: If an argument is not allowed.
        ValueError: If sentence-transformers is not installed (says how it is), or the model is not
            on this machine.
    """

    name = "sentence_transformers"

    def __init__(
        self,
        model: str | Path,
        prompt: str | None = None,
        download: bool = False,
        batch_size: int = 32,
    ) -> None:
        with checking(self) as check:
            check.path("model", model)
            check.text("prompt", prompt, optional=True)
            check.flag("download", download)
            check.whole("batch_size", batch_size, 1)
        self._package = required_version(
            "sentence-transformers", "sentence-transformers", "encoder=sentence_transformers"
        )
        self.batch_size = batch_size
        self.folder = _folder(str(model), download)
        self.settings: dict[str, Any] = {"model": str(model), "prompt": prompt}

    @cached_property
    def version(self) -> str:
        """Of the package and of the model, whose files are read to the end."""
        return f"{self._package}, {content_of(self.folder)}"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :meth:`pyg_srgnn.text.encoder.TextEncoder.encode`."""
        found = self._model.encode(
            list(texts) or [""],  # which says the dimensions
            prompt=self.settings["prompt"],
            batch_size=self.batch_size,
            show_progress_bar=False,
        )
        return np.asarray(found, np.float32)[: len(texts)]

    @cached_property
    def _model(self) -> Any:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(self.folder), local_files_only=True)


def _folder(model: str, download: bool) -> Path:
    """Where a model lies."""
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    name = model if "/" in model else f"sentence-transformers/{model}"
    cache = os.environ.get("SENTENCE_TRANSFORMERS_HOME")  # as the package has it
    try:
        return Path(snapshot_download(name, cache_dir=cache, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        if not download:
            raise ValueError(
                f"encoder.model: expected a folder, or a model of sentence-transformers that is on "
                f"this machine, found {model!r}; nothing is downloaded unless encoder.download=true"
            ) from None
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(model)
    return Path(snapshot_download(name, cache_dir=cache, local_files_only=True))
