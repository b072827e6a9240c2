"""From the package's module names to the names of the equations, for values and for gradients."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

Read = Callable[[Tensor], Tensor | None]


def leaf(parameter: Tensor) -> Tensor:
    """A float64 copy."""
    return parameter.detach().double().clone()


def conv_names(conv: nn.Module, read: Read = leaf) -> dict[str, Tensor]:
    """Parameters (or, with another `read`, their gradients) of an SRGNNConv."""
    names: dict[str, Tensor | None] = {
        "W_in": read(conv.lin_in.weight),
        "W_out": read(conv.lin_out.weight),
    }
    if conv.lin_in.bias is not None:
        names |= {"b_in": read(conv.lin_in.bias), "b_out": read(conv.lin_out.bias)}
        names["b"] = read(conv.bias)
    w_r, w_z, w_o = read(conv.lin_ih.weight).chunk(3)
    u_r, u_z, u_o = read(conv.lin_hh.weight).chunk(3)
    names |= {"W_r": w_r, "W_z": w_z, "W_o": w_o, "U_r": u_r, "U_z": u_z, "U_o": u_o}
    if conv.lin_ih.bias is not None:
        names["b_ir"], names["b_iz"], names["b_io"] = read(conv.lin_ih.bias).chunk(3)
        names["b_hr"], names["b_hz"], names["b_ho"] = read(conv.lin_hh.bias).chunk(3)
    return {k: v for k, v in names.items() if v is not None}


def readout_names(module: nn.Module, read: Read = leaf) -> dict[str, Tensor]:
    """Parameters (or their gradients) of a SessionReadout."""
    present = dict(module.named_parameters())
    table = {
        "lin_last.weight": "W_1",
        "lin_click.weight": "W_2",
        "lin_click.bias": "c",
        "q.weight": "q",
        "lin_out.weight": "W_3",
        "lin_out.bias": "b_3",
        "position.weight": "P",
    }
    unknown = set(present) - set(table)
    if unknown:
        raise KeyError(f"parameters no equation has: {sorted(unknown)}")
    names = {table[k]: read(v) for k, v in present.items()}
    if names.get("q") is not None:
        names["q"] = names["q"].reshape(-1)
    return {k: v for k, v in names.items() if v is not None}


def model_names(model: nn.Module, read: Read = leaf) -> dict[str, Tensor]:
    """Parameters (or their gradients) of an SRGNN."""
    names = conv_names(model.conv, read) | readout_names(model.readout, read)
    if not hasattr(model, "embedding"):
        return names
    embedding = read(model.embedding.weight)
    return names if embedding is None else names | {"E": embedding}


def randomise(module: nn.Module, seed: int = 0, scale: float = 0.5) -> nn.Module:
    """Draw every parameter, biases too, from N(0, scale^2), so that none hides at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise * scale)
    return module


def random_sessions(
    count: int, num_items: int, seed: int = 0, longest: int = 40
) -> list[list[int]]:
    """Sessions of 1..longest clicks over few items: repeats, self-loops, repeated edges."""
    rng = random.Random(seed)
    sessions = [[0], [0, 1], [1, 2, 1], [2, 2, 2], [0, 1, 2, 1, 3], [0, 1, 0, 1, 0, 2]]
    sessions.append([rng.randrange(num_items) for _ in range(longest)])
    while len(sessions) < count:
        pool = rng.sample(range(num_items), rng.randint(1, num_items))
        sessions.append([rng.choice(pool) for _ in range(rng.randint(1, longest))])
    return sessions[:count]
