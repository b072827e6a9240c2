"""One distribution over the catalogue, made of what a model expects and of what was counted."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.functional.graphs import places_from_end, summed

PLACES = 10  # last clicks whose followers are looked at


class Followers(NamedTuple):
    """Items that may follow, C for all sessions together; one may stand there several times."""

    session: Tensor
    """Session of each [C]."""
    item: Tensor
    """Index of each [C]."""
    share: Tensor
    """Probability of each; those of a session sum to 1, or there are none [C]."""
    known: Tensor
    """Logarithm of 1 + how often each session's last item was followed in training [B]."""
    some: Tensor
    """Whether a session has a follower at all [B]."""


class Repeats(NamedTuple):
    """What a repeat head says of the N items of all sessions."""

    within: Tensor
    """Logarithm of each one's probability among its session's [N]."""
    gate: Tensor
    """Logit of the probability that the next click is one of them [B]."""


def followers_of(
    x: Tensor,
    alias_index: Tensor,
    batch: Tensor,
    num_sessions: int,
    followers: Tensor,
    count: Tensor,
    weight: Tensor,
    new_only: bool,
    target: Tensor | None = None,
) -> Followers:
    r"""What followed the last items of sessions in training.

    .. math::
        q(i) \propto \sum_t \omega_t \, c(t, i) / \sum_j c(t, j)

    Args:
        x: Item of each node [N].
        alias_index: Node of each click [L].
        batch: Session of each node [N].
        num_sessions: Number of sessions B.
        followers: Followers of each item, int32 [V, K].
        count: How often, and how soon, each of them followed [V, K].
        weight: Weight of each place from the session's end, :data:`PLACES` of them [P].
        new_only: Whether the session's own items are left out.
        target: Next items, whose own transition is left out of the counts [B]. (default: none)
    """
    session = batch.index_select(0, alias_index)
    place, clicks = places_from_end(session, num_sessions)
    item = x.index_select(0, alias_index)
    last = item.index_select(0, clicks.cumsum(0) - 1)
    known = torch.log1p(count.index_select(0, last).sum(dim=1)).to(weight.dtype)
    near = (place < PLACES).nonzero().squeeze(1)
    session, place, item = (each.index_select(0, near) for each in (session, place, item))
    found = followers.index_select(0, item).long()
    counted = count.index_select(0, item).to(weight.dtype)
    if target is not None:
        own = (1 / (place + 1).to(counted.dtype)).unsqueeze(1)
        of_target = found == target[session].unsqueeze(1)
        counted = torch.where(of_target, (counted - own).clamp(min=0), counted)
    if new_only:
        width = followers.size(0)
        nodes = (batch * width + x).sort().values
        key = session.unsqueeze(1) * width + found
        at = torch.searchsorted(nodes, key).clamp_(max=nodes.numel() - 1)
        counted = counted.masked_fill(nodes[at] == key, 0)
    share = counted / counted.sum(dim=1, keepdim=True).clamp(min=1e-6)
    share = share * weight.index_select(0, place).unsqueeze(1)
    total = summed(share.sum(dim=1), session, num_sessions)
    share = share / total.clamp(min=1e-12).index_select(0, session).unsqueeze(1)
    session = session.unsqueeze(1).expand_as(found)
    return Followers(session.flatten(), found.flatten(), share.flatten(), known, total > 0)


def log_mixture(
    scores: Tensor,
    batch: Tensor,
    x: Tensor,
    repeats: Repeats | None,
    followers: Followers | None,
    trust: Tensor | None,
) -> tuple[Tensor, Tensor]:
    r"""Logarithm of every item's probability, but for a term that all items of a session share.

    .. math::
        p(i) = g \, p_{within}(i) \text{ for } i \in S, \qquad
        (1 - g) \, \big[ (1 - m) \, softmax(s)_i + m \, q(i) \big] \text{ for the rest}

    Without repeats, the softmax goes over all items and :math:`g = 0`; without followers,
    :math:`m = 0`. Only the few items concerned are written to, so that the best ones are found in
    one pass over the others.

    Args:
        scores: The model's scores [B, V], changed in place.
        batch: Session of each node [N].
        x: Item of each node [N].
        repeats: What the repeat head says, or None.
        followers: What has followed, or None.
        trust: Logit of :math:`m` [B], minus infinity where there is no follower; or None.

    Returns:
        ``logs`` [B, V], which is ``scores``, and ``shift`` [B, 1]: log p is their sum.
    """
    if repeats is not None:
        scores[batch, x] = -torch.inf
    total = scores.logsumexp(dim=1, keepdim=True)
    # A session that holds the whole catalogue leaves nothing to share out.
    shift = -total.masked_fill(total.isinf(), 0)
    if followers is not None and trust is not None:
        shift = shift + F.logsigmoid(-trust).unsqueeze(1)
        num_items = scores.size(1)
        positive = (followers.share > 0).nonzero().squeeze(1)
        key = followers.session * num_items + followers.item
        key, of = torch.unique(key.index_select(0, positive), return_inverse=True)
        share = summed(followers.share.index_select(0, positive), of, key.numel())
        session, item = key // num_items, key % num_items
        counted = share.log() + (F.logsigmoid(trust) - shift.squeeze(1)).index_select(0, session)
        scores[session, item] = torch.logaddexp(scores[session, item], counted)
    if repeats is not None:
        shift = shift + F.logsigmoid(-repeats.gate).unsqueeze(1)
        again = F.logsigmoid(repeats.gate) - shift.squeeze(1)
        scores[batch, x] = repeats.within + again.index_select(0, batch)
    return scores, shift
