"""Losses over the whole catalogue that never hold more than one [sessions, items] matrix.

Autograd would keep the scores, their logarithmic softmax and its gradient: three such matrices.
Both losses here have gradients in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_BLOCK_BYTES = 2**21  # of the scores that a CPU works on at once, so that they stay in its cache
_LARGEST_TOTAL = 1e30  # of exponentials in float32, whose range ends at 3e38


Pairs = tuple[Tensor, Tensor]  # sessions [P] and items [P]


def softmax_cross_entropy(
    sessions: Tensor,
    items: Tensor,
    target: Tensor,
    products: torch.dtype | None = None,
    without: Pairs | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Mean of :math:`-\log \hat y_{target}` with :math:`\hat y = softmax(s^\top v_i)`.

    Args:
        sessions: Session vectors [B, d].
        items: Item embeddings [V, d].
        target: Index of each session's next item [B].
        products: Type of the products with the item table; the sums are in float32 at
            the least. (default: autocast's type, where that is on, or the sessions')
        without: Sessions and items [P], each pair once, that the softmax leaves out. A target
            that is left out has a loss without meaning. (default: none)
        reduction: ``"mean"``, or ``"none"`` for the loss of each session. (default: ``"mean"``)

    Returns:
        The mean over the sessions, a scalar; or the losses [B].
    """
    losses: Tensor = _apply(_CrossEntropy, sessions, items, target, products, without, None)
    return losses.mean() if reduction == "mean" else losses


def softmax_losses_and_logs(
    sessions: Tensor,
    items: Tensor,
    target: Tensor,
    asked: Tensor,
    products: torch.dtype | None = None,
    without: Pairs | None = None,
) -> tuple[Tensor, Tensor]:
    """The losses of :func:`softmax_cross_entropy`, and log-probabilities of a few other items.

    Both have the same sums over the catalogue, forward and backward.

    Args:
        sessions: Session vectors [B, d].
        items: Item embeddings [V, d].
        target: Index of each session's next item [B].
        asked: Items of each session, each once [B, K].
        products: Type of the products with the item table. The scores of the asked items are
            exact, in the sums as well: their probabilities never sum to more than 1. (default:
            autocast's type, where that is on, or the sessions')
        without: Sessions and items [P], each pair once, that the softmax leaves out. The loss of
            such a target and the logarithm of such an asked item are without meaning. (default:
            none)

    Returns:
        The losses [B], and the logarithms [B, K].
    """
    losses, logs = _apply(_CrossEntropy, sessions, items, target, products, without, asked)
    return losses, logs


def softmax_binary_cross_entropy(
    sessions: Tensor, items: Tensor, target: Tensor, products: torch.dtype | None = None
) -> Tensor:
    r"""Mean of :math:`-\sum_i y_i \log \hat y_i + (1 - y_i) \log(1 - \hat y_i)`.

    The form that the paper prints (Wu et al., AAAI 2019, equation 10), with the softmax of
    :func:`softmax_cross_entropy` for :math:`\hat y`. Arguments and result are the same.
    """
    loss: Tensor = _apply(_BinaryCrossEntropy, sessions, items, target, products)
    return loss


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor itself, or in float32 where autocast made it less precise than a softmax needs."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def bfloat16_is_fast(device: torch.device) -> bool:
    """Whether the hardware has products in bfloat16, and does not imitate them."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Before torch 2.13 a processor's abilities cannot be asked for.
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    if torch.backends.cpu.get_cpu_capability() == "AVX2":  # as ATEN_CPU_CAPABILITY may say
        return False
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _apply(
    function: type[torch.autograd.Function],
    sessions: Tensor,
    items: Tensor,
    target: Tensor,
    products: torch.dtype | None,
    *more: Any,
) -> Any:
    device = sessions.device.type
    dtype = products or sessions.dtype
    if products is None and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    if dtype == torch.float16:  # its range ends before a catalogue's small probabilities
        dtype = torch.float32
    with torch.autocast(device, enabled=False):
        return function.apply(sessions, items, target, dtype, *more)  # type: ignore[no-untyped-call]


class _CrossEntropy(torch.autograd.Function):
    r"""Exponentials are kept as they are; what divides or weighs them goes into a small matrix.

    With :math:`e_{ib} = \exp(s_b^\top v_i - t_b)` for any :math:`t`, and
    :math:`z_b = \sum_i e_{ib}`, the loss is :math:`\log z_b + t_b - s_b^\top v_{y_b}`. Its gradient
    by :math:`s_b` is :math:`\sum_i e_{ib} v_i / z_b - v_{y_b}`, and by :math:`v_i`
    :math:`\sum_b e_{ib} s_b / z_b`, less :math:`s_b` where :math:`i = y_b`. The exponentials are
    laid out as [V, B]: products with a tall matrix are faster than those with a wide one.

    The log-probability of an asked item has the gradients of its own score, and those of
    :math:`-\log z_b - t_b`, which go into the same weights of the exponentials.
    """

    @staticmethod
    def forward(
        ctx: Any,
        sessions: Tensor,
        items: Tensor,
        target: Tensor,
        dtype: torch.dtype,
        without: Pairs | None,
        asked: Tensor | None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        ctx.dtypes = sessions.dtype, items.dtype
        precise = torch.promote_types(dtype, torch.float32)
        of_target = items.gather(0, target.unsqueeze(1).expand_as(sessions)).to(precise)
        score_of_target = (sessions.to(precise) * of_target).sum(dim=1)
        low, table = sessions.to(dtype), items.to(dtype)
        tables = _blocks(table, low)
        # A block each: what an allocator has of that size it gives again, without new pages.
        exps = [rows.new_empty(len(rows), len(low)) for rows in tables]

        # Any t that keeps the exponentials in range will do. The target's score costs nothing, and
        # in half precision it is the better one: rounding grows with the distance from t.
        if table.is_cpu and not torch.compiler.is_compiling():
            shift = score_of_target.to(dtype)
            total = _exponentials_(exps, low, tables, shift, without)
            in_range = bool((total < _LARGEST_TOTAL).all())
        else:
            in_range = False  # to look would make the host wait, and end a compiled graph
        if not in_range:
            pairs = zip(exps, tables, strict=True)
            peaks = [torch.mm(rows, low.T, out=block).amax(dim=0) for block, rows in pairs]
            shift = torch.stack(peaks).amax(dim=0)
            total = _exponentials_(exps, low, tables, shift, without)
        shift = shift.to(precise)
        if asked is not None:
            rows = _rows(items, asked).to(precise)
            scores = (rows @ sessions.to(precise).unsqueeze(2)).squeeze(2)
            if table.dtype != precise:
                total = _replace_(exps, asked, (scores - shift.unsqueeze(1)).exp(), total)
        ctx.save_for_backward(total, sessions, table, of_target, target, asked, *exps)
        log_total = total.log() + shift
        losses: Tensor = log_total - score_of_target
        return losses if asked is None else (losses, scores - log_total.unsqueeze(1))

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, of_logs: Tensor | None = None
    ) -> tuple[Tensor | None, ...]:
        total, sessions, table, of_target, target, asked, *exps = ctx.saved_tensors
        of_sessions, of_items = ctx.dtypes
        grad = grad.to(total.dtype)
        of_log_total = grad if of_logs is None else grad - of_logs.sum(dim=1)
        weight = (of_log_total / total).unsqueeze(1)
        precise = sessions.to(total.dtype)
        weighted = (precise * weight).to(table.dtype)
        grad_items = torch.empty_like(table, dtype=total.dtype)
        grad_sessions = torch.zeros_like(precise)
        parts = (torch.split(tensor, len(exps[0])) for tensor in (table, grad_items))
        for block, rows, out in zip(exps, *parts, strict=True):
            if block.dtype == out.dtype:
                torch.mm(block, weighted, out=out)
            else:
                out.copy_(block @ weighted)
            grad_sessions += block.T @ rows
        grad_sessions = grad_sessions * weight - of_target * grad.unsqueeze(1)
        grad_items.index_add_(0, target, precise * -grad.unsqueeze(1))
        if of_logs is not None:
            rows = _rows(table, asked).to(total.dtype)
            grad_sessions += (of_logs.unsqueeze(1) @ rows).squeeze(1)
            outer = torch.mul(of_logs.unsqueeze(2), precise.unsqueeze(1), out=rows)
            grad_items.index_add_(0, asked.flatten(), outer.flatten(0, 1))
        return grad_sessions.to(of_sessions), grad_items.to(of_items), None, None, None, None


def _rows(table: Tensor, items: Tensor) -> Tensor:
    """Vectors [B, K, d] of items [B, K]."""
    return table.index_select(0, items.flatten()).view(*items.shape, -1)


def _exponentials_(
    exps: Sequence[Tensor],
    sessions: Tensor,
    tables: Sequence[Tensor],
    shift: Tensor,
    without: Pairs | None,
) -> Tensor:
    """Fill ``exps`` [V, B] with exp(score - shift), 0 for pairs left out; their sums [B].

    Both ``exps`` and the vectors of the items are in blocks of rows.
    """
    precise = torch.promote_types(sessions.dtype, torch.float32)
    total = sessions.new_zeros(len(sessions), dtype=precise)
    sizes = [len(block) for block in exps]
    left_out = [None] * len(sizes) if without is None else _split(without, sizes)
    for block, rows, pairs in zip(exps, tables, left_out, strict=True):
        torch.addmm(-shift, rows, sessions.T, out=block).exp_()
        if pairs is not None:
            block[pairs[1], pairs[0]] = 0
        total += block.sum(dim=0, dtype=total.dtype)
    # If no item is left, its loss is not used, but zero times infinity would be NaN.
    return total if without is None else total.clamp_(min=torch.finfo(total.dtype).tiny)


def _replace_(exps: Sequence[Tensor], asked: Tensor, exact: Tensor, total: Tensor) -> Tensor:
    """Put exact exponentials [B, K] of asked items [B, K] into the blocks; the sums with them [B].

    What the softmax leaves out, whose exponentials are 0, is left as it is.
    """
    session = torch.arange(len(asked), device=asked.device).repeat_interleave(asked.size(1))
    pairs = session, asked.flatten(), exact.flatten()
    for block, part in zip(exps, _split(pairs, [len(block) for block in exps]), strict=True):
        of, item, value = part
        rounded = block[item, of].to(value.dtype)
        value = torch.where(rounded > 0, value, rounded)
        block[item, of] = value.to(block.dtype)
        total = total.index_add(0, of, value - rounded)
    return total


def _split(pairs: Sequence[Tensor], sizes: Sequence[int]) -> Sequence[Sequence[Tensor]]:
    """Sessions, items and what else is known of each pair, by blocks that number their items."""
    if len(sizes) == 1:  # as on a GPU, whose host would wait for the numbers
        return [pairs]
    session, item, *more = pairs
    item, order = item.sort()
    ends_at = torch.tensor(sizes).cumsum(0)
    counts = torch.searchsorted(item, ends_at).diff(prepend=ends_at.new_zeros(1)).tolist()
    starts = (ends_at - ends_at.new_tensor(sizes)).tolist()
    items = [part - start for part, start in zip(torch.split(item, counts), starts, strict=True)]
    others = (torch.split(each[order], counts) for each in (session, *more))
    return [(of, part, *rest) for part, of, *rest in zip(items, *others, strict=True)]


def _blocks(items: Tensor, sessions: Tensor) -> tuple[Tensor, ...]:
    """The rows of [V, d] in runs whose scores [run, B] a CPU's cache holds; elsewhere in one."""
    size = max(1, len(items))
    if items.is_cpu and not torch.compiler.is_compiling():
        size = max(1, _BLOCK_BYTES // (max(1, len(sessions)) * sessions.element_size()))
    return torch.split(items, size)


class _BinaryCrossEntropy(torch.autograd.Function):
    """The forward pass turns the scores [B, V], in place, into their own gradient.

    The products are taken in ``dtype``, the softmax in float32 at the least.
    """

    @staticmethod
    def forward(
        ctx: Any, sessions: Tensor, items: Tensor, target: Tensor, dtype: torch.dtype
    ) -> Tensor:
        ctx.dtypes = sessions.dtype, items.dtype
        sessions, items = sessions.to(dtype), items.to(dtype)
        scores = sessions @ items.T
        rows = max(1, target.numel())
        if scores.is_cpu:
            rows = max(1, _BLOCK_BYTES // (2 * items.size(0) * scores.element_size()))
        losses = []
        for block, of_block in zip(
            torch.split(scores, rows), torch.split(target, rows), strict=True
        ):
            precise = at_least_float32(block)
            losses.append(_binary_gradient_(precise, of_block.unsqueeze(1)))
            torch.div(precise, target.numel(), out=block)
        ctx.save_for_backward(scores, sessions, items)
        return torch.cat(losses).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scores, sessions, items = ctx.saved_tensors
        of_sessions, of_items = ctx.dtypes
        grad = grad.to(scores.dtype)
        grad_sessions = (scores @ items * grad).to(of_sessions)
        # The factor goes into the small matrix, not into the [items, d] product.
        return grad_sessions, (scores.T @ (sessions * grad)).to(of_items), None, None


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
