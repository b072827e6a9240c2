"""Reads ready-made vectors with their ids: .npy and safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_srgnn.text.item_texts import ItemTexts


def read_npy(path: Path) -> ItemTexts:
    """Read an array [n, F], with the ids in ``<stem>.ids.txt`` or ``<stem>.ids.json`` beside it.

    The first has one id per line, the second is a JSON list of numbers or texts.

    Raises:
        FileNotFoundError: If there are no ids.
        ValueError: If vectors or ids are not what they should be; names the file and the row.
    """
    try:
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("several arrays")
    except (ValueError, EOFError, MemoryError) as error:
        raise ValueError(f"{path}: no .npy file of numbers ({error})") from error
    return ItemTexts(ids := _ids_beside(path), str(path), vectors=checked(ids, array, path))


def read_safetensors(path: Path) -> ItemTexts:
    """Read the tensor ``vectors`` [n, F].

    Its ids are the tensor ``ids`` [n] of whole numbers, or the entry ``ids`` of the file's
    metadata, a JSON list, or lie beside it as with :func:`read_npy`.

    Raises:
        FileNotFoundError: If there are no ids.
        ValueError: If vectors or ids are not what they should be; names the file and the row.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names, metadata = set(file.keys()), file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in names & {"vectors", "ids"}}
    except SafetensorError as error:
        raise ValueError(f"{path}: no safetensors file ({error})") from error
    if "vectors" not in tensors:
        raise ValueError(f"{path}: expected a tensor 'vectors' (got {', '.join(sorted(names))})")
    ids: list[int | str]
    if "ids" in tensors:
        ids = _checked_ids(tensors["ids"].tolist(), path)
    elif "ids" in metadata:
        ids = _json_ids(metadata["ids"], path)
    else:
        ids = _ids_beside(path)
    array = tensors["vectors"].float().numpy()  # NumPy has no bfloat16
    return ItemTexts(ids, str(path), vectors=checked(ids, array, path))


VECTOR_FILES: dict[str, Callable[[Path], ItemTexts]] = {
    ".npy": read_npy,
    ".safetensors": read_safetensors,
}


def checked(ids: Sequence[int | str], array: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """The vectors in float32, if there is a finite one that is not zero for each id.

    Raises:
        ValueError: If not; names the id and the row, counted from 1.
    """
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{path}: expected vectors, numbers [n, F] (got {array.dtype} {list(array.shape)})"
        )
    if len(ids) != len(array):
        raise ValueError(f"{path}: {len(array):,} vectors, but {len(ids):,} ids")
    with np.errstate(over="ignore"):  # what is too large for float32 is found below
        vectors: NDArray[np.float32] = array.astype(np.float32, copy=False)
    finite = np.isfinite(vectors).all(axis=1)
    for fits, wrong in ((finite, "not finite"), (vectors.any(axis=1), "all zeros")):
        if not fits.all():
            row, count = int(fits.argmin()), int((~fits).sum())
            more = f", and {count - 1:,} more are" if count > 1 else ""
            raise ValueError(
                f"{path}: the vector of {ids[row]!r} in row {row + 1:,} is {wrong}{more}"
            )
    return vectors


def _ids_beside(path: Path) -> list[int | str]:
    """The ids in a file beside the vectors."""
    lines, listed = path.with_suffix(".ids.txt"), path.with_suffix(".ids.json")
    if listed.is_file():
        return _json_ids(listed.read_bytes(), listed)
    if not lines.is_file():
        raise FileNotFoundError(
            f"{path}: the ids of its vectors are missing; expected {lines} (one id per line) or "
            f"{listed} (a list)"
        )
    try:
        text = lines.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{lines}: not UTF-8 ({error.reason})") from error
    return _checked_ids([line.strip() for line in text.rstrip("\n").split("\n")], lines)


def _json_ids(text: str | bytes, path: Path) -> list[int | str]:
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: its ids are no JSON ({error})") from error
    return _checked_ids(ids, path)


def _checked_ids(ids: Any, path: Path) -> list[int | str]:
    if not isinstance(ids, list):
        raise ValueError(f"{path}: expected a list of ids (got {str(ids)[:80]})")
    for row, raw in enumerate(ids, 1):
        if type(raw) not in (int, str) or raw == "":
            raise ValueError(
                f"{path}: expected ids, whole numbers or texts (got {raw!r} in row {row:,})"
            )
    return ids
