"""How long a training is where nobody says: enough steps for a small log, enough epochs for all."""

from __future__ import annotations

import math

LEAST_EPOCHS = 8
LEAST_STEPS = 2_000
MOST_EPOCHS = 24


def epochs_for(batches: int) -> int:
    """Epochs to train for, unless validation ends the training before.

    Eight, as validation on the benchmarks supports; as many as 2,000 steps take where an epoch
    has few, for a schedule that ends before a model has moved leaves it where it started; and
    never more than 24.

    Args:
        batches: Batches of an epoch.

    Raises:
        ValueError: If there is no batch.
    """
    if batches < 1:
        raise ValueError(f"epochs_for: 'batches' must be >= 1 (got {batches})")
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(LEAST_STEPS / batches)))
