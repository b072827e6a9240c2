r"""The mixture that a model's log-probabilities are made of.

It starts from a softmax over the items, or from several, of experts, whose shares gates decide for
every session: :math:`p_0(i) = \sum_k w_k \, softmax(s_k)_i`. Each component then takes a share of
the probability, which its gate :math:`g` decides, and gives it to a few candidates:

.. math::
    p_n(i) = (1 - g_n) \, p_{n-1}(i) + g_n \, q_n(i)

Components go from the innermost, which is mixed with the softmaxes, to the outermost. The
candidates of an exclusive component get probability from it alone: everything within goes without
them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.functional.graphs import SessionGraphs, summed
from pyg_srgnn.functional.log_sums import log_sum
from pyg_srgnn.functional.lookups import LOOKUPS, Candidates, Hidden, Pairs


class Source(NamedTuple):
    """Where the candidates of a component come from."""

    lookup: str
    """A name in :data:`pyg_srgnn.functional.lookups.LOOKUPS`."""
    exclusive: bool
    """Whether its candidates get probability from it alone."""
    tables: Mapping[str, Tensor]
    """The tables that the lookup reads."""


@dataclass(frozen=True)
class ExportedComponent:
    """How an exported model names the parts of a component.

    Args:
        name: Its name.
        lookup: The function of :data:`~pyg_srgnn.functional.lookups.LOOKUPS` that finds its
            candidates.
        exclusive: Whether these get probability from it alone.
        tables: The tensors that the lookup reads: the name among the export's tensors of
            each argument.
        known: The encoder's argument that takes the gate's input from the lookup, or None.
        gate: The encoder's result that has the gate's logit.
        log_share: The encoder's result that has the candidates' log-probabilities, or None if the
            lookup finds their probabilities.
    """

    name: str
    lookup: str
    exclusive: bool
    tables: dict[str, str]
    known: str | None
    gate: str
    log_share: str | None


ITEMS = "item_vectors"  # the tensor of an export that has the model's vector of each item
CLICKED = "embedded"  # the encoder's argument with what the nodes' items enter the model as


@dataclass(frozen=True)
class ExportedExpert:
    """How an exported model names the parts of an expert.

    Args:
        name: Its name.
        rows: The tensor of the export that has its vector of each item; :data:`ITEMS` if these are
            the model's own.
        clicked: The encoder's argument that takes the vectors of the nodes' items; :data:`CLICKED`
            if it reads what the model does.
        query: The encoder's result that has the queries, whose products with the vectors are the
            scores.
        gate: The encoder's result that has the gate's logit.
        from_text: The tensor [F, e - n] of the export that maps the whitened text of a new item to
            its vector before it is normalised, or None if a new item has none.
        bias: The tensor [n] of the export with the last entries of that vector, or None.
    """

    name: str
    rows: str
    clicked: str
    query: str
    gate: str
    from_text: str | None
    bias: str | None

    @property
    def of_items(self) -> bool:
        """Whether it scores items by the model's own vectors."""
        return self.rows == ITEMS


class Softmaxes(NamedTuple):
    """What the mixture starts from."""

    scores: list[Tensor]
    """Scores that the softmaxes are taken of, the model's own first [B, V] each."""
    gates: list[Tensor]
    """Logits of the shares of the others, against 0 of the first [B] each."""

    def log_weights(self) -> Tensor:
        """Logarithms of the shares of all of them [1 + n, B]."""
        return log_weights(self.gates)


class Share(NamedTuple):
    """The probability that a component gives to its candidates."""

    candidates: Candidates
    log_share: Tensor | None
    """Logarithm of each candidate's probability among its session's, if it is learned [C]."""
    gate: Tensor
    """Logit of the component's probability [B]."""
    exclusive: bool

    @classmethod
    def of(
        cls, candidates: Candidates, gate: Tensor, log_share: Tensor | None, exclusive: bool
    ) -> Share:
        """A share that is empty where a session has no candidate."""
        if candidates.some is not None:
            gate = gate.masked_fill(~candidates.some, -torch.inf)
        return cls(candidates, log_share, gate, exclusive)


def find_candidates(
    sources: Sequence[Source], x: Tensor, graphs: SessionGraphs, hidden: Hidden | None = None
) -> tuple[list[Candidates], Pairs | None]:
    """Look up the candidates of every component.

    Args:
        sources: The components' sources, the innermost first.
        x: Item of each node [N].
        graphs: The session graphs.
        hidden: What the tables must not give away in training. (default: nothing)

    Returns:
        The candidates, in the same order, and the pairs that exclusive components take from the
        softmax, or None.
    """
    found: list[Candidates] = []
    taken: Pairs | None = None
    for lookup, exclusive, tables in reversed(sources):
        candidates = LOOKUPS[lookup].find(x, graphs, taken, hidden, **tables)
        found.append(candidates)
        if exclusive:
            session, item = candidates.pairs()
            if taken is not None:
                session, item = torch.cat([taken[0], session]), torch.cat([taken[1], item])
            taken = session, item
    return found[::-1], taken


def log_weights(gates: Sequence[Tensor]) -> Tensor:
    """Logarithms of the shares of several softmaxes [1 + n, B] of n gates [B]."""
    return torch.stack([torch.zeros_like(gates[0]), *gates]).log_softmax(dim=0)


def log_mixture(softmaxes: Softmaxes, shares: Sequence[Share]) -> tuple[Tensor, Tensor]:
    """Logarithm of every item's probability, but for a term that all items of a session share.

    Only the candidates are written to, so that the best items are found in one pass over the
    others.

    Args:
        softmaxes: What it starts from; the scores are changed in place, unless gradients need them.
        shares: The components' shares, the innermost first.

    Returns:
        ``logs`` [B, V] and ``shift`` [B, 1]: log p is their sum.
    """
    scores, *others = softmaxes.scores
    shift = -_softmax_total_(scores, shares)
    if others:
        weights = softmaxes.log_weights().unsqueeze(2)
        scores = scores + (shift + weights[0])
        for other, weight in zip(others, weights[1:], strict=True):
            scores = _either(scores, other + (weight - _softmax_total_(other, shares)))
        shift = torch.zeros_like(shift)
    elif scores.requires_grad:
        scores = scores.clone()
    for share in shares:
        session, item, logs = each_once(share, scores.size(1))
        shift = mix_in_(scores, shift, share, logs, session, (session, item))
    return scores, shift


def mix_in_(
    scores: Tensor,
    shift: Tensor,
    share: Share,
    logs: Tensor,
    session: Tensor,
    places: Tensor | tuple[Tensor, Tensor],
) -> Tensor:
    """Mix a component into logarithms of probabilities, which are changed in place.

    Args:
        scores: They are these and ``shift``.
        shift: What all items of a session share [B, 1].
        share: The component's share.
        logs: Logarithm of each candidate's probability in it [C].
        session: Session of each candidate [C].
        places: Where each candidate is among the scores.

    Returns:
        The shift after it [B, 1].
    """
    shift = shift + F.logsigmoid(-share.gate).unsqueeze(1)
    gate = F.logsigmoid(share.gate) - shift.squeeze(1)
    logs = logs + gate.index_select(0, session)
    scores[places] = logs if share.exclusive else torch.logaddexp(scores[places], logs)
    return shift


def log_parts(softmaxes: Softmaxes, shares: Sequence[Share], items: Tensor) -> Tensor:
    """Logarithms of what each softmax and component gives to the probability of some items.

    Args:
        softmaxes: What the mixture starts from; not changed.
        shares: The components' shares, the innermost first.
        items: Items of each session [B, K].

    Returns:
        [n, B, K]: the softmaxes first, then the components. The logarithm of the sum of their
        exponentials is log p of :func:`log_mixture`.
    """
    parts = []
    for each in softmaxes.scores:
        scores = each.clone()
        total = _softmax_total_(scores, shares)
        parts.append(scores.gather(1, items) - total)
    if softmaxes.gates:
        weights = softmaxes.log_weights().unsqueeze(2)
        parts = [part + weight for part, weight in zip(parts, weights, strict=True)]
    for share in shares:
        rest = F.logsigmoid(-share.gate).unsqueeze(1)
        session, item, logs = each_once(share, scores.size(1))
        given = torch.full_like(scores, -torch.inf)
        given[session, item] = logs.to(given.dtype)
        own = F.logsigmoid(share.gate).unsqueeze(1) + given.gather(1, items)
        parts = [part + rest for part in parts] + [own]
    return torch.stack(parts)


def _either(first: Tensor, second: Tensor) -> Tensor:
    """``torch.logaddexp``, with a gradient that is 0, not NaN, where both are minus infinity."""
    if first.requires_grad:
        least = torch.finfo(first.dtype).min / 2
        first, second = first.clamp(min=least), second.clamp(min=least)
    return torch.logaddexp(first, second)


def _softmax_total_(scores: Tensor, shares: Sequence[Share]) -> Tensor:
    """Mask what exclusive components take; logarithm of the sum of the others [B, 1]."""
    for share in shares:
        if share.exclusive:
            scores[share.candidates.pairs()] = -torch.inf
    total = log_sum(scores).unsqueeze(1)
    # A session that holds the whole catalogue leaves no item for the softmax.
    return total.masked_fill(total.isinf(), 0)


def mixed_losses(losses: Sequence[Tensor], gates: Sequence[Tensor]) -> Tensor:
    """Loss of each session by several softmaxes mixed [B].

    Args:
        losses: -log of the target's probability in each of them, the model's own first [B] each.
        gates: See :class:`Softmaxes`.
    """
    return -(log_weights(gates) - torch.stack([*losses])).logsumexp(dim=0)


def mixture_losses(share: Share, rest: Tensor, target: Tensor) -> Tensor:
    """Loss of each session after a component is mixed in: -log p(target) [B].

    Args:
        share: The component's share.
        rest: -log of the target's probability in the mixture within [B]; not used
            if the target is a candidate of an exclusive component.
        target: Next items [B].
    """
    session, item, counted = share.candidates[:3]
    asked = target.index_select(0, session)
    hit = item == asked.view(-1, *[1] * (item.dim() - 1))
    # Sums of all candidates, of which the others add 0: to look for hits would make the host wait.
    if share.log_share is None:
        assert counted is not None, "a component without learned shares has counted ones"
        total = _of_sessions(counted * hit, session, target)
        log_share = (total + torch.finfo(total.dtype).tiny).log()
    else:
        found = _of_sessions(share.log_share.masked_fill(~hit, 0), session, target)
        taken = _of_sessions(hit.to(found.dtype), session, target) > 0
        log_share = found.masked_fill(~taken, math.log(torch.finfo(rest.dtype).tiny))
    if share.exclusive:
        against = torch.where(taken, -share.gate, share.gate)
        return _softplus(against) + torch.where(taken, -log_share, rest)
    # -log((1 - g) exp(-rest) + g share) with g / (1 - g) = exp(gate)
    return _softplus(share.gate) - torch.logaddexp(-rest, share.gate + log_share)


def _softplus(gate: Tensor) -> Tensor:
    """``-F.logsigmoid(-gate)`` without its two negations; exact in double precision as well."""
    return F.softplus(gate, threshold=50)


def _of_sessions(values: Tensor, session: Tensor, target: Tensor) -> Tensor:
    """Sums [B] of what the candidates of each session have [C] or [C, K]."""
    return summed(values.sum(dim=1) if values.dim() > 1 else values, session, target.numel())


def each_once(share: Share, num_items: int) -> tuple[Tensor, Tensor, Tensor]:
    """Session, item and log-share of every candidate, those without probability left out."""
    (session, item), counted = share.candidates.pairs(), share.candidates.share
    if share.log_share is not None:
        return session, item, share.log_share
    assert counted is not None, "a component without learned shares has counted ones"
    counted = counted.flatten()
    positive = (counted > 0).nonzero().squeeze(1)
    key = (session * num_items + item).index_select(0, positive)
    key, of = torch.unique(key, return_inverse=True)
    logs = summed(counted.index_select(0, positive), of, key.numel()).log()
    return key // num_items, key % num_items, logs
