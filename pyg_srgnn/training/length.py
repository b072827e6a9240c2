"""The default number of epochs, which depends on the number of batches."""

from __future__ import annotations

import math

LEAST_EPOCHS = 8
LEAST_STEPS = 2_000
MOST_EPOCHS = 24


def epochs_for(batches: int) -> int:
    """The default number of epochs, which early stopping may cut short.

    Eight, as validation on the benchmarks supports. With few batches in an epoch, as many as make
    2,000 steps, so that the schedule does not end before the model has learned; 24 at most.

    Args:
        batches: Number of batches in an epoch.

    Raises:
        ValueError: If there is no batch.
    """
    if batches < 1:
        raise ValueError(f"epochs_for: 'batches' must be >= 1 (got {batches})")
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(LEAST_STEPS / batches)))
