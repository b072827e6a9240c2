"""Opens the files of encoders; only tensor operators in them are run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from pyg_srgnn.inference.onnx import open_onnx
from pyg_srgnn.inference.pt2 import open_pt2

__all__ = ["FILES", "OPENERS", "Encode", "Encoder", "open_onnx", "open_pt2"]

Encode = Callable[[Mapping[str, Tensor], Sequence[str]], dict[str, Tensor]]
"""Maps arguments by name, and the names of results, to these results."""

FILES = {"onnx": "encoder.onnx", "torch_export": "encoder.pt2"}
OPENERS: dict[str, Callable[[bytes, Path, int], Encode]] = {
    "onnx": open_onnx,
    "torch_export": open_pt2,
}


class Encoder:
    """An encoder that is open; copied and pickled as the file that it was opened from.

    Args:
        kind: A key of :data:`OPENERS`.
        data: Content of the file.
        path: The file, which messages name.
        threads: Threads of one call.

    Raises:
        ValueError: If it is no such file.
        ImportError: If what runs it is not installed.
    """

    def __init__(self, kind: str, data: bytes, path: Path, threads: int) -> None:
        self._given = kind, data, path, threads
        self._encode = OPENERS[kind](data, path, threads)

    def __call__(self, arguments: Mapping[str, Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
        """See :data:`Encode`."""
        return self._encode(arguments, wanted)

    def __reduce__(self) -> tuple[type[Encoder], tuple[str, bytes, Path, int]]:
        """What it was opened from."""
        return Encoder, self._given
