"""Where a batch's clicks stand in their sessions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.functional.graphs import counts


def session_of_node(data: Data) -> tuple[Tensor, int]:
    """Session of every node [N], and the number of sessions; of a single graph, too."""
    if data.batch is None:
        return torch.zeros_like(data.x), 1
    return data.batch, data.num_graphs


def frequencies(data: Data) -> Tensor:
    """Clicks of every node in its session, at least 1, int64 [N]."""
    return counts(data.alias_index, session_of_node(data)[0].numel())
