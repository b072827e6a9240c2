"""A softmax over sampled items, so that the cost of a step does not grow with the catalogue."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_srgnn.nn.losses import Pairs
from pyg_srgnn.utils.arguments import checking

SAMPLINGS = ("popularity", "uniform")


class NegativeSampler(nn.Module):
    """Draws items, with replacement, for all sessions of a batch to share.

    Args:
        num_items: Number of items V.
        num_negatives: Number of items drawn n.
        sampling: ``"popularity"``, in proportion to an item's clicks plus one, so that an item
            without clicks is drawn, too; or ``"uniform"``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, num_items: int, num_negatives: int, sampling: str) -> None:
        super().__init__()
        with checking(self) as check:
            check.whole("num_items", num_items, 1)
            check.whole("num_negatives", num_negatives, 1)
            check.one_of("sampling", sampling, SAMPLINGS)
        self.num_items = num_items
        self.num_negatives = num_negatives
        self.sampling = sampling
        self._total = 0  # the last of the cumulative counts, which a GPU need not be asked for
        # No buffer: a checkpoint is evaluated without it, and processes that train together would
        # send it to one another in every step.
        self.cumulative: Tensor | None = None

    def set_popularity(self, counts: Tensor) -> None:
        """Set how often each item was clicked; ``sampling="uniform"`` ignores it.

        Args:
            counts: Clicks of each item, int64 [V].

        Raises:
            ValueError: If the counts are not V whole numbers >= 0.
        """
        if counts.shape != (self.num_items,) or counts.is_floating_point():
            raise ValueError(
                f"NegativeSampler: 'counts' must be whole numbers of shape [{self.num_items}] "
                f"(got {counts.dtype} of shape {list(counts.shape)})"
            )
        if bool((counts < 0).any()):
            raise ValueError(
                f"NegativeSampler: 'counts' must be >= 0 (got {int(counts.min())} "
                f"for item {int(counts.argmin())})"
            )
        if self.sampling == "popularity":
            # Whole numbers: exact for any catalogue, where probabilities would be rounded.
            self.cumulative = (counts.long() + 1).cumsum(0)
            self._total = int(self.cumulative[-1])

    def forward(self, device: torch.device | str | None = None) -> tuple[Tensor, Tensor]:
        """Draw the negatives of a batch.

        Args:
            device: Where to draw. (default: the default device)

        Returns:
            The items [n], and the logarithms of their probabilities in one draw, float64 [n].

        Raises:
            RuntimeError: If it samples by popularity, and :meth:`set_popularity` was not called.
        """
        if self.sampling == "uniform":
            items = torch.randint(self.num_items, (self.num_negatives,), device=device)
            return items, self.log_probability(items)
        cumulative = self._cumulative(device)
        drawn = torch.randint(self._total, (self.num_negatives,), device=cumulative.device)
        items = torch.searchsorted(cumulative, drawn, right=True)
        return items, self.log_probability(items)

    def log_probability(self, items: Tensor) -> Tensor:
        """Logarithm of the probability of each item in one draw, float64, the shape of ``items``.

        Raises:
            RuntimeError: If it samples by popularity, and :meth:`set_popularity` was not called.
        """
        if self.sampling == "uniform":
            share = torch.full_like(items, 1, dtype=torch.float64) / self.num_items
        else:
            cumulative = self._cumulative(items.device)
            before = torch.where(items > 0, cumulative[items - 1], 0)
            share = (cumulative[items] - before).double() / self._total
        return share.log()

    def _cumulative(self, device: torch.device | str | None) -> Tensor:
        if self.cumulative is None:
            raise RuntimeError(
                "NegativeSampler: sampling='popularity' needs the clicks of each item; "
                "call set_popularity(counts) before the loss, or choose sampling='uniform'"
            )
        if device is not None:
            self.cumulative = self.cumulative.to(device)  # moves the first time only
        return self.cumulative

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.num_items}, num_negatives={self.num_negatives}, sampling={self.sampling}"


def sampled_softmax_cross_entropy(
    sessions: Tensor,
    positives: Tensor,
    negatives: Tensor,
    target: Tensor,
    items: Tensor,
    log_probability: Tensor,
    without: Pairs | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Mean of :math:`\log \hat Z - s_y`, the softmax's sum :math:`Z` estimated from a draw.

    With :math:`s_j` a session's score of item j, y its target, and n items j drawn with
    probability :math:`q_j` each,

    .. math::
        \hat Z = e^{s_y} + \sum_{j \ne y} e^{s_j - \log(n q_j)}

    is an unbiased estimate of :math:`Z = \sum_i e^{s_i}`: the target counts once and a
    drawn item equal to it is left out, every other item counts n q_j times in the mean. The
    correction by :math:`\log q` is that of `Bengio & Senécal, 2008
    <https://doi.org/10.1109/TNN.2007.912312>`_. The loss itself is, by the logarithm, too small
    in the mean, the less the more are drawn.

    Args:
        sessions: Session vectors [B, d].
        positives: Embeddings of the sessions' targets [B, d].
        negatives: Embeddings of the drawn items, shared by all sessions [n, d].
        target: Index of each session's next item [B].
        items: Indices of the drawn items [n].
        log_probability: Logarithm of each drawn item's probability :math:`q_j` in one draw [n].
        without: Sessions and items [P] that the softmax leaves out. (default: none)
        reduction: ``"mean"``, or ``"none"`` for the loss of each session. (default: ``"mean"``)

    Returns:
        The mean over the sessions, a scalar, or the losses [B]; in float32 at the least.
    """
    of_target = (sessions * positives).sum(dim=1, keepdim=True)
    of_drawn = sessions @ negatives.T
    dtype = torch.promote_types(torch.promote_types(of_target.dtype, of_drawn.dtype), torch.float32)
    log_expected = log_probability + math.log(len(items))
    logits = of_drawn.to(dtype) - log_expected.to(dtype)
    logits = logits.masked_fill(target.unsqueeze(1) == items, -torch.inf)
    if without is not None:
        rows = torch.arange(len(target), device=items.device).unsqueeze(1)
        width = 1 + torch.cat([items, without[1]]).max()
        left_out = torch.isin(rows * width + items, without[0] * width + without[1])
        logits = logits.masked_fill(left_out, -torch.inf)
    logits = torch.cat([of_target.to(dtype), logits], dim=1)
    return F.cross_entropy(logits, torch.zeros_like(target), reduction=reduction)
