"""Builds session graphs as tensors, many sessions at once.

Nodes are the distinct items in the order of their first click; an edge u → v means that v was
clicked right after u. With c(u, v) the number of times it happened, the weights are
``c(u, v) / Σ_x c(u, x)`` (outgoing) and ``c(u, v) / Σ_x c(x, v)`` (incoming): Wu et al.,
"Session-based Recommendation with Graph Neural Networks", AAAI 2019, section "Constructing
Session Graphs" and figure 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_srgnn.functional.earlier import OlderPart


class Clicks(NamedTuple):
    """The clicks of B sessions, one session after another."""

    session: Tensor
    """Session of each click [L]."""
    place: Tensor
    """Its place from the session's end, 0 for the last one [L]."""
    lengths: Tensor
    """Clicks of each session [B]."""
    last: Tensor
    """Number of each session's last click [B]."""

    @classmethod
    def of(cls, session: Tensor, num_sessions: int) -> Clicks:
        """Count the clicks of sessions.

        Args:
            session: Session of each click, the sessions one after another [L].
            num_sessions: Number of sessions B, none of which is empty.
        """
        lengths = counts(session, num_sessions)
        last = lengths.cumsum(0) - 1
        number = torch.arange(session.numel(), device=session.device)
        return cls(session, last.index_select(0, session) - number, lengths, last)


@dataclass(frozen=True)
class SessionGraphs:
    """The graphs of B sessions without the items of their nodes; see :func:`graph_tensors`.

    What several parts of a model ask of them is counted once.

    The last four are marks of clicks, where there are any, see
    :func:`pyg_srgnn.functional.marks.mark_tensors`, and the older part of the graphs.
    """

    edge_index: Tensor
    edge_weight: Tensor
    edge_weight_in: Tensor
    alias_index: Tensor
    batch: Tensor
    num_graphs: int
    event: Tensor | None = None
    edge_attr: Tensor | None = None
    gap: Tensor | None = None
    older: OlderPart | None = None

    _counted: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    # Not functools.cached_property, whose lock torch.compile does not know.
    def _once(self, name: str, count: Callable[[], Any]) -> Any:
        if name not in self._counted:
            self._counted[name] = count()
        return self._counted[name]

    @property
    def clicks(self) -> Clicks:
        """The clicks."""
        found: Clicks = self._once("clicks", self._clicks)
        return found

    def _clicks(self) -> Clicks:
        return Clicks.of(self.batch.index_select(0, self.alias_index), self.num_graphs)

    @property
    def often(self) -> Tensor:
        """Clicks of each node [N]."""
        found: Tensor = self._once("often", lambda: counts(self.alias_index, self.batch.numel()))
        return found

    @property
    def nodes(self) -> Tensor:
        """Nodes of each session [B]."""
        found: Tensor = self._once("nodes", lambda: counts(self.batch, self.num_graphs))
        return found

    @property
    def last_place(self) -> Tensor:
        """Place of each node's last click from its session's end [N]."""
        found: Tensor = self._once("last_place", self._last_place)
        return found

    def _last_place(self) -> Tensor:
        place = torch.full_like(self.batch, self.alias_index.numel())
        return place.scatter_reduce_(0, self.alias_index, self.clicks.place, "amin")

    @property
    def last_node(self) -> Tensor:
        """Node of each session's last click [B]."""
        found: Tensor = self._once("last_node", self._last_node)
        return found

    def _last_node(self) -> Tensor:
        return self.alias_index.index_select(0, self.clicks.last)


def flat_clicks(sessions: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """The clicks of all sessions, one session after another [L], and each one's number [B]."""
    clicks = torch.tensor(list(chain.from_iterable(sessions)), dtype=torch.long)
    return clicks, torch.tensor([len(session) for session in sessions], dtype=torch.long)


def graph_tensors(items: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """Build the graphs of sessions, one after another.

    Args:
        items: Item index of each click, session after session, int64 [L].
        lengths: Number of clicks of each session, each at least 1, int64 [B].

    Returns:
        ``x`` [N] (item of each node), ``edge_index`` [2, E] sorted by its nodes, ``edge_weight``
        [E], ``edge_weight_in`` [E], ``alias_index`` [L] (click → node) and ``batch`` [N] (session
        of each node).

    Raises:
        ValueError: If a session is empty or the lengths do not add up to the clicks.
    """
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
    # Of a single session, index_select takes a third of the time of an index in brackets.
    click = torch.arange(num_clicks, device=device)
    key = graph * (items.max() + 1) + items
    groups, group = torch.unique(key, return_inverse=True)
    first = click.new_empty(groups.numel()).fill_(num_clicks)
    first.scatter_reduce_(0, group, click, "amin")
    is_node = torch.zeros(num_clicks, dtype=torch.bool, device=device)
    is_node[first] = True
    number = is_node.cumsum(0) - 1
    alias = number.index_select(0, first.index_select(0, group))
    node = is_node.nonzero().squeeze(1)
    num_nodes = node.numel()

    follows = (graph[1:] == graph[:-1]).nonzero().squeeze(1)
    pair = alias.index_select(0, follows) * num_nodes + alias.index_select(0, follows + 1)
    pair, count = torch.unique(pair, return_counts=True)
    source, target = pair // num_nodes, pair % num_nodes
    weight = count.to(torch.get_default_dtype())
    total = weight.new_zeros(2, num_nodes)
    total[0].scatter_add_(0, source, weight)
    total[1].scatter_add_(0, target, weight)
    return {
        "x": items.index_select(0, node),
        "edge_index": torch.stack([source, target]),
        "edge_weight": weight / total[0].index_select(0, source),
        "edge_weight_in": weight / total[1].index_select(0, target),
        "alias_index": alias,
        "batch": graph.index_select(0, node),
    }


def places_in(kept: Tensor, count: int) -> Tensor:
    """The place in ``kept`` [K] of each of the numbers up to ``count``, -1 of others [count]."""
    places = kept.new_full((count,), -1)
    return places.index_copy(0, kept, torch.arange(len(kept), device=kept.device))


def graphs_of_some(graphs: SessionGraphs, kept: Tensor) -> tuple[Tensor, SessionGraphs]:
    """The graphs of some of the sessions, without their older part.

    Args:
        graphs: The graphs of B sessions.
        kept: The numbers of the K sessions that are kept, in ascending order [K].

    Returns:
        Which nodes are kept, and their graphs, in the order they were in.
    """
    of_node = places_in(kept, graphs.num_graphs).index_select(0, graphs.batch)
    is_kept = of_node >= 0
    node, number = is_kept.nonzero().squeeze(1), is_kept.cumsum(0) - 1
    edge = is_kept.index_select(0, graphs.edge_index[0]).nonzero().squeeze(1)
    click = is_kept.index_select(0, graphs.alias_index).nonzero().squeeze(1)
    return node, SessionGraphs(
        number[graphs.edge_index.index_select(1, edge)],
        graphs.edge_weight.index_select(0, edge),
        graphs.edge_weight_in.index_select(0, edge),
        number[graphs.alias_index.index_select(0, click)],
        of_node.index_select(0, node),
        len(kept),
        **_marks_of_some(graphs, edge, click),
        older=None,
    )


def _marks_of_some(graphs: SessionGraphs, edge: Tensor, click: Tensor) -> dict[str, Tensor]:
    """The marks of some of the edges and clicks."""
    of = {"event": click, "edge_attr": edge, "gap": click}
    marks = {name: getattr(graphs, name) for name in of}
    return {
        name: mark.index_select(0, of[name]) for name, mark in marks.items() if mark is not None
    }


def places_from_end(session: Tensor, num_sessions: int) -> tuple[Tensor, Tensor]:
    """Place of every click from its session's end, 0 for the last one.

    Args:
        session: Session of each click, the sessions one after another [L].
        num_sessions: Number of sessions B.

    Returns:
        The places [L], and every session's number of clicks [B].
    """
    clicks = Clicks.of(session, num_sessions)
    return clicks.place, clicks.lengths


def counts(index: Tensor, size: int) -> Tensor:
    """Count each of 0 … size - 1 in a vector, int64 [size].

    It is ``bincount`` in a form that can be exported.
    """
    return summed(torch.ones_like(index), index, size)


def summed(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Sums [size] of the values [n] that share an index [n]."""
    return values.new_zeros(size).scatter_add(0, index, values)


def log_softmax_within(scores: Tensor, index: Tensor, size: int) -> Tensor:
    """Logarithms of the softmax [n] of the scores [n] that share one of 0 … size - 1 in ``index``.

    Where there are no scores of one, there is nothing to divide.
    """
    alone = scores.detach()
    peak = alone.new_zeros(size).scatter_reduce_(0, index, alone, "amax", include_self=False)
    shifted = scores - peak.index_select(0, index)
    total = summed(shifted.exp(), index, size)
    return shifted - (total + (total == 0)).log().index_select(0, index)
