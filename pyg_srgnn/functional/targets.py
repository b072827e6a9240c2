"""Groups of targets by their clicks in training: warm, rare and cold ones.

Nothing here imports torch, as in :mod:`pyg_srgnn.functional.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

RARE = 20
"""The most clicks in training that a rare target has."""

GROUPS: dict[str, Callable[[Any], Any]] = {
    "warm": lambda clicks: clicks > 0,
    "rare": lambda clicks: (clicks > 0) & (clicks <= RARE),
    "cold": lambda clicks: clicks == 0,
}
"""Which targets are in each group, bool [n], by their clicks in the training sessions in use [n], a
tensor or an array. Every target is warm or cold; rare ones are warm, too."""
