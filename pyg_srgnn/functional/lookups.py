"""Looks up the candidates of a mixture's components in tables, by the items of a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.functional.cold import NewItems
from pyg_srgnn.functional.graphs import SessionGraphs, places_in, summed
from pyg_srgnn.functional.own_pairs import OwnPairs
from pyg_srgnn.functional.whitening import nearest

PLACES = 10  # last clicks whose followers and neighbours are looked up
ROUNDED = 1e-6  # of a count is what rounding leaves where all of it is taken away
BUCKETS = 14  # of an item's clicks: none, 1, 2 to 3, 4 to 7, and so on

Pairs = tuple[Tensor, Tensor]
"""Sessions [P] and items [P]."""


def pairs_of_some(pairs: Pairs, kept: Tensor, num_sessions: int) -> Pairs:
    """The pairs of the sessions that are kept [K], which are numbered by their order there."""
    session = places_in(kept, num_sessions).index_select(0, pairs[0])
    at = (session >= 0).nonzero().squeeze(1)
    return session.index_select(0, at), pairs[1].index_select(0, at)


class Hidden(NamedTuple):
    """What the tables must not give away of the samples that are trained."""

    target: Tensor
    """Next item of each session [B]."""
    weight: Tensor | None = None
    """What counts the transitions to it were given in the tables [B]; None: 1."""
    own: OwnPairs | None = None
    """All that the sessions added to the counts; None: only what their clicks did is left out."""
    steps: Tensor | None = None
    """Steps from each click to the target [L]; None: those of sessions with all their clicks."""


class Candidates(NamedTuple):
    """Items that a component gives probability to, of all sessions together."""

    session: Tensor
    """Session of each [C]."""
    item: Tensor
    """Index of each [C]; [C, K] of K candidates that share a place in ``session``."""
    share: Tensor | None = None
    """Probability of each among its session's candidates, which may be 0; an item may appear
    several times; of the shape of ``item``. None if the component learns it, and each item appears
    once."""
    known: Tensor | None = None
    """What the tables tell the component, of each session [B, ...] or of each candidate [C, ...];
    None if there is nothing."""
    some: Tensor | None = None
    """Whether a session has a candidate, bool [B]; None: each has."""

    def pairs(self) -> Pairs:
        """The session and the index of every candidate."""
        if self.item.dim() == 1:
            return self.session, self.item
        return self.session.repeat_interleave(self.item.size(1)), self.item.flatten()


def own_items(
    x: Tensor, graphs: SessionGraphs, taken: Pairs | None, hidden: Hidden | None
) -> Candidates:
    """The items of the sessions themselves; see :class:`Lookup` for the arguments."""
    return Candidates(graphs.batch, x)


def own_items_followed(
    x: Tensor,
    graphs: SessionGraphs,
    taken: Pairs | None,
    hidden: Hidden | None,
    followers: Tensor,
    count: Tensor,
) -> Candidates:
    """The items of the sessions themselves, with what the training sessions count of them.

    It is the weight of three transitions [N, 3, 2], and of all that start at the same item: from
    the session's last item to each one, from each one to the last, and from each one to itself.

    Args:
        x: See :class:`Lookup`.
        graphs: See :class:`Lookup`.
        taken: See :class:`Lookup`.
        hidden: See :class:`Lookup`; all that the session itself added to the counts is left out.
        followers: Followers of each item, int32 [V, K].
        count: How often, and how soon, each of them followed [V, K].
    """
    session = graphs.batch
    counted, kept = count.index_select(0, x), followers.index_select(0, x)
    if hidden is not None and hidden.own is not None:
        counted = _without_session(kept, counted, session, x, hidden.own)
    every = torch.arange(x.numel(), device=x.device)
    last = graphs.last_node.index_select(0, session)
    row = torch.cat([last, every, every])
    later = torch.cat([x, x.index_select(0, last), x])
    of_later = kept.index_select(0, row) == later.unsqueeze(1)
    found = (counted.index_select(0, row) * of_later).sum(dim=1)
    known = torch.stack([found, counted.sum(dim=1).index_select(0, row)], dim=1)
    return Candidates(session, x, known=known.view(3, -1, 2).transpose(0, 1).contiguous())


def followers_of(
    x: Tensor,
    graphs: SessionGraphs,
    taken: Pairs | None,
    hidden: Hidden | None,
    followers: Tensor,
    count: Tensor,
    place_weight: Tensor,
) -> Candidates:
    r"""The items that followed the last items of the sessions in training.

    .. math::
        q(i) \propto \sum_t \omega_t \, c(t, i) / \sum_j c(t, j)

    The gate's input is the logarithm of 1 + how often the last item was followed [B].

    Args:
        x: See :class:`Lookup`.
        graphs: See :class:`Lookup`.
        taken: See :class:`Lookup`.
        hidden: See :class:`Lookup`; the transitions to the target are left out of the counts.
        followers: Followers of each item, int32 [V, K].
        count: How often, and how soon, each of them followed [V, K].
        place_weight: Weight of each place from the session's end [:data:`PLACES`].
    """
    session, place, _, _ = graphs.clicks
    item, last = _last_items(x, graphs)
    of_last = count.index_select(0, last)
    found = followers.index_select(0, item).long()
    counted = count.index_select(0, item).to(place_weight.dtype)
    if hidden is not None and hidden.own is not None:
        every = torch.arange(graphs.num_graphs, device=x.device)
        kept = followers.index_select(0, last)
        of_last = _without_session(kept, of_last, every, last, hidden.own)
        target = hidden.target.index_select(0, session)
        own = hidden.own.of(session, item, target).unsqueeze(1)
        counted = torch.where(found == target.unsqueeze(1), _without(counted, own), counted)
    elif hidden is not None:
        counted = _without_own(found, counted, place, hidden.steps, session, hidden)
    known = torch.log1p(of_last.sum(dim=1)).to(place_weight.dtype)
    weight = _weight_of(place, place_weight)
    return _shared_out(found, counted, weight, session, graphs, taken, len(followers), known)


def similar_of(
    x: Tensor,
    graphs: SessionGraphs,
    taken: Pairs | None,
    hidden: Hidden | None,
    similar: Tensor,
    count: Tensor,
    place_weight: Tensor,
    power: Tensor,
) -> Candidates:
    r"""The items that were clicked in the same training sessions as the last items.

    .. math::
        q(i) \propto \sum_v \omega_v \, c(v, i)^\gamma / \sum_j c(v, j)^\gamma

    over the distinct items v of the session; none of these is a candidate. The gate's input is the
    logarithm of 1 + how often the last item was counted, and the sum of the squared shares, which
    is great where few items stand out [B, 2].

    Args:
        x: See :class:`Lookup`.
        graphs: See :class:`Lookup`.
        taken: See :class:`Lookup`.
        hidden: See :class:`Lookup`; the session's own pairs with the target are left out.
        similar: Similar items of each item, int32 [V, K].
        count: How often, and how near, each of them was clicked [V, K].
        place_weight: Weight of each place from the session's end [:data:`PLACES`].
        power: The power :math:`\gamma` [1].
    """
    session, place = graphs.batch, graphs.last_place
    found = similar.index_select(0, x).long()
    counted = count.index_select(0, x).to(place_weight.dtype)
    if hidden is not None:
        steps = hidden.steps
        if steps is not None:  # of the last click of each item
            steps = steps.new_zeros(x.shape).scatter_reduce_(
                0, graphs.alias_index, steps, "amin", include_self=False
            )
        counted = _without_own(found, counted, place, steps, session, hidden)
    often = torch.log1p(counted.index_select(0, graphs.last_node).sum(dim=1))
    if taken is None:
        taken = session, x
    elif taken[1] is not x:  # or they are what was taken
        taken = torch.cat([taken[0], session]), torch.cat([taken[1], x])
    # Shares of a row's most, for counts may be too small to be raised. A count of 0 has a logarithm
    # that no power raises, and not minus infinity times 0.
    most = counted.amax(dim=1, keepdim=True)
    counted = counted / most.clamp(min=torch.finfo(counted.dtype).tiny)
    counted = (power * counted.log().clamp(min=torch.finfo(counted.dtype).min)).exp()
    weight = _weight_of(place, place_weight)
    candidates = _shared_out(found, counted, weight, session, graphs, taken, len(similar), often)
    assert candidates.share is not None
    stand_out = summed(candidates.share.square().sum(dim=1), session, graphs.num_graphs)
    return candidates._replace(known=torch.stack([often, stand_out], dim=1))


def text_neighbours_of(
    x: Tensor,
    graphs: SessionGraphs,
    taken: Pairs | None,
    hidden: Hidden | None,
    neighbours: Tensor,
    cosine: Tensor,
    bucket: Tensor,
    bucket_weight: Tensor,
    place_weight: Tensor,
    sharpness: Tensor,
) -> Candidates:
    r"""The items whose texts are nearest to those of the last items of the sessions.

    .. math::
        q(i) \propto \sum_t \omega_t \, w_t(i) / \sum_j w_t(j), \qquad
        w_t(i) = \phi_{b(i)} \exp(\kappa \cos(t, i))

    with a factor :math:`\phi` for how often an item was clicked. The gate's input is the mean
    cosine of the last item's five nearest, the bucket of its clicks, as a share of all, and whether
    there is none [B, 3].

    Args:
        x: See :class:`Lookup`.
        graphs: See :class:`Lookup`.
        taken: See :class:`Lookup`.
        hidden: See :class:`Lookup`; texts do not give it away. In training, an item without clicks
            is no candidate: it is never a target, and its factor would learn nothing but that.
        neighbours: Nearest items of each item, int32 [V, K].
        cosine: Cosine of each; -1 of what is no neighbour [V, K].
        bucket: Bucket of each item's clicks, int32 [V].
        bucket_weight: Factor of each bucket [:data:`BUCKETS`].
        place_weight: Weight of each place from the session's end [:data:`PLACES`].
        sharpness: The factor :math:`\kappa` [1].
    """
    session, place, _, _ = graphs.clicks
    item, last = _last_items(x, graphs)
    near = cosine.index_select(0, last)[:, :5].mean(dim=1)
    often = bucket.index_select(0, last).to(near.dtype)
    known = torch.stack([near, often / BUCKETS, (often == 0).to(near.dtype)], dim=1)
    known = known.to(place_weight)
    found = neighbours.index_select(0, item).long()
    near = cosine.index_select(0, item)
    if hidden is not None:
        bucket_weight = bucket_weight * (torch.arange(BUCKETS, device=x.device) > 0)
    factor = bucket_weight.index_select(0, bucket.index_select(0, found.flatten()).long())
    counted = (sharpness * near).exp() * factor.view_as(near) * (near > -1)
    weight = _weight_of(place, place_weight)
    return _shared_out(found, counted, weight, session, graphs, taken, len(neighbours), known)


def _counts_of_new_items(tables: Mapping[str, Tensor], new: NewItems) -> dict[str, Tensor]:
    """New items have the counts of their stand-ins."""
    return {
        name: torch.cat([table, table.index_select(0, new.stand_ins)])
        for name, table in tables.items()
    }


def _neighbours_of_new_items(tables: Mapping[str, Tensor], new: NewItems) -> dict[str, Tensor]:
    """The neighbours of the new items, and of those that have a new one among their nearest."""
    neighbours, cosine, bucket = tables["neighbours"], tables["cosine"], tables["bucket"]
    (old, kept), count = neighbours.shape, len(new.stand_ins)
    own = torch.arange(old, old + count)
    found, near = nearest(new.text[old:], new.text, kept, own)
    neighbours = torch.cat([neighbours, found.to(neighbours)])
    cosine = torch.cat([cosine, near])
    found, near = nearest(new.text[:old], new.text[old:], min(kept, count))
    rows = (near[:, 0] > cosine[:old, -1]).nonzero().squeeze(1)
    both = torch.cat([cosine[rows], near[rows]], dim=1).topk(kept)
    items = torch.cat([neighbours[rows], (found[rows] + old).to(neighbours)], dim=1)
    return {
        "neighbours": neighbours.index_copy_(0, rows, items.gather(1, both.indices)),
        "cosine": cosine.index_copy_(0, rows, both.values),
        "bucket": torch.cat([bucket, bucket.new_zeros(count)]),
    }


def _last_items(x: Tensor, graphs: SessionGraphs) -> tuple[Tensor, Tensor]:
    """The item of every click [L], and of every session's last one [B]."""
    item = x.index_select(0, graphs.alias_index)
    return item, item.index_select(0, graphs.clicks.last)


def _weight_of(place: Tensor, place_weight: Tensor) -> Tensor:
    """Weights of places from the session's end; 0 from :data:`PLACES` on."""
    return F.pad(place_weight, (0, 1)).index_select(0, place.clamp(max=PLACES))


def _without_own(
    found: Tensor,
    counted: Tensor,
    place: Tensor,
    steps: Tensor | None,
    session: Tensor,
    hidden: Hidden,
) -> Tensor:
    """The counts [C, K] less what the clicks themselves added to those of the target."""
    own = 1 / (place + 1 if steps is None else steps).to(counted.dtype)
    if steps is not None:
        own = own * (steps <= PLACES)  # what is further apart is not counted
    if hidden.weight is not None:
        own = (own * hidden.weight.index_select(0, session)).to(counted.dtype)
    of_target = found == hidden.target.index_select(0, session).unsqueeze(1)
    return torch.where(of_target, _without(counted, own.unsqueeze(1)), counted)


def _without_session(
    kept: Tensor, counted: Tensor, session: Tensor, earlier: Tensor, own: OwnPairs
) -> Tensor:
    """The counts [C, K] of followers that are kept, less all that the sessions added to them."""
    pairs = own.of(session.unsqueeze(1), earlier.unsqueeze(1), kept.long())
    return _without(counted, pairs)


def _without(counted: Tensor, own: Tensor) -> Tensor:
    """Counts less a part of them, or 0."""
    others = counted - own.to(counted.dtype)
    return others.masked_fill(others < ROUNDED * counted, 0)


def _shared_out(
    found: Tensor,
    counted: Tensor,
    weight: Tensor,
    session: Tensor,
    graphs: SessionGraphs,
    taken: Pairs | None,
    num_items: int,
    known: Tensor,
) -> Candidates:
    """Share a session's probability out among the clicks, and a click's among what it found.

    Args:
        found: Items that each click found [C, K].
        counted: Their weights, at least 0 [C, K].
        weight: Weight of each click [C].
        session: Session of each click [C].
        graphs: The session graphs.
        taken: Pairs that get nothing, or None.
        num_items: Number of items V.
        known: The gate's input [B, ...].
    """
    if taken is not None:
        nodes = (taken[0] * num_items + taken[1]).sort().values
        key = session.unsqueeze(1) * num_items + found
        at = torch.searchsorted(nodes, key).clamp_(max=nodes.numel() - 1)
        counted = counted.masked_fill(nodes.take(at) == key, 0)
    of_click = counted.sum(dim=1)
    # What is 0 is divided by 1; to clamp it would cost three operations for its gradient.
    weight = weight / (of_click + (of_click == 0))
    total = summed(of_click * weight, session, graphs.num_graphs)
    weight = weight / (total + (total == 0)).index_select(0, session)
    return Candidates(session, found, counted * weight.unsqueeze(1), known, total > 0)


class Lookup(NamedTuple):
    """A function that finds candidates, and the tables that it reads."""

    find: Callable[..., Candidates]
    """Called with the item of each node ``x`` [N], the :class:`SessionGraphs`, the pairs that other
    components have ``taken`` (or None), what is ``hidden`` of the sessions while they are trained
    (else None), and the tables by their names."""
    shapes: Mapping[str, tuple[int | str, ...]] = {}
    """Shape of each table; a size that is a name is the same in all of them, V is the number of
    items."""
    indices: Mapping[str, int | str] = {}
    """The size that the indices in a table are below."""
    extended: Callable[[Mapping[str, Tensor], NewItems], dict[str, Tensor]] | None = None
    """Maps the tables with one row per item, by their names, and :class:`NewItems` to tables with
    their rows; None: there can be no new items."""


LOOKUPS: dict[str, Lookup] = {
    "own_items": Lookup(own_items),
    "own_items_followed": Lookup(
        own_items_followed,
        {"followers": ("V", "K"), "count": ("V", "K")},
        {"followers": "V"},
        _counts_of_new_items,
    ),
    "followers": Lookup(
        followers_of,
        {"followers": ("V", "K"), "count": ("V", "K"), "place_weight": (PLACES,)},
        {"followers": "V"},
        _counts_of_new_items,
    ),
    "similar": Lookup(
        similar_of,
        {"similar": ("V", "K"), "count": ("V", "K"), "place_weight": (PLACES,), "power": (1,)},
        {"similar": "V"},
        _counts_of_new_items,
    ),
    "text_neighbours": Lookup(
        text_neighbours_of,
        {
            "neighbours": ("V", "N"),
            "cosine": ("V", "N"),
            "bucket": ("V",),
            "bucket_weight": (BUCKETS,),
            "place_weight": (PLACES,),
            "sharpness": (1,),
        },
        {"neighbours": "V", "bucket": BUCKETS},
        _neighbours_of_new_items,
    ),
}
"""Every lookup by the name that components and exported models give it."""


def extended_tables(lookup: str, tables: Mapping[str, Tensor], new: NewItems) -> dict[str, Tensor]:
    """The tables of a lookup with the rows of new items.

    Args:
        lookup: A name in :data:`LOOKUPS`.
        tables: The tables, which stay as they are.
        new: The new items.

    Raises:
        ValueError: If the lookup has no rule for them.
    """
    of_items = {name for name, shape in LOOKUPS[lookup].shapes.items() if "V" in shape}
    if not of_items:
        return dict(tables)
    rule = LOOKUPS[lookup].extended
    if rule is None:
        raise ValueError(f"the lookup {lookup!r} has no rule for the rows of new items")
    return {**tables, **rule({name: tables[name] for name in of_items}, new)}


def check_tables(lookup: str, tables: Mapping[str, Tensor], num_items: int) -> None:
    """Check that a lookup can read tables.

    Args:
        lookup: A name in :data:`LOOKUPS`.
        tables: The tables.
        num_items: Number of items V.

    Raises:
        ValueError: If a table is missing, or has another shape or indices beyond it.
    """
    sizes: dict[int | str, int] = {"V": num_items}
    for name, shape in LOOKUPS[lookup].shapes.items():
        found = list(tables[name].shape) if name in tables else []
        if len(found) == len(shape):
            expected = [
                sizes.setdefault(size, size if isinstance(size, int) else there)
                for size, there in zip(shape, found, strict=True)
            ]
        if len(found) != len(shape) or found != expected:
            raise ValueError(f"{lookup}: {name} must have the shape {list(shape)} (got {found})")
    for name, size in LOOKUPS[lookup].indices.items():
        table, most = tables[name], (size if isinstance(size, int) else sizes[size]) - 1
        if table.numel() and not 0 <= int(table.min()) <= int(table.max()) <= most:
            raise ValueError(f"{lookup}: {name} must hold indices from 0 to {most}")
