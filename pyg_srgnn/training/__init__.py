"""Training: the LightningModule, the callbacks we add, and a whole run."""

from pyg_srgnn.training.module import SessionModule
from pyg_srgnn.training.run import train

__all__ = ["SessionModule", "train"]
