"""Session graphs: the clicks of a prefix as a PyG graph, one at a time and many at once.

Nodes are the distinct items in the order of their first click; an edge u → v says that v was
clicked right after u. With c(u, v) the number of times it happened, the weights are
``c(u, v) / Σ_x c(u, x)`` (outgoing) and ``c(u, v) / Σ_x c(x, v)`` (incoming): Wu et al.,
"Session-based Recommendation with Graph Neural Networks", AAAI 2019, section "Constructing
Session Graphs" and figure 2.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_srgnn.data.vocabulary import Vocabulary


def session_graph(items: Tensor, target: int | None = None) -> Data:
    """Build the graph of one session.

    Args:
        items: Item index of each click, int64 [L], at least one.
        target: Item index of the next click; optional.

    Returns:
        ``Data`` with ``x`` [N] (item indices), ``edge_index`` [2, E] sorted by its nodes,
        ``edge_weight`` [E], ``edge_weight_in`` [E], ``alias_index`` [L] (click → node) and, with a
        target, ``y`` [1].
    """
    lengths = torch.tensor([items.numel()])
    targets = None if target is None else torch.tensor([target])
    return Data.from_dict(_build(items, lengths, targets)[0])


def live_graph(ids: Iterable[int | str], vocabulary: Vocabulary) -> Data:
    """Build the graph of a session that is still going on, as a dataset builds it.

    Args:
        ids: Raw id of each click so far, in order of time; unknown ones are left out.
        vocabulary: The numbering that the model was trained with.

    Returns:
        What :func:`session_graph` gives, without a target.

    Raises:
        ValueError: If no id is known.
    """
    known = [index for index in vocabulary.encode(ids) if index >= 0]
    if not known:
        raise ValueError("a session graph needs at least one item that the vocabulary knows")
    return session_graph(torch.tensor(known))


def session_graphs(items: Tensor, lengths: Tensor, targets: Tensor | None = None) -> Batch:
    """Build the graphs of many sessions at once.

    Equal, key by key, to ``Batch.from_data_list`` of each one's :func:`session_graph`.

    Args:
        items: Item index of each click, session after session, int64 [L].
        lengths: Number of clicks of each session, each at least 1, int64 [B].
        targets: Item index of each session's next click, int64 [B]; optional.

    Raises:
        ValueError: If a session is empty or the lengths do not add up to the clicks.
    """
    tensors, counts = _build(items, lengths, targets)
    num_graphs = lengths.numel()
    node_ptr = _ptr(counts["x"])
    nodes = torch.arange(num_graphs, device=items.device)
    batch = Batch(_base_cls=Data, **tensors)
    batch.batch = nodes.repeat_interleave(counts["x"], output_size=tensors["x"].numel())
    batch.ptr = node_ptr

    # What Batch.from_data_list keeps to take single graphs out again.
    none = torch.zeros(num_graphs, dtype=torch.long, device=items.device)
    indices = {"edge_index", "alias_index"}
    batch._num_graphs = num_graphs
    batch._slice_dict = {key: _ptr(counts[key]).cpu() for key in tensors}
    batch._inc_dict = {key: (node_ptr[:-1] if key in indices else none).cpu() for key in tensors}
    return batch


def _build(
    items: Tensor, lengths: Tensor, targets: Tensor | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of the graphs one after another, and each one's size per graph [B]."""
    num_graphs, num_clicks, device = lengths.numel(), items.numel(), items.device
    if num_graphs == 0 or int(lengths.min()) < 1:
        raise ValueError("a session graph needs at least one click")
    if int(lengths.sum()) != num_clicks:
        raise ValueError(
            f"the lengths add up to {int(lengths.sum())}, but there are {num_clicks} clicks"
        )
    graphs = torch.arange(num_graphs, device=device)
    graph = graphs.repeat_interleave(lengths, output_size=num_clicks)

    # A node is an item's first click in its session; counting firsts numbers the nodes in order.
    click = torch.arange(num_clicks, device=device)
    key = graph * (items.max() + 1) + items
    groups, group = torch.unique(key, return_inverse=True)
    first = click.new_empty(groups.numel()).fill_(num_clicks)
    first.scatter_reduce_(0, group, click, "amin")
    is_node = torch.zeros(num_clicks, dtype=torch.bool, device=device)
    is_node[first] = True
    alias = (is_node.cumsum(0) - 1)[first[group]]
    x = items[is_node]
    num_nodes = x.numel()

    follows = graph[1:] == graph[:-1]
    pair = alias[:-1][follows] * num_nodes + alias[1:][follows]
    pair, count = torch.unique(pair, return_counts=True)
    source, target = pair // num_nodes, pair % num_nodes
    weight = count.to(torch.get_default_dtype())
    total = weight.new_zeros(2, num_nodes)
    total[0].scatter_add_(0, source, weight)
    total[1].scatter_add_(0, target, weight)

    node_graph = graph[is_node]
    tensors = {
        "x": x,
        "edge_index": torch.stack([source, target]),
        "edge_weight": weight / total[0][source],
        "edge_weight_in": weight / total[1][target],
        "alias_index": alias,
    }
    edges = torch.bincount(node_graph[source], minlength=num_graphs)
    counts = {
        "x": torch.bincount(node_graph, minlength=num_graphs),
        "edge_index": edges,
        "edge_weight": edges,
        "edge_weight_in": edges,
        "alias_index": lengths,
    }
    if targets is not None:
        if targets.shape != lengths.shape:
            raise ValueError(f"{targets.numel()} targets were given for {num_graphs} sessions")
        tensors["y"] = targets
        counts["y"] = torch.ones_like(lengths)
    return tensors, counts


def _ptr(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
