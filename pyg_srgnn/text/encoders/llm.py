"""Mean states of a language model that lies on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.text.local_files import content_of
from pyg_srgnn.utils.arguments import checking
from pyg_srgnn.utils.extras import required_version

if TYPE_CHECKING:
    from pyg_srgnn.text.language_model import LanguageModel


class LLMEncoder:
    """The mean of a decoder's last hidden states over the first 128 tokens of a text, in float32.

    The vectors of different texts are all near one another (cosines above 0.9): they are of use
    only once they are centred and whitened. On a GPU, if there is one.

    Args:
        model: A folder of ``transformers`` (with ``config.json``), or a GGUF file. Nothing is
            downloaded.

    Raises:
        ArgumentError: If ``model`` is neither.
        ValueError: If the extra ``llm`` is not installed; says how it is.
    """

    name = "llm"

    def __init__(self, model: str | Path) -> None:
        with checking(self) as check:
            if check.path("model", model):
                there = Path(model).is_file() or (Path(model) / "config.json").is_file()
                expected = "a folder with a config.json or a GGUF file, as nothing is downloaded"
                check.that(there, "model", expected, str(model))
        self._package = required_version("transformers", "llm", "encoder=llm")
        self.settings: dict[str, Any] = {"model": str(model)}

    @cached_property
    def version(self) -> str:
        """Of transformers and of the model, whose files are read to the end."""
        return f"transformers {self._package}, {content_of(Path(self.settings['model']))}"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :meth:`pyg_srgnn.text.encoder.TextEncoder.encode`."""
        vectors = np.zeros((len(texts), self._model.channels), np.float32)
        some = [row for row, text in enumerate(texts) if text]
        if some:
            states = self._model.text_states([texts[row] for row in some], progress=False)
            vectors[some] = states.numpy()
        return vectors

    @cached_property
    def _model(self) -> LanguageModel:
        import torch

        from pyg_srgnn.text.language_model import LanguageModel

        model = LanguageModel.open(self.settings["model"])
        model.model.to("cuda" if torch.cuda.is_available() else "cpu")
        return model
