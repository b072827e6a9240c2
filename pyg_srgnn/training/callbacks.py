"""Callbacks and plugins for Lightning: epochs as CSV, resumable stopping, safe checkpoints."""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from pyg_srgnn.checkpoint import read_checkpoint
from pyg_srgnn.functional.metrics import MAIN
from pyg_srgnn.runs.epochs import merit
from pyg_srgnn.utils.files import written_aside
from pyg_srgnn.utils.progress import Bar

log = logging.getLogger(__name__)


def make_callbacks(listed: Sequence[Mapping[str, Any]]) -> list[Callback]:
    """Make the callbacks that a configuration lists.

    Args:
        listed: For each one its class, by its dotted name in ``_target_``, and its arguments.

    Raises:
        ValueError: If one cannot be made, or is no callback of Lightning's; says which, and why.
    """
    from hydra.utils import instantiate

    made = []
    for place, each in enumerate(listed):
        name = f"callbacks[{place}]._target_={each['_target_']}"
        try:
            callback = instantiate(each)
        except Exception as error:  # whatever its code raises
            cause: BaseException = error
            while cause.__cause__ is not None:  # of Hydra's errors
                cause = cause.__cause__
            raise ValueError(f"{name}: cannot be made ({type(cause).__name__}: {cause})") from error
        if not isinstance(callback, Callback):
            raise ValueError(
                f"{name}: expected a lightning.pytorch.callbacks.Callback (got a "
                f"{type(callback).__name__})"
            )
        made.append(callback)
    return made


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, and loads only tensors and plain values."""

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
            OSError: Such as that the disk is full; an earlier checkpoint is left as it was.
        """
        # Errors of a file that torch opens itself do not name the cause.
        with written_aside(path) as aside, aside.open("wb") as file:
            torch.save(checkpoint, file)


class MovableCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that finds its best file after the run directory has moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state with the paths of the present directory."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath), Path(path).name)) if path else path

        moved = dict(state_dict, dirpath=self.dirpath)
        moved["best_model_path"] = here(moved["best_model_path"])
        moved["kth_best_model_path"] = here(moved["kth_best_model_path"])
        moved["best_k_models"] = {here(k): v for k, v in moved["best_k_models"].items()}
        super().load_state_dict(moved)


class BestCheckpoint(MovableCheckpoint):
    """Keeps the best epoch according to :class:`EpochLog`, which breaks ties by MRR.

    Args:
        epoch_log: The log of the run's epochs, a callback before this one.
        **options: Those of ``ModelCheckpoint``.
    """

    def __init__(self, epoch_log: EpochLog, **options: Any) -> None:
        super().__init__(**options)
        self.epoch_log = epoch_log

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether to keep the epoch that was just validated."""
        return current is not None and self.epoch_log.improved


class ResumableEarlyStopping(EarlyStopping):
    """An EarlyStopping that stays stopped when a stopped run is resumed.

    Args:
        epoch_log: The log of the run's epochs, a callback before this one; it compares epochs.
        monitor: The monitored metric.
        **options: Those of ``EarlyStopping``.
    """

    def __init__(self, epoch_log: EpochLog, monitor: str, **options: Any) -> None:
        super().__init__(monitor, **options)
        self.epoch_log = epoch_log

    @property
    def monitor_op(self) -> Callable[..., Any]:
        """Compare the last epoch with those before, instead of two values."""
        return lambda current, best: self.epoch_log.improved

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once if the restored state had stopped."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class EpochLog(Callback):
    """Logs a line and writes a CSV row for every epoch, those before a resume included.

    Args:
        path: The CSV file, rewritten after every epoch.
        part: Prefix of the validation metrics.
        monitor: The metric that chooses the epoch; always part of the line.
    """

    improved = False
    """Whether the last epoch is better than all before; see :func:`merit`."""

    def __init__(self, path: Path, part: str, monitor: str) -> None:
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
        """Start the clock, and forget the metrics of the epoch before."""
        self._validated = {}
        # At the end of the epoch, the schedule has already set the next rate.
        self._lr = trainer.optimizers[0].param_groups[0]["lr"]
        self._started = self._ended = time.perf_counter()
        self._samples = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the samples of all processes."""
        self._samples += batch.global_size if "global_size" in batch else batch.num_graphs
        self._ended = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the validation metrics."""
        metrics = trainer.callback_metrics.items()
        self._validated = {key: float(value) for key, value in metrics if "/" in key}
        key = f"{self.part}/{self.monitor}"
        before = [merit(row, key) for row in self.rows if key in row]
        self.improved = not before or merit(self._validated, key) > max(before)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and log the row."""
        if "loss_epoch" not in trainer.callback_metrics:
            return  # cut short by max_steps or max_time
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
        """The monitored metric and another one, in percent."""
        names = dict.fromkeys((self.monitor, *reversed(MAIN)))
        shown = [name for name in names if f"{self.part}/{name}" in self._validated][:2]
        texts = [f"{name} {100 * self._validated[f'{self.part}/{name}']:.2f}" for name in shown]
        return [f"{self.part} {text}" if not place else text for place, text in enumerate(texts)]

    def write(self) -> None:
        """Write the CSV file."""
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        with written_aside(self.path) as aside, aside.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows from the checkpoint."""
        self.rows = list(state_dict["rows"])


class TrainingProgress(Callback):
    """Shows a progress bar for every epoch and for its validation.

    Args:
        epoch_log: The log of the run's epochs, which measures the speed.
    """

    def __init__(self, epoch_log: EpochLog) -> None:
        self.epoch_log = epoch_log
        self._bar = Bar(None)

    def _begin(self, trainer: Trainer, name: str, batches: float) -> None:
        self._end()
        total = batches if math.isfinite(batches) else None
        self._bar = Bar(name if trainer.is_global_zero else None, total, "batches")

    def _end(self, *_: Any) -> None:
        self._bar.close()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the bar of an epoch, counted from 1."""
        name = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self._begin(trainer, name, trainer.num_training_batches)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show loss and speed."""

        def note() -> str:
            loss = float(trainer.callback_metrics["loss_step"])
            return f"loss {loss:.4f}  {self.epoch_log.samples_per_second:,.0f} samples/s"

        self._bar.advance(note=note)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the bar of the validation."""
        self._begin(trainer, "validation", sum(trainer.num_val_batches))

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        """Count a batch."""
        self._bar.advance()

    on_validation_end = on_train_epoch_end = on_train_end = on_exception = cast(Any, _end)
