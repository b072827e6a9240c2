"""The LightningModule around a model that has a loss and scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning
import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_srgnn.evaluation.metrics import RankingMetrics
from pyg_srgnn.functional.metrics import K
from pyg_srgnn.nn import Distillation, SessionModel, contrast, r_drop
from pyg_srgnn.training.optimizer import adam
from pyg_srgnn.utils.arguments import checking

SCHEDULES = ("step", "cosine", "one_cycle")


def check_clipping(model: SessionModel, gradient_clip_val: float | None) -> None:
    """Refuse to clip sparse gradients.

    Raises:
        ArgumentError: If the trainer clips gradients, and the model's are sparse.
    """
    with checking("Trainer") as check:
        fits = gradient_clip_val is None or model.loss_name != "sampled"
        expected = "None with loss='sampled', whose sparse gradients torch cannot clip"
        check.that(fits, "gradient_clip_val", expected, gradient_clip_val)


class SessionModule(lightning.LightningModule):
    """Trains a model with Adam and a schedule, and ranks all items in validation.

    Args:
        model: A module with ``loss(batch)``, ``scores(batch)`` and ``num_items``.
        lr: Learning rate. (default: 4e-3)
        weight_decay: L2 penalty. (default: 1e-5)
        decoupled: See :func:`pyg_srgnn.training.optimizer.adam`. (default: False)
        schedule: ``"step"``; ``"cosine"``, falling to 0 over ``horizon``; or ``"one_cycle"``,
            rising for three tenths of it and then falling. (default: ``"cosine"``)
        horizon: Epochs that a schedule other than ``"step"`` spans. (default: 1)
        lr_step: With ``"step"``, epochs after which the rate is multiplied by ``lr_gamma``.
            (default: 2)
        lr_gamma: See ``lr_step``. (default: 0.1)
        ties: See :func:`pyg_srgnn.evaluation.metrics.ranks`. (default: ``"conservative"``)
        part: Prefix of the validation metrics. (default: ``"valid"``)
        distillation: Trains the model towards another one. (default: None)
        compiled: Whether ``torch.compile`` makes one graph of the loss; batches must have few
            sizes, as :class:`~pyg_srgnn.data.fixed.FixedBatches` have. (default: False)
        r_drop: Weight of :func:`pyg_srgnn.nn.r_drop` in the loss. (default: 0)
        contrast: Weight of :func:`pyg_srgnn.nn.contrast` in the loss. (default: 0)
        extra: Further entries of every checkpoint, with which it recommends from the file alone.
            (default: none)
    """

    def __init__(
        self,
        model: SessionModel,
        lr: float = 4e-3,
        weight_decay: float = 1e-5,
        decoupled: bool = False,
        schedule: str = "cosine",
        horizon: int = 1,
        lr_step: int = 2,
        lr_gamma: float = 0.1,
        ties: str = "conservative",
        part: str = "valid",
        distillation: Distillation | None = None,
        compiled: bool = False,
        r_drop: float = 0.0,
        contrast: float = 0.0,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        with checking(self) as check:
            check.one_of("schedule", schedule, SCHEDULES)
            check.whole("lr_step", lr_step, 1)
            check.number("lr_gamma", lr_gamma, above=0, most=1)
            adam(model, lr, weight_decay, fused=False, decoupled=decoupled)
        self.model = model
        self.lr = lr
        self.weight_decay = weight_decay
        self.decoupled = decoupled
        self.schedule = schedule
        self.horizon = horizon
        self.lr_step = lr_step
        self.lr_gamma = lr_gamma
        self.part = part
        self.r_drop = r_drop
        self.contrast = contrast
        self.distillation = distillation  # no module: its teacher is no part of checkpoints
        self.compiled = compiled
        self._loss: Callable[[Any], Tensor] = model.loss
        if distillation is not None:
            self._loss = partial(distillation.loss, model)
        self.extra = extra or {}
        self.metrics = RankingMetrics(model.num_items, ties=ties)
        self.seed = torch.initial_seed()

    def on_fit_start(self) -> None:
        """Move the teacher, which is no part of this module, to its device; compile the loss."""
        if self.distillation is not None:
            self.distillation.to(self.device)
        if self.compiled:
            # On a GPU, a graph of all launches is recorded for each size, and replayed at once.
            mode = "reduce-overhead" if self.device.type == "cuda" else None
            self._loss = torch.compile(self.model.loss, dynamic=False, mode=mode)

    def on_train_epoch_start(self) -> None:
        """Seed the epoch by the run's seed and its number, so that a resumed run draws the same.

        All processes draw the same, too: they share the negatives of a sampled loss.
        """
        torch.manual_seed((self.seed + self.current_epoch) % 2**32)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Copy from pinned memory without waiting, as Lightning would."""
        return batch.to(device, non_blocking=True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch, or of this process's share, weighted for the mean over processes."""
        if self.compiled and self.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        loss, size = self._loss(batch), batch.num_graphs
        if self.r_drop:
            loss = loss + self.r_drop * r_drop(self.model, batch)
        if self.contrast:
            loss = loss + self.contrast * contrast(self.model, batch)
        if "loss_weight" in batch:
            loss, size = loss * batch.loss_weight, batch.global_size
        self.log("loss", loss, prog_bar=True, on_epoch=True, batch_size=size, sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Rank the targets of a batch in the precision of the parameters."""
        with torch.autocast(self.device.type, enabled=False):
            self.metrics.update(self.model.scores(batch), batch.y)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over the samples of all processes."""
        for name, value in self.metrics.compute().items():
            self.log(f"{self.part}/{name}", value)
        self.metrics.reset()

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Scores and numbers of the 20 best items of every session [B, 20], the best first.

        ``Trainer.predict`` takes ``iter(loader)``: a loader itself it would make anew, as it cannot
        make a :class:`~pyg_srgnn.datasets.loader.SessionLoader`.
        """
        with torch.autocast(self.device.type, enabled=False):
            return self.model.topk(batch, min(K, self.model.num_items))

    def configure_optimizers(self) -> Any:
        """Adam in one kernel, with its schedule."""
        clipped = self.trainer.gradient_clip_val is not None
        check_clipping(self.model, self.trainer.gradient_clip_val)
        optimizer = adam(
            self.model,
            self.lr,
            self.weight_decay,
            fused=not clipped,  # Lightning cannot clip a fused step
            decoupled=self.decoupled,
        )
        return {"optimizer": optimizer, "lr_scheduler": self._schedule(optimizer)}

    def _schedule(self, optimizer: torch.optim.Optimizer) -> Any:
        if self.schedule == "step":
            return torch.optim.lr_scheduler.StepLR(optimizer, self.lr_step, self.lr_gamma)
        self.trainer.fit_loop.setup_data()  # makes the loader, whose batches count
        batches = self.trainer.num_training_batches / self.trainer.accumulate_grad_batches
        steps = math.ceil(batches) * self.horizon
        schedule: torch.optim.lr_scheduler.LRScheduler
        if self.schedule == "cosine":
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        else:
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, self.lr, steps, cycle_momentum=False
            )
        return {"scheduler": schedule, "interval": "step"}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the entries with which the checkpoint recommends from the file alone."""
        checkpoint.update(self.extra)
