r"""Splits a distribution over the items into the session's own ones and new ones.

.. math::
    p(i) = g \, p(i \mid S) \text{ for } i \in S, \qquad (1 - g) \, p(i \mid \bar S)
    \text{ for the rest}
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


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
    new -= _finite(new.logsumexp(dim=1, keepdim=True))
    sessions = log_p.size(0)
    own = own - _finite(log_sums(own, session, sessions))[session]
    return Split(new, own, log_sums(of_own, session, sessions))


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
