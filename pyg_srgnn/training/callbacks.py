"""The callbacks and plugins that Lightning does not have."""

from __future__ import annotations

import csv
import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.plugins.io import TorchCheckpointIO

from pyg_srgnn.checkpoint import read_checkpoint
from pyg_srgnn.data.files import written_aside

log = logging.getLogger(__name__)


class SafeCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are whole or not there, and that hold tensors and plain values only."""

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Load a checkpoint without executing anything.

        Raises:
            ValueError: If the file holds anything but tensors and plain values.
        """
        return read_checkpoint(path, map_location)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint beside its place, and rename it there once it is on the disk.

        Raises:
            OSError: Such as that the disk is full; what stood in its place stands there still.
        """
        # Torch tells what is wrong with a file only if it has not opened it itself.
        with written_aside(path) as aside, aside.open("wb") as file:
            torch.save(checkpoint, file)


class MovableCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that still knows its best file after the run directory has moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state with the paths of this directory."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath), Path(path).name)) if path else path

        moved = dict(state_dict, dirpath=self.dirpath)
        moved["best_model_path"] = here(moved["best_model_path"])
        moved["kth_best_model_path"] = here(moved["kth_best_model_path"])
        moved["best_k_models"] = {here(k): v for k, v in moved["best_k_models"].items()}
        super().load_state_dict(moved)


class ResumableEarlyStopping(EarlyStopping):
    """An EarlyStopping that does not train on when resumed after it had stopped."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once where the restored state says so."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class EpochLog(Callback):
    """A line and a CSV row for every epoch; both go on where a resumed run had stopped.

    Args:
        path: The CSV file, written anew, whole, after every epoch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self._validated: dict[str, float] = {}
        self._lr = 0.0
        self._started = self._ended = 0.0
        self._samples = 0

    @property
    def samples_per_second(self) -> float:
        """Speed of the running epoch; validation is not counted."""
        return self._samples / max(self._ended - self._started, 1e-9)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; an epoch without validation must not repeat the last one's metrics."""
        self._validated = {}
        # By the epoch's end the schedule has moved on to the next one's rate.
        self._lr = trainer.optimizers[0].param_groups[0]["lr"]
        self._started = self._ended = time.perf_counter()
        self._samples = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the samples, those of other processes too."""
        self._samples += batch.global_size if "global_size" in batch else batch.num_graphs
        self._ended = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the metrics of the part that was ranked."""
        metrics = trainer.callback_metrics.items()
        self._validated = {key: float(value) for key, value in metrics if "/" in key}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and print the row."""
        if "loss_epoch" not in trainer.callback_metrics:
            return  # cut short by max_steps or max_time: no whole epoch
        loss = float(trainer.callback_metrics["loss_epoch"])
        if loss != loss:
            raise FloatingPointError(
                f"the training loss of epoch {trainer.current_epoch + 1} is not a number; "
                f"try a smaller optimizer.lr (now {pl_module.lr})"
            )
        row = {
            "epoch": trainer.current_epoch + 1,
            "loss": loss,
            "lr": self._lr,
            "samples_per_second": self.samples_per_second,
            "train_seconds": self._ended - self._started,
        }
        row |= self._validated
        self.rows.append(row)
        if trainer.is_global_zero:
            self.write()
        shown = [
            f"{key} {100 * row[key]:.2f}" for key in row if key.endswith(("/hr@20", "/mrr@20"))
        ]
        log.info(
            "epoch %d  loss %.4f  %s  %s samples/s  %.0f s",
            row["epoch"],
            loss,
            "  ".join(shown),
            f"{row['samples_per_second']:,.0f}",
            row["train_seconds"],
        )

    def write(self) -> None:
        """Write the CSV file anew."""
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        with written_aside(self.path) as aside, aside.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)

    def state_dict(self) -> dict[str, Any]:
        """The rows so far, for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the rows of the checkpoint."""
        self.rows = list(state_dict["rows"])


class ProgressBar(TQDMProgressBar):
    """Lightning's bar with samples/s; silent where nobody looks at a terminal."""

    def __init__(self, epoch_log: EpochLog) -> None:
        super().__init__(refresh_rate=10 if sys.stderr.isatty() or sys.stdout.isatty() else 0)
        self.epoch_log = epoch_log

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Loss and speed."""
        metrics = super().get_metrics(trainer, pl_module)
        speed = f"{self.epoch_log.samples_per_second:,.0f}"
        return {"loss": metrics.get("loss_step", ""), "samples/s": speed}
