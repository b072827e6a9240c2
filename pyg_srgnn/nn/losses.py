"""Losses over the whole catalogue that never hold more than one [sessions, items] matrix.

Autograd would keep the scores, their logarithmic softmax and its gradient: three such matrices.
Both losses here have gradients in closed form, so the forward pass turns the scores, in place, into
their own gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_BLOCK = 2**18  # scores worked on at once: 1 MiB in float32


def softmax_cross_entropy(sessions: Tensor, items: Tensor, target: Tensor) -> Tensor:
    r"""Mean of :math:`-\log \hat y_{target}` with :math:`\hat y = softmax(s^\top v_i)`.

    Args:
        sessions: Session vectors [B, d].
        items: Item embeddings [V, d].
        target: Index of each session's next item [B].

    Returns:
        The mean over the sessions, a scalar.
    """
    return _apply(sessions, items, target, False)


def softmax_binary_cross_entropy(sessions: Tensor, items: Tensor, target: Tensor) -> Tensor:
    r"""Mean of :math:`-\sum_i y_i \log \hat y_i + (1 - y_i) \log(1 - \hat y_i)`.

    The form that the paper prints (Wu et al., AAAI 2019, equation 10), with the softmax of
    :func:`softmax_cross_entropy` for :math:`\hat y`. Arguments and result are the same.
    """
    return _apply(sessions, items, target, True)


def _apply(sessions: Tensor, items: Tensor, target: Tensor, binary: bool) -> Tensor:
    device = sessions.device.type
    dtype = sessions.dtype
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    if dtype == torch.float16:  # its range ends before a catalogue's small probabilities
        dtype = torch.float32
    with torch.autocast(device, enabled=False):
        loss: Tensor = _CatalogueLoss.apply(  # type: ignore[no-untyped-call]
            sessions, items, target, binary, dtype
        )
    return loss


class _CatalogueLoss(torch.autograd.Function):
    """The products are taken in ``dtype``, the softmax in float32 at the least."""

    @staticmethod
    def forward(
        ctx: Any, sessions: Tensor, items: Tensor, target: Tensor, binary: bool, dtype: torch.dtype
    ) -> Tensor:
        ctx.dtypes = sessions.dtype, items.dtype
        sessions, items = sessions.to(dtype), items.to(dtype)
        scores = sessions @ items.T
        turn_into_gradient_ = _binary_gradient_ if binary else _cross_entropy_gradient_
        # On a CPU, a few rows at a time stay in its cache, and so do their temporaries.
        rows = max(1, _BLOCK // items.size(0)) if scores.is_cpu else max(1, target.numel())
        losses = []
        for block, of_block in zip(
            torch.split(scores, rows), torch.split(target, rows), strict=True
        ):
            precise = block if dtype in (torch.float32, torch.float64) else block.float()
            losses.append(turn_into_gradient_(precise, of_block.unsqueeze(1)))
            torch.div(precise, target.numel(), out=block)
        ctx.save_for_backward(scores, sessions, items)
        return torch.cat(losses).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scores, sessions, items = ctx.saved_tensors
        of_sessions, of_items = ctx.dtypes
        grad = grad.to(scores.dtype)
        grad_sessions = (scores @ items * grad).to(of_sessions) if ctx.needs_input_grad[0] else None
        # The factor goes into the small matrix, not into the [items, d] product.
        grad_items = (
            (scores.T @ (sessions * grad)).to(of_items) if ctx.needs_input_grad[1] else None
        )
        return grad_sessions, grad_items, None, None, None


def _cross_entropy_gradient_(scores: Tensor, target: Tensor) -> Tensor:
    """Loss of each row; its scores turn into their gradient: softmax, less one at the target."""
    scores -= scores.amax(dim=1, keepdim=True)
    of_target = scores.gather(1, target)
    total = scores.exp_().sum(dim=1, keepdim=True)
    scores /= total
    scores.scatter_add_(1, target, -torch.ones_like(total))
    return (total.log() - of_target).squeeze(1)


def _binary_gradient_(scores: Tensor, target: Tensor) -> Tensor:
    r"""Loss of each row; its scores turn into their gradient.

    With :math:`p` the softmax and the odds :math:`o_i = p_i / (1 - p_i)`, the loss is
    :math:`-\log p_t + \sum_{i \ne t} \log(1 + o_i)`, and its derivative by score j
    :math:`p_j (1 - \sum_{i \ne t} o_i) + [j \ne t] o_j - [j = t]`. Only the best item's p can come
    near 1, where 1 - p would be lost to rounding; so that item is left out of the sums and its
    1 - p is taken as the sum of all the other p.
    """
    top = scores.argmax(dim=1, keepdim=True)
    missed = (top != target).to(scores.dtype)
    scores -= scores.gather(1, top)
    of_target = scores.gather(1, target)
    scores.exp_().scatter_(1, top, 0)
    rest = scores.sum(dim=1, keepdim=True).clamp_(min=torch.finfo(scores.dtype).tiny)
    total = 1 + rest
    odds = (scores / (total - scores)).scatter_(1, target, 0)
    sum_odds = odds.sum(dim=1, keepdim=True)
    log_total = torch.log1p(rest)
    loss = log_total - of_target + missed * (log_total - rest.log())
    loss += odds.log1p().sum(dim=1, keepdim=True)

    scores *= (1 - sum_odds - missed / rest) / total
    scores += odds
    scores.scatter_(1, top, (1 - sum_odds + missed) / total)
    scores.scatter_add_(1, target, -torch.ones_like(total))
    return loss.squeeze(1)
