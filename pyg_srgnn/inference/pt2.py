"""Opens an encoder that ``torch.export`` wrote.

``torch.export.load`` must not be called with untrusted files: it unpickles members, looks operators
up as attributes of ``torch``, evaluates the expressions of sizes, and makes Python code of names
and guards. So before torch sees a file, it must have the form that
:func:`pyg_srgnn.export.formats.write_pt2` leaves: raw tensors, known operators, names that are
identifiers, sizes that are symbols and sums of them.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Functions of tensors alone: none reads or writes a file, or calls anything else.
_OPERATORS = """
    _assert_tensor_metadata.default abs.default add.Scalar add.Tensor addmm.default amax.default
    amin.default arange.default bitwise_and.Tensor bitwise_not.default bitwise_or.Tensor
    bmm.default cat.default chunk.default clamp.default clamp_max.default clamp_min.default
    clone.default contiguous.default cumsum.default detach.default div.Scalar div.Tensor
    div_.Tensor embedding.default eq.Scalar eq.Tensor exp.default expand.default
    expand_as.default flip.default full.default full_like.default gather.default ge.Scalar
    ge.Tensor gelu.default gru.input gt.Scalar gt.Tensor index.Tensor index_add.default
    index_put.default index_select.default layer_norm.default le.Scalar le.Tensor
    linalg_vector_norm.default linear.default log.default log1p.default log_sigmoid.default
    log_softmax.int logaddexp.default logical_and.default logical_not.default logical_or.default
    logsumexp.default lt.Scalar lt.Tensor masked_fill.Scalar masked_fill_.Scalar matmul.default
    maximum.default mean.default mean.dim minimum.default mm.default mul.Scalar mul.Tensor
    ne.Scalar ne.Tensor neg.default new_ones.default new_zeros.default ones.default
    ones_like.default permute.default pow.Tensor_Scalar promote_types.default reciprocal.default
    relu.default reshape.default rsqrt.default rsub.Scalar scatter_add.default
    scatter_add_.default scatter_reduce.two scatter_reduce_.two select.int sigmoid.default
    silu.default slice.Tensor softmax.int split_with_sizes.default sqrt.default squeeze.dim
    stack.default sub.Scalar sub.Tensor sum.default sum.dim_IntList sym_size.int tanh.default
    to.dtype transpose.int true_divide.Tensor unsqueeze.default view.default where.self
    zeros.default zeros_like.default
"""
OPERATORS = frozenset(f"torch.ops.aten.{name}" for name in _OPERATORS.split())
OPERATORS |= {"_operator.add"}  # of sizes
_MEMBERS = re.compile(
    r"[^/]+/(archive_format|archive_version|byteorder|\.data/(version|serialization_id)"
    r"|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json))"
)
_NAME = re.compile(r"[A-Za-z0-9_.+]*")
_SYMBOL = r"Symbol\('s\d+', positive=True, integer=True\)"
_TERM = rf"(?:{_SYMBOL}|Mul\(Integer\(\d+\), {_SYMBOL}\))"
_SIZE = re.compile(rf"{_TERM}|Add\({_TERM}(?:, {_TERM})+\)")
_SPECIFICATIONS = {"in_spec", "out_spec"}  # JSON within JSON
_TYPES = {None, "builtins.tuple", "builtins.dict"}


def open_pt2(
    data: bytes, path: Path, threads: int = 1
) -> Callable[[Mapping[str, Tensor], Sequence[str]], dict[str, Tensor]]:
    """Open an encoder.

    Args:
        data: Content of the file.
        path: The file, which messages name.
        threads: Not used: torch's own number of threads is the process's. (default: 1)

    Raises:
        ValueError: If it is not such a file, or holds anything else than tensors and operators.
    """
    checked = check_pt2(data, path)
    try:
        program = torch.export.load(io.BytesIO(checked))
        module = program.module(check_guards=False)
        names = program.module_call_graph[0].signature.forward_arg_names
    except Exception as error:
        raise ValueError(
            f"{path} was not written by torch.export "
            f"({type(error).__name__}: {str(error).strip().splitlines()[0]})"
        ) from error

    def encode(arguments: Mapping[str, Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
        found = module(*(arguments[name] for name in names or ()))
        return {name: found[name] for name in wanted}

    return encode


def check_pt2(data: bytes, path: Path) -> bytes:
    """Refuse a file that holds anything that loading or calling it could run.

    Returns:
        A new archive of the members that were checked: another reader of the old one may see other
        members.

    Raises:
        ValueError: If it does, or is no such archive; names the file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > len(data):
                raise ValueError("it is packed: its members have more bytes than itself")
            members = {name: archive.read(name) for name in archive.namelist()}
            if len(members) != len(archive.namelist()):
                raise ValueError("a name is twice in it")
        found = set(_odd(members))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} was not written by torch.export: {error}") from error
    if found:
        raise ValueError(f"{path} is refused: {'; '.join(sorted(found)[:5])}")
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return copy.getvalue()


def _odd(members: Mapping[str, bytes]) -> Iterator[str]:
    """Find what must not be in the members of an archive."""
    root = next(iter(members), "").partition("/")[0]
    for name in members:
        if not _MEMBERS.fullmatch(name) or name.partition("/")[0] != root:
            yield f"it holds {name!r}; expected tensors and a graph of operators"
    if members[f"{root}/data/sample_inputs/model.pt"]:
        yield "it holds sample inputs, which are pickled; expected none"
    for kind in ("weights", "constants"):
        config = json.loads(members[f"{root}/data/{kind}/model_{kind}_config.json"])
        for name, tensor in config["config"].items():
            if tensor["use_pickle"] is not False:
                yield f"{kind}: {name!r} is pickled; expected raw tensors"
            if not re.fullmatch(r"(weight|tensor)_\d+", tensor["path_name"]):
                yield f"{kind}: {name!r} is the file {tensor['path_name']!r}"
        yield from _odd_values(config, kind)
    model = json.loads(members[f"{root}/models/model.json"])
    if model["guards_code"]:
        yield "it holds guards, which are code; expected none"
    yield from _odd_values(model, "graph")


def _odd_values(value: Any, key: str) -> Iterator[str]:
    """Find what must not be in a value of the JSON files, under a key."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _odd_values(name, "")
            yield from _odd_values(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _odd_values(inner, key)
    elif isinstance(value, str):
        if key in _SPECIFICATIONS:
            yield from _odd_specification(json.loads(value)[1])
        elif key == "target":
            if value not in OPERATORS:
                yield f"it calls {value!r}; expected operators of an encoder"
        elif key == "expr_str":
            if not _SIZE.fullmatch(value):
                yield f"it holds the expression {value!r}; expected sizes that are symbols"
        elif not _NAME.fullmatch(value):
            yield f"it holds the text {value[:60]!r} under {key!r}; expected names"


def _odd_specification(tree: dict[str, Any]) -> Iterator[str]:
    """Find what must not be in the specification of arguments or results."""
    if tree["type"] not in _TYPES:
        yield f"its arguments are of the type {tree['type']!r}; expected tuples and dicts"
    if tree["context"] is not None:
        yield from _odd_values(json.loads(tree["context"]), "context")
    for inner in tree["children_spec"]:
        yield from _odd_specification(inner)
