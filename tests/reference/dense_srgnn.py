"""Dense textbook SR-GNN, one session at a time, in float64: the paper's form and the authors'.

Wu, Tang, Zhu, Wang, Xie, Tan: Session-based Recommendation with Graph Neural Networks, AAAI 2019.
Parameters come as a dictionary named after the equations: E (item embeddings), W_in, b_in, W_out,
b_out, b, W_z, U_z, W_r, U_r, W_o, U_o, W_1, W_2, c, q, W_3 and, where a form has them, the gate
biases b_iz, b_ir, b_io (beside W) and b_hz, b_hr, b_ho (beside U), and b_3 (beside W_3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tests.reference.graphs import dense_weights, session_graph

Parameters = Mapping[str, Tensor]


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """W x (+ b) for every row of x."""
    y = x @ weight.T
    return y if bias is None else y + bias


def propagate(
    p: Parameters, a_in: Tensor, a_out: Tensor, h: Tensor, num_steps: int, reset_after: bool
) -> Tensor:
    """T steps of gated propagation over the dense matrices A_in, A_out [N, N]; h is [N, d]."""
    for _ in range(num_steps):
        into = a_in @ affine(h, p["W_in"], p.get("b_in"))
        out = a_out @ affine(h, p["W_out"], p.get("b_out"))
        a = torch.cat([into, out], dim=1)
        if "b" in p:
            a = a + p["b"]
        z = torch.sigmoid(affine(a, p["W_z"], p.get("b_iz")) + affine(h, p["U_z"], p.get("b_hz")))
        r = torch.sigmoid(affine(a, p["W_r"], p.get("b_ir")) + affine(h, p["U_r"], p.get("b_hr")))
        if reset_after:
            recurrent = r * affine(h, p["U_o"], p.get("b_ho"))
        else:
            recurrent = affine(r * h, p["U_o"])
        candidate = torch.tanh(affine(a, p["W_o"], p.get("b_io")) + recurrent)
        h = (1 - z) * h + z * candidate
    return h


def readout(p: Parameters, clicks: Tensor, mode: str) -> Tensor:
    """Session vector [d] from the node vectors of its clicks in order, [n, d]."""
    last = clicks[len(clicks) - 1]
    if mode == "local":
        return last
    if mode == "average":
        return clicks.sum(0) / len(clicks)
    total = torch.zeros_like(last)
    for click in clicks:
        gate = torch.sigmoid(p["W_1"] @ last + p["W_2"] @ click + p["c"])
        total = total + torch.dot(p["q"], gate) * click
    if mode == "attention":
        return total
    if mode != "hybrid":
        raise ValueError(mode)
    combined = p["W_3"] @ torch.cat([last, total])
    return combined + p["b_3"] if "b_3" in p else combined


def session_vector(
    p: Parameters,
    session: Sequence[int],
    num_steps: int = 1,
    reset_after: bool = False,
    mode: str = "hybrid",
    single: bool = False,
) -> Tensor:
    """s_h [d] of one session of item indices; `single` as in `dense_weights`."""
    graph = session_graph(session)
    a_in, a_out = dense_weights(graph, single=single)
    h = torch.stack([p["E"][item] for item in graph.nodes])
    h = propagate(p, a_in, a_out, h, num_steps, reset_after)
    return readout(p, torch.stack([h[node] for node in graph.alias]), mode)


def scores(p: Parameters, sessions: Sequence[Sequence[int]], **options: object) -> Tensor:
    """Scores [B, V] of all items, by their initial embeddings."""
    return torch.stack([p["E"] @ session_vector(p, s, **options) for s in sessions])  # type: ignore[arg-type]


def cross_entropy(logits: Tensor, targets: Sequence[int]) -> Tensor:
    """Mean over rows of -log y^_target."""
    rows = []
    for row, target in zip(logits, targets, strict=True):
        y = torch.exp(row) / torch.exp(row).sum()
        rows.append(-torch.log(y[target]))
    return torch.stack(rows).mean()


def binary_cross_entropy(logits: Tensor, targets: Sequence[int]) -> Tensor:
    """Mean over rows of -sum_i [y_i log y^_i + (1 - y_i) log(1 - y^_i)], y^ the softmax."""
    rows = []
    for row, target in zip(logits, targets, strict=True):
        y = torch.exp(row) / torch.exp(row).sum()
        terms = [torch.log(y[i]) if i == target else torch.log(1 - y[i]) for i in range(len(y))]
        rows.append(-torch.stack(terms).sum())
    return torch.stack(rows).mean()


def authors_state(num_items: int, channels: int, seed: int = 0) -> dict[str, Tensor]:
    """A random checkpoint in the authors' format: float32, row 0 of the embedding is padding."""
    d = channels
    shapes = {
        "embedding.weight": (num_items + 1, d),
        "gnn.w_ih": (3 * d, 2 * d),
        "gnn.w_hh": (3 * d, d),
        "gnn.b_ih": (3 * d,),
        "gnn.b_hh": (3 * d,),
        "gnn.b_iah": (d,),
        "gnn.b_oah": (d,),
        "gnn.linear_edge_in.weight": (d, d),
        "gnn.linear_edge_in.bias": (d,),
        "gnn.linear_edge_out.weight": (d, d),
        "gnn.linear_edge_out.bias": (d,),
        "gnn.linear_edge_f.weight": (d, d),
        "gnn.linear_edge_f.bias": (d,),
        "linear_one.weight": (d, d),
        "linear_one.bias": (d,),
        "linear_two.weight": (d, d),
        "linear_two.bias": (d,),
        "linear_three.weight": (1, d),
        "linear_transform.weight": (d, 2 * d),
        "linear_transform.bias": (d,),
    }
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.rand(s, generator=generator) * 2 - 1 for k, s in shapes.items()}


def authors_scores(
    state: Mapping[str, Tensor], sessions: Sequence[Sequence[int]], binary: bool = True
) -> Tensor:
    """Scores [B, V] of the authors' PyTorch model (T = 1, hybrid) for sessions of ids 1..V.

    `binary` counts a repeated edge once, as their code does; without it edges are counted.
    """
    s = {k: v.double() for k, v in state.items()}
    d = s["embedding.weight"].shape[1]
    rows = []
    for session in sessions:
        graph = session_graph(session, binary=binary)
        a_in, a_out = dense_weights(graph)
        h = s["embedding.weight"][graph.nodes]
        into = affine(h, s["gnn.linear_edge_in.weight"], s["gnn.linear_edge_in.bias"])
        out = affine(h, s["gnn.linear_edge_out.weight"], s["gnn.linear_edge_out.bias"])
        a = torch.cat([a_in @ into + s["gnn.b_iah"], a_out @ out + s["gnn.b_oah"]], dim=1)
        gi = affine(a, s["gnn.w_ih"], s["gnn.b_ih"])
        gh = affine(h, s["gnn.w_hh"], s["gnn.b_hh"])
        r = torch.sigmoid(gi[:, :d] + gh[:, :d])
        z = torch.sigmoid(gi[:, d : 2 * d] + gh[:, d : 2 * d])  # one minus the paper's z
        candidate = torch.tanh(gi[:, 2 * d :] + r * gh[:, 2 * d :])
        h = candidate + z * (h - candidate)
        clicks = h[graph.alias]
        last = clicks[-1:]
        gate = torch.sigmoid(
            affine(last, s["linear_one.weight"], s["linear_one.bias"])
            + affine(clicks, s["linear_two.weight"], s["linear_two.bias"])
        )
        total = (affine(gate, s["linear_three.weight"]) * clicks).sum(0, keepdim=True)
        vector = affine(
            torch.cat([total, last], dim=1),
            s["linear_transform.weight"],
            s["linear_transform.bias"],
        )
        rows.append(vector[0] @ s["embedding.weight"][1:].T)
    return torch.stack(rows)
