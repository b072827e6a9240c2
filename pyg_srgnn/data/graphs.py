"""Session graphs as PyG graphs, one at a time and many at once."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.utils import cumsum

from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.functional.earlier import EARLIER
from pyg_srgnn.functional.graphs import SessionGraphs, graph_tensors
from pyg_srgnn.functional.marks import MARKS, ClickMarks, mark_tensors


def session_graph(
    items: Tensor, target: int | None = None, marks: ClickMarks | None = None
) -> Data:
    """Build the graph of one session.

    Args:
        items: Item index of each click, int64 [L], at least one.
        target: Item index of the next click; optional.
        marks: Types of the clicks, pauses before them, and earlier clicks; optional.

    Returns:
        ``Data`` with ``x`` [N] (item indices), ``edge_index`` [2, E] sorted by its nodes,
        ``edge_weight`` [E], ``edge_weight_in`` [E], ``alias_index`` [L] (click → node) and, with a
        target, ``y`` [1]; with marks, what :func:`~pyg_srgnn.functional.marks.mark_tensors` gives.

    Example:
        >>> graph = session_graph(torch.tensor([7, 3, 7, 5]))
        >>> graph.x.tolist(), graph.edge_index.tolist(), graph.alias_index.tolist()
        ([7, 3, 5], [[0, 0, 1], [1, 2, 0]], [0, 1, 0, 2])
        >>> graph.edge_weight.tolist()
        [0.5, 0.5, 1.0]
    """
    lengths = torch.tensor([items.numel()])
    tensors = graph_tensors(items, lengths)
    if marks:
        tensors |= mark_tensors(marks, tensors, lengths)
    del tensors["batch"]
    if target is not None:
        tensors["y"] = torch.tensor([target])
    return Data.from_dict(tensors)


def live_graph(ids: Iterable[int | str], vocabulary: Vocabulary) -> Data:
    """Build the graph of a live session, as a dataset builds it.

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


def session_graphs(
    items: Tensor,
    lengths: Tensor,
    targets: Tensor | None = None,
    rows: Tensor | None = None,
    marks: ClickMarks | None = None,
    weights: Tensor | None = None,
    steps: Tensor | None = None,
) -> Batch:
    """Build the graphs of many sessions at once.

    Equal, key by key, to ``Batch.from_data_list`` of each one's :func:`session_graph`.

    Args:
        items: Item index of each click, session after session, int64 [L].
        lengths: Number of clicks of each session, each at least 1, int64 [B].
        targets: Item index of each session's next click, int64 [B]; optional.
        rows: Number of each sample in its dataset, int64 [B]; optional.
        marks: Types of the clicks, pauses before them, and earlier clicks; optional.
        weights: Weight of each target in the loss, ``target_weight``, float [B]; optional.
        steps: Steps from each click to the target, where clicks between were left out, int64 [L];
            optional.

    Raises:
        ValueError: If a session is empty or the lengths do not add up to the clicks.
    """
    tensors = graph_tensors(items, lengths)
    of_node = tensors["batch"]
    num_graphs = lengths.numel()
    nodes = torch.bincount(of_node, minlength=num_graphs)
    edges = torch.bincount(of_node[tensors["edge_index"][0]], minlength=num_graphs)
    counts = {
        "x": nodes,
        "edge_index": edges,
        "edge_weight": edges,
        "edge_weight_in": edges,
        "alias_index": lengths,
    }
    if marks:
        tensors |= mark_tensors(marks, tensors, lengths)
        counts |= {"event": lengths, "edge_attr": edges, "gap": lengths}
    if marks and marks.earlier is not None:
        one, of_click = torch.ones_like(lengths), tensors["earlier_clicks"]
        sizes = tensors["earlier_nodes"], of_click, of_click, one, one
        counts |= dict(zip(EARLIER, sizes, strict=True))
    del tensors["batch"]
    if steps is not None:
        tensors["steps"], counts["steps"] = steps, lengths
    of_sessions = {
        "y": ("targets", targets),
        "row": ("rows", rows),
        "target_weight": ("weights", weights),
    }
    for key, (name, values) in of_sessions.items():
        if values is not None:
            if values.shape != lengths.shape:
                raise ValueError(f"{values.numel()} {name} were given for {num_graphs} sessions")
            tensors[key] = values
            counts[key] = torch.ones_like(lengths)
    batch = Batch(_base_cls=Data, **tensors)
    batch.batch = of_node
    batch.ptr = node_ptr = cumsum(nodes)

    # What Batch.from_data_list keeps to take single graphs out again.
    none = torch.zeros(num_graphs, dtype=torch.long, device=items.device)
    indices = {"edge_index", "alias_index"}
    batch._num_graphs = num_graphs
    batch._slice_dict = {key: cumsum(counts[key]).cpu() for key in tensors}
    batch._inc_dict = {key: (node_ptr[:-1] if key in indices else none).cpu() for key in tensors}
    return batch


def session_of_node(data: Data) -> tuple[Tensor, int]:
    """Session of every node [N], and the number of sessions; of a single graph, too."""
    if data.batch is None:
        return torch.zeros_like(data.x), 1
    return data.batch, data.num_graphs


def graphs_of(data: Data) -> SessionGraphs:
    """The session graphs of a ``Data`` or a ``Batch``."""
    edges = data.edge_index, data.edge_weight, data.edge_weight_in
    marks = {name: data[name] for name in MARKS if name in data}
    return SessionGraphs(*edges, data.alias_index, *session_of_node(data), **marks)
