"""Log-probabilities of a few items in a mixture, by those that its softmaxes give to them.

They are what :func:`pyg_srgnn.functional.mixture.log_mixture` gives to these items, without a
number for every item of the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_srgnn.functional.mixture import Share, each_once, log_weights


def mixed_softmaxes(logs: Tensor, gates: Sequence[Tensor]) -> Tensor:
    """Log-probabilities [B, K] by several softmaxes mixed.

    Args:
        logs: Those in each of them, the model's own first [1 + n, B, K].
        gates: See :class:`pyg_srgnn.functional.mixture.Softmaxes`.
    """
    if not gates:
        return logs.squeeze(0)
    return (logs + log_weights(gates).unsqueeze(2)).logsumexp(dim=0)


def mix_in(share: Share, rest: Tensor, items: Tensor, num_items: int) -> Tensor:
    """Log-probabilities [B, K] after a component is mixed in.

    Args:
        share: The component's share.
        rest: Those in the mixture within [B, K]; not used of candidates of an exclusive component.
        items: The items [B, K].
        num_items: Number of items V.
    """
    within = F.logsigmoid(-share.gate).unsqueeze(1) + rest
    session, item, logs = each_once(share, num_items)
    if not len(session):
        return within
    key, order = (session * num_items + item).sort()
    first = torch.arange(len(items), device=items.device).unsqueeze(1) * num_items
    asked = first + items
    place = torch.searchsorted(key, asked).clamp(max=len(key) - 1)
    hit = key[place] == asked
    given = F.logsigmoid(share.gate).unsqueeze(1) + logs[order[place]].to(rest.dtype)
    if share.exclusive:
        return torch.where(hit, given, within)
    return torch.logaddexp(within, given.masked_fill(~hit, -torch.inf))
