"""Session graphs by hand: dictionaries, loops and dense matrices.

Nodes are the distinct items in the order of their first click, an edge u -> v says that v was
clicked right after u, and c(u, v) says how often (Wu et al., AAAI 2019, section "Session graph").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Graph:
    """One session: distinct items, the node of every click, and c(u, v) for every edge."""

    nodes: list[int]
    alias: list[int]
    counts: dict[tuple[int, int], int]

    def out_weight(self, u: int, v: int) -> float:
        """c(u, v) over everything that leaves u."""
        return self.counts[u, v] / sum(c for (a, _), c in self.counts.items() if a == u)

    def in_weight(self, u: int, v: int) -> float:
        """c(u, v) over everything that reaches v."""
        return self.counts[u, v] / sum(c for (_, b), c in self.counts.items() if b == v)


def session_graph(items: Sequence[int], binary: bool = False) -> Graph:
    """The graph of one session; `binary` counts a repeated edge once, as the authors' code does."""
    nodes: list[int] = []
    for item in items:
        if item not in nodes:
            nodes.append(item)
    alias = [nodes.index(item) for item in items]
    counts: dict[tuple[int, int], int] = {}
    for t in range(len(items) - 1):
        edge = (alias[t], alias[t + 1])
        counts[edge] = 1 if binary else counts.get(edge, 0) + 1
    return Graph(nodes, alias, counts)


def dense_weights(graph: Graph, single: bool = False) -> tuple[Tensor, Tensor]:
    """Matrices A_in and A_out [N, N]: row i weighs the predecessors / the successors of node i.

    `single` rounds every weight once to float32, which is what a stored session graph holds.
    """
    n = len(graph.nodes)
    a_in = torch.zeros(n, n, dtype=torch.float64)
    a_out = torch.zeros(n, n, dtype=torch.float64)
    for u, v in graph.counts:
        a_in[v, u] = graph.in_weight(u, v)
        a_out[u, v] = graph.out_weight(u, v)
    return (a_in.float().double(), a_out.float().double()) if single else (a_in, a_out)


def dense_unit_weights(edges: Sequence[tuple[int, int]], n: int) -> tuple[Tensor, Tensor]:
    """A_in and A_out of any directed (multi-)graph in which every listed edge counts one."""
    counts: dict[tuple[int, int], int] = {}
    for u, v in edges:
        counts[u, v] = counts.get((u, v), 0) + 1
    return dense_weights(Graph(list(range(n)), [], counts))


def dense_given_weights(
    edges: Sequence[tuple[int, int]], w_out: Sequence[float], w_in: Sequence[float], n: int
) -> tuple[Tensor, Tensor]:
    """A_in and A_out of a directed graph whose edges carry the two weights given."""
    a_in = torch.zeros(n, n, dtype=torch.float64)
    a_out = torch.zeros(n, n, dtype=torch.float64)
    for (u, v), out, into in zip(edges, w_out, w_in, strict=True):
        a_in[v, u] += into
        a_out[u, v] += out
    return a_in, a_out
