"""Opens the files of encoders; only tensor operators in them are run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from pyg_srgnn.inference.onnx import open_onnx
from pyg_srgnn.inference.pt2 import open_pt2

__all__ = ["FILES", "OPENERS", "Encode", "open_onnx", "open_pt2"]

Encode = Callable[[Mapping[str, Tensor], Sequence[str]], dict[str, Tensor]]
"""Maps arguments by name, and the names of results, to these results."""

FILES = {"onnx": "encoder.onnx", "torch_export": "encoder.pt2"}
OPENERS: dict[str, Callable[[bytes, Path, int], Encode]] = {
    "onnx": open_onnx,
    "torch_export": open_pt2,
}
