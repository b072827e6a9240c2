r"""Mixes distributions over the items, the session's own ones and new ones apart.

.. math::
    p(i) = g \, p(i \mid S) \text{ for } i \in S, \qquad (1 - g) \, p(i \mid \bar S)
    \text{ for the rest}

is how each of them, and their mixture, is split.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_srgnn.functional.log_sums import log_sum

NESTED = 2  # mixtures within each other, at most: a mixture of mixtures of models


class Split(NamedTuple):
    """The logarithms of both parts, and of the probability of the first one."""

    new: Tensor
    """Of every item among the new ones, minus infinity for the session's own [B, V]."""
    own: Tensor
    """Of every node's item among those of its session [N]."""
    gate: Tensor
    """Of the session's own items together [B]."""


def split(log_p: Tensor, session: Tensor, item: Tensor, temperature: Tensor | float = 1.0) -> Split:
    """Split a distribution.

    Args:
        log_p: Log-probabilities [B, V].
        session: Session of every node, in order [N].
        item: Item of every node; each appears once in a session [N].
        temperature: Both parts are those of the distribution to the power of one over this; the
            gate is not. (default: 1)
    """
    of_own = log_p[session, item]
    own = of_own / temperature
    new = (log_p / temperature).index_put_((session, item), log_p.new_tensor(-torch.inf))
    new -= _finite(log_sum(new)).unsqueeze(1)
    sessions = log_p.size(0)
    own = own - _finite(log_sums(own, session, sessions))[session]
    return Split(new, own, log_sums(of_own, session, sessions))


class Weights(NamedTuple):
    """The weights of M distributions in their mixture; each sums to 1."""

    new: Tensor
    """In the new items [M]."""
    own: Tensor
    """In the session's own items [M]."""
    gate: Tensor
    """In the probability of the session's own items together [M]."""
    temperature: Tensor
    """See :func:`split`; not a weight [M]."""


def mix(members: Iterable[Tensor], weights: Weights, session: Tensor, item: Tensor) -> Tensor:
    """Log-probabilities of a mixture [B, V].

    Args:
        members: Log-probabilities of each member [B, V]; one is held at a time.
        weights: Their weights.
        session: Session of every node, in order [N].
        item: Item of every node; each appears once in a session [N].
    """
    parts = _weighted(members, weights, session, item)
    log_p, own, gate = next(parts)
    for part in parts:
        torch.logaddexp(log_p, part.new, out=log_p)
        own, gate = torch.logaddexp(own, part.own), torch.logaddexp(gate, part.gate)
    log_p += log_complement(gate).unsqueeze(1)
    log_p[session, item] = own + gate[session]
    return log_p


def mixed_parts(
    members: Iterable[Tensor], weights: Weights, session: Tensor, item: Tensor, wanted: Tensor
) -> list[Tensor]:
    """What each member gives to the probability of some items of each session.

    Args:
        members: See :func:`mix`, as for the next three.
        weights: As there.
        session: As there.
        item: As there.
        wanted: Items [B, K].

    Returns:
        Logarithms [B, K] of each member; those of the sums of their exponentials are the mixture's.
    """
    logs, gates = [], []
    for part in _weighted(members, weights, session, item):
        own = torch.zeros_like(part.new, dtype=torch.bool)
        own[session, item] = True
        part.new[session, item] = part.own
        logs.append(part.new.gather(1, wanted))
        gates.append(part.gate)
    gate = torch.stack(gates).logsumexp(dim=0).unsqueeze(1)
    gate = torch.where(own.gather(1, wanted), gate, log_complement(gate))
    return [log + gate for log in logs]


def name_of(member: int) -> str:
    """The name of a member of a mixture, by its number from 0."""
    return f"member_{member + 1}"


def _weighted(
    members: Iterable[Tensor], weights: Weights, session: Tensor, item: Tensor
) -> Iterator[Split]:
    """Every member's distribution, split, with its weights."""
    logs = torch.stack(weights[:3]).log()
    for number, log_p in enumerate(members):
        parts = split(log_p, session, item, weights.temperature[number])
        new, own, gate = logs[:, number]
        yield Split(parts.new.add_(new), parts.own + own, parts.gate + gate)


def log_sums(logs: Tensor, session: Tensor, num_sessions: int) -> Tensor:
    """Logarithm of the sum of the exponentials of each session's values [B]."""
    peak = logs.new_full((num_sessions,), -torch.inf).scatter_reduce(0, session, logs, "amax")
    peak = _finite(peak)
    total = torch.zeros_like(peak).scatter_add(0, session, (logs - peak[session]).exp())
    return total.log() + peak


def log_complement(logs: Tensor, least: float | None = None) -> Tensor:
    """log(1 - p) of logarithms of probabilities p.

    Args:
        logs: The logarithms.
        least: The least 1 - p, below which rounding is all there is. (default: the type's epsilon)
    """
    most = math.log1p(-(torch.finfo(logs.dtype).eps if least is None else least))
    return torch.log(-torch.expm1(logs.clamp(max=most)))


def _finite(total: Tensor) -> Tensor:
    """The totals, 0 where there is nothing: then every item's logarithm is minus infinity."""
    return total.masked_fill(total.isinf(), 0)
