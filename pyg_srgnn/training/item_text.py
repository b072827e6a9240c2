"""The item text of a run: which it is, what describes it, and its vectors."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.text.cache import describe
from pyg_srgnn.text.encode import TextVectors, encode_items
from pyg_srgnn.text.encoder import TextEncoder, open_encoder
from pyg_srgnn.text.files import read_item_texts
from pyg_srgnn.text.item_texts import ItemTexts
from pyg_srgnn.training.settings import RunSettings

_CACHE = "text_cache"  # below dataset.root


class ItemText:
    """The texts of a run's items: those of a file, which is read now, else the dataset's own.

    Args:
        settings: The settings of the run, with ``text``, ``text_id`` and ``text_columns``.
        encoder: ``name`` and arguments of the encoder; ``"auto"`` is the dataset's choice.

    Raises:
        ValueError: If the file is missing or cannot be read.
    """

    def __init__(self, settings: RunSettings, encoder: Mapping[str, Any]) -> None:
        self._encoder_settings = encoder
        self._encoder: TextEncoder | None = None
        self._file: ItemTexts | None = None
        if settings.text is not None and settings.text != "auto":
            path = Path(settings.text).expanduser()
            try:
                self._file = read_item_texts(path, settings.text_id, settings.text_columns)
            except FileNotFoundError as error:
                raise ValueError(f"text={settings.text}: {error}") from error

    def fingerprint(self, dataset: SessionDataset) -> dict[str, Any] | None:
        """What decides the vectors of a dataset's items, as plain values; None without texts."""
        texts = self._texts(dataset)
        if texts is None:
            return None
        encoder = None if texts.vectors is not None else describe(self._opened(dataset))
        return {"columns": list(texts.columns), "content": texts.content, "encoder": encoder}

    def encode(self, dataset: SessionDataset, progress: bool = True) -> TextVectors | None:
        """The vectors of a dataset's items, kept below its root; None without texts.

        Args:
            dataset: The dataset, with its catalogue.
            progress: Whether to show a bar where it takes long. (default: True)

        Raises:
            ValueError: If no item has a text, or the encoder cannot be used.
        """
        texts = self._texts(dataset)
        if texts is None:
            return None
        # A copy takes what it has loaded with it, so that no large model stays through a training.
        encoder = None if texts.vectors is not None else copy(self._opened(dataset))
        return encode_items(
            texts, dataset.vocabulary, encoder, Path(dataset.root, _CACHE), progress
        )

    def _texts(self, dataset: SessionDataset) -> ItemTexts | None:
        if self._file is not None or dataset.texts is None:
            return self._file
        texts = [text or None for text in dataset.texts]
        columns = () if dataset.preparation is None else dataset.preparation.text or ()
        return ItemTexts(dataset.vocabulary.ids, dataset.name, texts, columns=columns)

    def _opened(self, dataset: SessionDataset) -> TextEncoder:
        """The encoder; it is made once, for some read their model's files to know its version."""
        if self._encoder is not None:
            return self._encoder
        if self._encoder_settings["name"] != "auto":
            self._encoder = open_encoder(**self._encoder_settings)
            return self._encoder
        try:
            self._encoder = open_encoder(dataset.text_encoder)
        except ValueError as error:  # nobody has asked for it
            raise ValueError(
                f"{error}; encoder=hashed needs nothing, and text=null takes no texts"
            ) from error
        return self._encoder
