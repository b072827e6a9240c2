"""The LightningModule around a model that has a loss and scores."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_srgnn.metrics import RankingMetrics
from pyg_srgnn.nn import SRGNN


class SessionModule(lightning.LightningModule):
    """Trains a model with Adam and a step schedule, and ranks all items in validation.

    Args:
        model: A module with ``loss(batch)``, ``scores(batch)`` and ``num_items``.
        lr: Learning rate. (default: 1e-3)
        weight_decay: Coupled L2 penalty. (default: 1e-5)
        lr_step: Epochs after which the learning rate is multiplied by ``lr_gamma``. (default: 3)
        lr_gamma: See ``lr_step``. (default: 0.1)
        ties: See :func:`pyg_srgnn.metrics.ranks`. (default: ``"conservative"``)
        part: What the validation loader holds; the prefix of its metrics. (default: ``"valid"``)
        extra: Further entries of every checkpoint: what is needed to recommend from the file
            alone. (default: none)
    """

    def __init__(
        self,
        model: SRGNN,
        lr: float = 1e-3,
        weight_decay: float = 1e-5,
        lr_step: int = 3,
        lr_gamma: float = 0.1,
        ties: str = "conservative",
        part: str = "valid",
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.lr = lr
        self.weight_decay = weight_decay
        self.lr_step = lr_step
        self.lr_gamma = lr_gamma
        self.part = part
        self.extra = extra or {}
        self.metrics = RankingMetrics(model.num_items, ties=ties)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        loss = self.model.loss(batch)
        self.log("loss", loss, prog_bar=True, on_epoch=True, batch_size=batch.num_graphs)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Rank the targets of a batch, in the parameters' own precision."""
        with torch.autocast(self.device.type, enabled=False):
            self.metrics.update(self.model.scores(batch), batch.y)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over the whole part."""
        for name, value in self.metrics.compute().items():
            self.log(f"{self.part}/{name}", value)
        self.metrics.reset()

    def configure_optimizers(self) -> Any:
        """Adam in one kernel, with the authors' step schedule."""
        optimizer = torch.optim.Adam(
            self.parameters(),
            lr=self.lr,
            weight_decay=self.weight_decay,
            fused=self.trainer.gradient_clip_val is None,  # Lightning cannot clip a fused step
        )
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, self.lr_step, self.lr_gamma)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to recommend from the file alone."""
        checkpoint.update(self.extra)
