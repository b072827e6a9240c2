"""Turns checkpoints of the authors' PyTorch code into parameters of :class:`SRGNN`.

Their table has a row 0 for padding, their update gate is one minus the paper's, and their readout
is W_3 [s_g ; s_l].
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_NAMES = frozenset(
    ["embedding.weight", "linear_three.weight"]
    + [f"gnn.{name}" for name in ("w_ih", "w_hh", "b_ih", "b_hh", "b_iah", "b_oah")]
    + [
        f"{layer}.{part}"
        for layer in (
            "gnn.linear_edge_in",
            "gnn.linear_edge_out",
            "linear_one",
            "linear_two",
            "linear_transform",
        )
        for part in ("weight", "bias")
    ]
)
_UNUSED = frozenset(["gnn.linear_edge_f.weight", "gnn.linear_edge_f.bias"])


def table_shape(given: Mapping[str, Tensor]) -> tuple[int, int]:
    """Rows and columns of their item table, the row for padding included.

    Args:
        given: Their checkpoint, a mapping of names to tensors.

    Raises:
        ValueError: If a tensor is missing or unknown.
    """
    missing = sorted(_NAMES - given.keys())
    unknown = sorted(given.keys() - _NAMES - _UNUSED)
    if missing or unknown:
        raise ValueError(
            f"not a checkpoint of the authors' SR-GNN: missing {missing}, unknown {unknown}"
        )
    rows, channels = given["embedding.weight"].shape
    return rows, channels


def converted(given: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """The parameters of a model by their names.

    Args:
        given: Their checkpoint, with every name that :func:`table_shape` asks for.
        shapes: Shape of each parameter of the model.

    Raises:
        ValueError: If a tensor has another shape.
    """
    _, channels = given["embedding.weight"].shape
    # Chunks are reset, update, candidate; σ(-v) = 1 - σ(v) turns the update gate.
    turn = torch.ones_like(given["gnn.w_hh"][:, :1])
    turn[channels : 2 * channels] = -1
    w_3 = given["linear_transform.weight"]
    parameters = {
        "embedding.weight": given["embedding.weight"][1:],
        "conv.lin_in.weight": given["gnn.linear_edge_in.weight"],
        "conv.lin_in.bias": given["gnn.linear_edge_in.bias"],
        "conv.lin_out.weight": given["gnn.linear_edge_out.weight"],
        "conv.lin_out.bias": given["gnn.linear_edge_out.bias"],
        "conv.bias": torch.cat([given["gnn.b_iah"], given["gnn.b_oah"]]),
        "conv.lin_ih.weight": turn * given["gnn.w_ih"],
        "conv.lin_ih.bias": turn[:, 0] * given["gnn.b_ih"],
        "conv.lin_hh.weight": turn * given["gnn.w_hh"],
        "conv.lin_hh.bias": turn[:, 0] * given["gnn.b_hh"],
        "readout.lin_last.weight": given["linear_one.weight"],
        "readout.lin_click.weight": given["linear_two.weight"],
        "readout.lin_click.bias": given["linear_one.bias"] + given["linear_two.bias"],
        "readout.q.weight": given["linear_three.weight"],
        "readout.lin_out.weight": torch.cat([w_3[:, channels:], w_3[:, :channels]], dim=1),
        "readout.lin_out.bias": given["linear_transform.bias"],
    }
    for name, shape in shapes.items():
        if parameters[name].shape != shape:
            raise ValueError(
                f"the authors' checkpoint does not fit: {name} should have shape {list(shape)}, "
                f"but {list(parameters[name].shape)} was found"
            )
    return parameters
