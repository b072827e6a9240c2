"""Opens an encoder in ONNX, which onnxruntime runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

# Which fields of which messages of onnx.proto hold further messages.
_MESSAGES = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
    "opset": {},
}
_EXTERNAL = {13, 14}  # of a tensor: where its data lies outside, and that it does
_DEEPEST = 100  # messages within messages: what protobuf itself reads
_DOMAINS = {b"", b"ai.onnx"}
_DOMAIN = {"opset": 1, "node": 7, "function": 10}


def open_onnx(
    data: bytes, path: Path, threads: int = 1
) -> Callable[[Mapping[str, Tensor], Sequence[str]], dict[str, Tensor]]:
    """Open an encoder.

    Args:
        data: Content of the file.
        path: The file, which messages name.
        threads: Threads of one call; calls may come from several at once. (default: 1)

    Raises:
        ValueError: If it is not a model in ONNX, or asks for more than the operators of ONNX and
            the file itself.
        ImportError: If onnxruntime is not installed.
    """
    check_onnx(data, path)
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            f"{path} is run by onnxruntime, which is not installed: pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ValueError(f"{path} is not a model in ONNX ({str(error).splitlines()[0]})") from error
    names = [argument.name for argument in session.get_inputs()]

    def encode(arguments: Mapping[str, Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
        given = {name: arguments[name].numpy() for name in names}
        found = session.run(list(wanted), given)
        return {name: torch.from_numpy(one) for name, one in zip(wanted, found, strict=True)}

    return encode


def check_onnx(data: bytes, path: Path) -> None:
    """Refuse a model that reads other files, or calls operators that ONNX does not have.

    Raises:
        ValueError: If it does, or is no model at all; names the file.
    """
    try:
        found = set(_odd(memoryview(data), "model"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a model in ONNX: it cannot be read as one ({error})"
        ) from error
    if found:
        raise ValueError(f"{path} is refused: {'; '.join(sorted(found))}")


def _odd(data: memoryview, message: str, depth: int = 1) -> Iterator[str]:
    """Find what must not be in a message of the protocol buffers' wire format.

    Raises:
        ValueError: If it can be read in no way, or in more than one.
    """
    if depth > _DEEPEST:
        raise ValueError(f"messages within messages are deeper than {_DEEPEST}")
    at = 0
    while at < len(data):
        key, at = _varint(data, at, 32)
        field, kind = key >> 3, key & 7
        if not field:
            raise ValueError("there is a field 0; they are numbered from 1")
        value: int | memoryview = 0
        if kind == 0:
            value, at = _varint(data, at, 64)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            size, at = _varint(data, at, 32)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {kind}")
        if at > len(data):
            raise ValueError("it ends too early")
        if message == "tensor" and field in _EXTERNAL and value:
            yield "a tensor's data lies in another file; expected all of them in this one"
        inner = _MESSAGES[message].get(field)
        is_domain = _DOMAIN.get(message) == field
        if inner is None and not is_domain:
            continue
        if not isinstance(value, memoryview):
            raise ValueError(f"field {field} of a {message} is a number")
        if is_domain and bytes(value) not in _DOMAINS:
            domain = bytes(value).decode(errors="replace")
            yield f"it calls operators of {domain!r}; expected those of ONNX alone"
        if inner is not None:
            yield from _odd(value, inner, depth + 1)


def _varint(data: memoryview, at: int, bits: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends.

    Raises:
        ValueError: If it has more bits than protobuf keeps of it (it drops the others silently,
            which changes a field's number), or bytes after the last that it reads.
    """
    value = 0
    for shift in range(0, bits, 7):
        if at == len(data):
            raise ValueError("it ends too early")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            if value >> bits:
                break
            return value, at
    raise ValueError(f"there is a number of more than {bits} bits")
