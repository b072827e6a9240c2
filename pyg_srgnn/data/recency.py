"""Weights of samples by their age."""

from __future__ import annotations

import torch
from torch import Tensor


def recency(number: Tensor, num_samples: int, half_life: float) -> Tensor:
    """The weight of samples in time order: 1 of the last one, halved with every half-life before.

    Args:
        number: Numbers of the samples, from 0 [B].
        num_samples: Number of all samples.
        half_life: Share of all samples, back in time, over which the weight halves.

    Returns:
        float64 [B].
    """
    age = (num_samples - 1 - number).double() / num_samples
    return torch.exp2(-age / half_life)
