"""Training: the LightningModule, the callbacks we add, and a whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyg_srgnn.utils.imports import lazy

if TYPE_CHECKING:
    from pyg_srgnn.training.module import SessionModule
    from pyg_srgnn.training.run import train

__all__ = ["SessionModule", "train"]

# A run's directory and its lock need neither torch nor Lightning.
__getattr__, __dir__ = lazy(__name__, {"SessionModule": "module", "train": "run"})
