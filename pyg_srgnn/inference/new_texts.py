"""Makes the vectors of new items' texts, with the encoder of the model's texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Texts = Sequence[str] | Mapping[str, Sequence[Any]]
"""A text of each item, or columns by their names, as a file of texts has them."""

_BLANKS = re.compile(r"[^\S\x1c-\x1f]+")  # those of Unicode; Python counts four more


def vectors_of(given: Any, text: Mapping[str, Any], ids: Sequence[int | str]) -> Tensor:
    """The vectors of new items, as an encoder makes them.

    Args:
        given: :data:`Texts`, which are encoded, or vectors [n, F].
        text: What describes the texts of the model; see
            :class:`~pyg_srgnn.checkpoint.Checkpoint`.
        ids: The new items, which errors name.

    Returns:
        Float32 [n, F], finite, no row all zeros.

    Raises:
        ValueError: If it is no text or vector an item, one is empty or of another length, or the
            encoder cannot be used.
    """
    texts = _texts(given, text["columns"], ids)
    vectors = _tensor(given) if texts is None else _encoded(texts, text["encoder"])
    expected = [len(ids), text["dimensions"]]
    if list(vectors.shape) != expected:
        raise ValueError(
            f"expected vectors {expected} of {len(ids)} items, of as many dimensions as those of "
            f"the model's texts (got {list(vectors.shape)})"
        )
    for rows, fault in (
        (~vectors.isfinite().all(dim=1), "a vector with NaN or infinity"),
        (~vectors.any(dim=1), "a vector of zeros, which says nothing"),
    ):
        if rows.any():
            raise ValueError(f"{fault}: {named([ids[row] for row in rows.nonzero().flatten()])}")
    return vectors


def named(ids: Sequence[int | str]) -> str:
    """The first of some ids."""
    shown = ", ".join(map(repr, ids[:5]))
    return f"{shown} and {len(ids) - 5:,} more" if len(ids) > 5 else shown


def _texts(given: Any, columns: Sequence[str], ids: Sequence[int | str]) -> list[str] | None:
    """A text of each item, made as those of a file are; None of vectors."""
    if isinstance(given, Mapping):
        if missing := [name for name in columns if name not in given]:
            raise ValueError(
                f"the texts of the model are made of the columns {named(columns)}; "
                f"{named(missing)} is not given (got {named(list(given))})"
            )
        table = {name: list(given[name]) for name in columns or given}
    else:
        values = given.tolist() if hasattr(given, "tolist") else list(given)
        if not any(isinstance(value, str) for value in values):
            return None
        table = {"text": values}
    for name, values in table.items():
        if len(values) != len(ids):
            raise ValueError(f"expected {len(ids)} texts, one an item (got {len(values)}: {name})")
        for raw, value in zip(ids, values, strict=True):
            if not isinstance(value, str | None):
                raise ValueError(f"the text of {raw!r} must be a string (got {value!r})")
    texts = [_joined(row) for row in zip(*table.values(), strict=True)]
    if empty := [raw for raw, one in zip(ids, texts, strict=True) if one is None]:
        raise ValueError(f"without a text, which alone describes a new item: {named(empty)}")
    return [str(one) for one in texts]


def _joined(parts: Iterable[str | None]) -> str | None:
    """As :func:`pyg_srgnn.text.files.joined` does with a row, but without Polars."""
    plain = (_BLANKS.sub(" ", part).strip(" ") for part in parts if part is not None)
    return ". ".join(part for part in plain if part) or None


def _tensor(given: Any) -> Tensor:
    try:
        return torch.as_tensor(given, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"expected texts, or vectors of numbers of one length ({error})") from None


def _encoded(texts: Sequence[str], described: Mapping[str, Any] | None) -> Tensor:
    """The vectors of texts by the encoder that a model's texts were encoded with."""
    instead = "give ready-made vectors of it in place of texts. Recommending needs no encoder"
    if described is None:
        raise ValueError(
            "the model was trained with ready-made vectors, and does not know who made them: give "
            "vectors of new items, too"
        )
    from pyg_srgnn.text.cache import cached_vectors
    from pyg_srgnn.text.encoder import open_encoder

    settings = dict(described)
    name, version = settings.pop("name"), settings.pop("version")
    if "download" in settings:  # which is no setting of vectors: none of ours wrote it
        raise ValueError(f"the file of a model does not decide what is downloaded; {instead}")
    try:
        encoder = open_encoder(name, **settings)
    except (ValueError, ImportError) as error:
        raise ValueError(f"{error}; or {instead}") from error
    if getattr(encoder, "remote", False):
        # Whoever passes a model on must not decide where texts, and a key, are sent.
        raise ValueError(
            f"the texts of the model were encoded by {name} ({settings}), and texts are not sent "
            f"to where the file of a model says; {instead}"
        )
    if encoder.version != version:
        raise ValueError(
            f"the texts of the model were encoded by {name} {version}; here it is "
            f"{encoder.version}, whose vectors may differ: install that version, or {instead}"
        )
    different = list(dict.fromkeys(texts))
    try:
        made = torch.tensor(cached_vectors(encoder, different, None, progress=False))
    except ImportError as error:
        raise ValueError(f"{error}; or {instead}") from error
    place = {text: row for row, text in enumerate(different)}
    return made[[place[text] for text in texts]]
