"""The callbacks and plugins that Lightning does not have."""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from pyg_srgnn.checkpoint import read_checkpoint
from pyg_srgnn.runs.epochs import merit
from pyg_srgnn.utils.files import written_aside
from pyg_srgnn.utils.progress import Bar

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


class BestCheckpoint(MovableCheckpoint):
    """Keeps the best epoch, as :class:`EpochLog` sees it, rather than by one metric alone.

    Args:
        epoch_log: The run's epochs; its callback must stand before this one.
        **options: Those of ``ModelCheckpoint``.
    """

    def __init__(self, epoch_log: EpochLog, **options: Any) -> None:
        super().__init__(**options)
        self.epoch_log = epoch_log

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether to keep the epoch that was just validated."""
        return current is not None and self.epoch_log.improved


class ResumableEarlyStopping(EarlyStopping):
    """An EarlyStopping that does not train on when resumed after it had stopped.

    Args:
        epoch_log: The run's epochs, which say what is better; its callback must stand before this
            one.
        monitor: The monitored metric.
        **options: Those of ``EarlyStopping``.
    """

    def __init__(self, epoch_log: EpochLog, monitor: str, **options: Any) -> None:
        super().__init__(monitor, **options)
        self.epoch_log = epoch_log

    @property
    def monitor_op(self) -> Callable[..., Any]:
        """Compare the epoch that was just validated with those before, not two values."""
        return lambda current, best: self.epoch_log.improved

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once where the restored state says so."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class EpochLog(Callback):
    """A line and a CSV row for every epoch; both go on where a resumed run had stopped.

    Args:
        path: The CSV file, written anew, whole, after every epoch.
        part: What validates; the prefix of its metrics. (default: ``"valid"``)
        monitor: The metric that chooses the epoch, of which the line tells in any case.
            (default: ``"hr@20"``)
    """

    improved = False
    """Whether the epoch that was validated last is better than all before; see :func:`merit`."""

    def __init__(self, path: Path, part: str = "valid", monitor: str = "hr@20") -> None:
        self.path, self.part, self.monitor = path, part, monitor
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
        key = f"{self.part}/{self.monitor}"
        before = [merit(row, key) for row in self.rows if key in row]
        self.improved = not before or merit(self._validated, key) > max(before)

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
        parts = [f"epoch {row['epoch']}", f"loss {loss:.4f}", *self._shown()]
        parts += [f"{row['samples_per_second']:,.0f} samples/s", f"{row['train_seconds']:.0f} s"]
        log.info("%s", "  ".join(parts))

    def _shown(self) -> list[str]:
        """The monitored metric and another one, in percent: what a line has room for."""
        names = dict.fromkeys((self.monitor, "mrr@20", "hr@20"))
        shown = [name for name in names if f"{self.part}/{name}" in self._validated][:2]
        texts = [f"{name} {100 * self._validated[f'{self.part}/{name}']:.2f}" for name in shown]
        return [f"{self.part} {text}" if not place else text for place, text in enumerate(texts)]

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
        """Restore the rows of the checkpoint."""
        self.rows = list(state_dict["rows"])


class TrainingProgress(Callback):
    """A bar an epoch, and one of its validation.

    Args:
        epoch_log: Knows the speed.
    """

    def __init__(self, epoch_log: EpochLog) -> None:
        self.epoch_log = epoch_log
        self._bar = Bar(None)

    def _begin(self, trainer: Trainer, what: str, batches: float) -> None:
        self._end()
        total = batches if math.isfinite(batches) else None
        self._bar = Bar(what if trainer.is_global_zero else None, total, "batches")

    def _end(self, *_: Any) -> None:
        self._bar.close()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an epoch, of which the first one is 1."""
        what = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self._begin(trainer, what, trainer.num_training_batches)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show loss and speed."""

        def note() -> str:
            loss = float(trainer.callback_metrics["loss_step"])
            return f"loss {loss:.4f}  {self.epoch_log.samples_per_second:,.0f} samples/s"

        self._bar.advance(note=note)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to validate."""
        self._begin(trainer, "validation", sum(trainer.num_val_batches))

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        """Count a batch."""
        self._bar.advance()

    on_validation_end = on_train_epoch_end = on_train_end = on_exception = cast(Any, _end)
