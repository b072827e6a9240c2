"""Where a batch's clicks stand in their sessions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import scatter


def session_of_node(data: Data) -> tuple[Tensor, int]:
    """Session of every node [N], and the number of sessions; of a single graph, too."""
    if data.batch is None:
        return torch.zeros_like(data.x), 1
    return data.batch, int(data.num_graphs)


def places_from_end(session: Tensor, num_sessions: int) -> tuple[Tensor, Tensor]:
    """Place of every click from its session's end, 0 for the last one.

    Args:
        session: Session of each click, the sessions one after another [L].
        num_sessions: Number of sessions B.

    Returns:
        The places [L], and every session's number of clicks [B].
    """
    clicks = scatter(torch.ones_like(session), session, dim_size=num_sessions)
    ends = clicks.cumsum(0)
    return ends[session] - 1 - torch.arange(session.numel(), device=session.device), clicks


def frequencies(data: Data) -> Tensor:
    """Clicks of every node in its session, at least 1, int64 [N]."""
    return torch.bincount(data.alias_index, minlength=data.x.numel())
