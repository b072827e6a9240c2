"""The older part of session graphs: the clicks of a known user's earlier sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

EARLIER = ("earlier_x", "earlier_edge", "earlier_weight", "earlier_nodes", "earlier_clicks")
"""The keys of a session graph that :func:`earlier_tensors` makes."""


class Earlier(NamedTuple):
    """Clicks of the users' earlier sessions, in order of time, one session after another."""

    items: Tensor
    """Item of each click [K]."""
    lengths: Tensor
    """Clicks that belong to each session, which may be none [B]."""

    @classmethod
    def of(cls, clicks: Sequence[Sequence[int]]) -> Earlier:
        """The clicks from lists of item indices, one of each session."""
        items = torch.tensor(list(chain.from_iterable(clicks)), dtype=torch.long)
        return cls(items, torch.tensor([len(one) for one in clicks], dtype=torch.long))


class OlderPart(NamedTuple):
    """The older part of the graphs of a batch; its first N nodes are those of the sessions."""

    embedded: Tensor
    """What the nodes that only earlier sessions have enter the model as [M, d]."""
    edge: Tensor
    """Source and target of the step from each earlier click, from 0 to N + M - 1 [K, 2]."""
    weight: Tensor
    """Weight of each edge in its source's and in its target's sum [K, 2]."""
    session: Tensor
    """Session that each earlier click belongs to [K]."""


def earlier_tensors(
    earlier: Earlier, tensors: Mapping[str, Tensor], lengths: Tensor
) -> dict[str, Tensor]:
    """Build the older part of session graphs, apart from the graphs of the sessions themselves.

    The earlier clicks of a user are a path that leads to the session's first click, with an edge
    from each of them, in order of time; a repeated step has as many edges. An item of the session
    has one node; the other items of the path follow behind the session's nodes. Weights are
    normalised within the older part, as those of the session's edges are within the session: a
    session's own edges weigh the same whatever was clicked before.

    Args:
        earlier: The clicks.
        tensors: What :func:`pyg_srgnn.functional.graphs.graph_tensors` makes of the sessions.
        lengths: Number of clicks of each session [B].

    Returns:
        ``earlier_x`` [M], the items of the further nodes; ``earlier_edge`` [K, 2], the nodes of
        each edge, counted within their session, the session's own first; ``earlier_weight`` [K, 2],
        outgoing and incoming; and the number of such nodes and clicks of each session,
        ``earlier_nodes`` and ``earlier_clicks`` [B].
    """
    x, batch, alias = tensors["x"], tensors["batch"], tensors["alias_index"]
    items, num_graphs = earlier.items, lengths.numel()
    graphs = torch.arange(num_graphs, device=x.device)
    session = graphs.repeat_interleave(earlier.lengths)
    own_nodes = torch.bincount(batch, minlength=num_graphs)

    # The session's own nodes first: which one has the item of each earlier click?
    size = int(torch.cat([x, items]).max()) + 1
    keys, order = (batch * size + x).sort()
    key = session * size + items
    at = torch.searchsorted(keys, key).clamp_(max=len(keys) - 1)
    is_own = keys[at] == key
    further, number = torch.unique(key[~is_own], return_inverse=True)
    nodes = torch.bincount(further // size, minlength=num_graphs)
    local = order[at] - _starts(own_nodes)[session]
    local[~is_own] = number + (own_nodes - _starts(nodes))[session[~is_own]]

    # From each click to the next one, and from the last one to the session's first click.
    first = (alias[_starts(lengths)] - _starts(own_nodes))[earlier.lengths > 0]
    target = local.roll(-1)
    target[earlier.lengths.cumsum(0)[earlier.lengths > 0] - 1] = first
    width = int((own_nodes + nodes).max())
    edge = torch.stack([local, target], dim=1)
    end = session.unsqueeze(1) * width + edge
    degrees = [torch.bincount(of)[of] for of in end.unbind(1)]
    return {
        "earlier_x": further % size,
        "earlier_edge": edge,
        "earlier_weight": 1 / torch.stack(degrees, dim=1).to(torch.get_default_dtype()),
        "earlier_nodes": nodes,
        "earlier_clicks": earlier.lengths,
    }


def older_part(found: Mapping[str, Tensor], batch: Tensor, embedded: Tensor) -> OlderPart:
    """The older part of a batch, whose nodes are numbered throughout.

    Args:
        found: What :func:`earlier_tensors` gives, of one session after another.
        batch: Session of each of the sessions' own nodes [N].
        embedded: What the further nodes enter the model as [M, d].
    """
    nodes = found["earlier_nodes"]
    graphs = torch.arange(len(nodes), device=batch.device)
    session = graphs.repeat_interleave(found["earlier_clicks"])
    own_nodes = torch.bincount(batch, minlength=len(nodes))
    local, own = found["earlier_edge"], own_nodes[session].unsqueeze(1)
    first = _starts(own_nodes)[session].unsqueeze(1)
    behind = (len(batch) + _starts(nodes))[session].unsqueeze(1) - own
    edge = local + torch.where(local < own, first, behind)
    return OlderPart(embedded, edge, found["earlier_weight"], session)


def _starts(counts: Tensor) -> Tensor:
    """Where each of the sessions begins, by the numbers of each [B]."""
    return counts.cumsum(0) - counts
