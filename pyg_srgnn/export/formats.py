"""Writes encoders as files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import torch

from pyg_srgnn.inference.onnx import check_onnx
from pyg_srgnn.inference.pt2 import check_pt2
from pyg_srgnn.utils.extras import pip_install

_OPSET = 20  # what onnxruntime 1.18 and later run


def write_onnx(encoder: torch.export.ExportedProgram, path: Path, results: Sequence[str]) -> None:
    """Write an encoder as one file, without references to its source code.

    Args:
        encoder: The encoder.
        path: The file.
        results: Names of its results, in order.

    Raises:
        ImportError: If onnx or onnxscript is not installed.
    """
    encoder._guards_code = []  # those of torch 2.9 cannot be run for a variable number of arguments
    try:
        model = torch.onnx.export(
            encoder, dynamo=True, opset_version=_OPSET, output_names=results, verbose=False
        )
    except ModuleNotFoundError as error:
        raise ImportError(
            f"format=onnx needs {error.name}, which is not installed: {pip_install('export')}"
        ) from error
    assert model is not None
    for node in model.model.graph:
        node.metadata_props.clear()
        node.doc_string = None
    model.save(path)
    check_onnx(path.read_bytes(), path)


def write_pt2(encoder: torch.export.ExportedProgram, path: Path) -> None:
    """Write an encoder without example inputs, guards, and references to its source code."""
    encoder._example_inputs = None  # they would be pickled
    encoder._guards_code = []
    for node in encoder.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"):
            node.meta.pop(key, None)
    buffer = io.BytesIO()
    torch.export.save(encoder, buffer)
    check_pt2(buffer.getvalue(), path)
    path.write_bytes(buffer.getvalue())
