"""Opens a language model that lies on this machine: its tokens, and its states of texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pyg_srgnn.utils.arguments import checking
from pyg_srgnn.utils.extras import required_version
from pyg_srgnn.utils.progress import Bar, working

MOST_TOKENS = 128
"""Tokens of a text that its state is taken from."""
_TEXTS_AT_ONCE = 32


class LanguageModel:
    """A decoder of ``transformers`` in float32, without the layer that predicts words.

    Args:
        model: The decoder.
        tokenizer: Its tokenizer.
        path: Where it was opened.
        layers: How many of its first layers it has; None: all. (default: None)
    """

    def __init__(
        self, model: nn.Module, tokenizer: Any, path: Path, layers: int | None = None
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.path = path
        self.layers = layers

    @classmethod
    def open(cls, path: str | Path, layers: int | None = None) -> LanguageModel:
        """Open a folder that ``save_pretrained`` wrote, or a GGUF file. Nothing is downloaded.

        Args:
            path: The folder or file.
            layers: Keep the first layers only, which takes less time. (default: None, all)

        Raises:
            FileNotFoundError: If there is neither.
            ValueError: If the extra ``llm`` is not installed, if it cannot be read, or has fewer
                layers.
        """
        with checking("LanguageModel.open") as check:
            check.path("path", path)
            check.whole("layers", layers, 1, optional=True)
        path = Path(path)
        if path.is_file():
            folder, file = path.parent, {"gguf_file": path.name}
        elif (path / "config.json").is_file():
            folder, file = path, {}
        else:
            raise FileNotFoundError(
                f"{path} is no language model: expected a folder of transformers, with its "
                f"config.json, or a GGUF file; nothing is downloaded"
            )
        for package in ("transformers", "accelerate", *(["gguf"] if file else [])):
            required_version(package, "llm", f"the language model {path.name}")
        with _quietly(), working(f"opening {path.name}"):
            from transformers import AutoConfig, AutoModel, AutoTokenizer

            # Without False, it asks on the terminal whether to run code that lies in the folder.
            given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, **file}
            try:
                config = AutoConfig.from_pretrained(folder, **given)
                _shorten(config, layers)
                tokenizer = AutoTokenizer.from_pretrained(folder, **given)
                model = AutoModel.from_pretrained(
                    folder, config=config, dtype=torch.float32, **given
                )
            except Exception as error:  # of every kind, from many libraries
                raise ValueError(f"{path} cannot be opened as a language model: {error}") from error
        return cls(model, tokenizer, path, layers)

    @property
    def channels(self) -> int:
        """Size h of a state."""
        return int(self.model.config.hidden_size)  # type: ignore[union-attr, arg-type]

    @property
    def fingerprint(self) -> str:
        """Identifies the model: a SHA-256 of the vectors of its tokens, and its layers."""
        table = self.model.get_input_embeddings().weight.detach()  # type: ignore[operator]
        digest = hashlib.sha256(table.cpu().contiguous().numpy())
        layers = self.model.config.num_hidden_layers  # type: ignore[union-attr]
        return f"{digest.hexdigest()} {layers}"

    def tokens(self, texts: Sequence[str | None], most: int, special: bool = False) -> Tensor:
        """The first tokens of each text, int64 [n, T]; -1 where it has no more, T ≤ ``most``.

        Args:
            texts: The texts; None, or an empty one, has no token.
            most: Tokens of a text, at most.
            special: Whether to add what the model expects around a text. (default: False)
        """
        lists: list[list[int]] = [[]] * len(texts)
        if texts and most:
            lists = self.tokenizer([text or "" for text in texts], add_special_tokens=special)[
                "input_ids"
            ]
        rows = [torch.tensor(row[:most], dtype=torch.long) for row in lists]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)

    @torch.no_grad()
    def text_states(self, texts: Sequence[str], progress: bool = True) -> Tensor:
        """The mean of the last states of each text's tokens, at most 128 of them [n, h].

        Args:
            texts: The texts, none of them empty.
            progress: Whether to show a bar. (default: True)
        """
        tokens = self.tokens(texts, MOST_TOKENS, special=True)
        lengths = (tokens >= 0).sum(dim=1)
        states = torch.empty(len(texts), self.channels)
        device = next(self.model.parameters()).device
        with Bar("text states" if progress else None, len(texts), "texts") as bar:
            for rows in torch.split(lengths.argsort(), _TEXTS_AT_ONCE):  # alike in length
                some = tokens[rows, : int(lengths[rows].max())]
                # Padding comes last, where no token of a decoder can see it.
                last = self.model(input_ids=some.clamp(min=0).to(device), use_cache=False)[0].cpu()
                real = (some >= 0).unsqueeze(2)
                states[rows] = (last * real).sum(dim=1) / lengths[rows].unsqueeze(1)
                bar.advance(len(rows))
        return states


def _shorten(config: Any, layers: int | None) -> None:
    """Have a model made with its first layers only."""
    if layers is None:
        return
    if layers > config.num_hidden_layers:
        raise ValueError(f"it has {config.num_hidden_layers} layers, not {layers}")
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep ``transformers`` from printing: its warnings, and its bars, which are on stderr."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
