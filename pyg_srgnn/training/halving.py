"""Asynchronous successive halving: a run of a sweep that others leave behind is stopped.

Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht, Talwalkar: A System for Massively Parallel
Hyperparameter Tuning, MLSys 2020. It reads nothing but the files of the runs, so it works with
every sweeper and launcher, also when a sweep is killed and started again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.runs.directory import read_data
from pyg_srgnn.runs.epochs import read_epochs
from pyg_srgnn.training.callbacks import EpochLog

log = logging.getLogger(__name__)


class Halving(Callback):
    """Stops a run that is not among the best ``1 / eta`` of those that have come as far.

    After the epochs ``first``, ``first * eta``, ``first * eta ** 2``, … the run's best value so far
    is compared with those of all comparable runs of the sweep that have reached this epoch; of n
    runs the best ``max(1, n // eta)`` are kept, ties included. The decision is in the checkpoint.

    Args:
        epoch_log: The run's own epochs; its callback must stand before this one.
        sweep_dir: Where the other runs are, at any depth.
        config: The run's configuration. Runs are comparable where dataset, its data, protocol,
            ``monitor`` and ``trainer.max_epochs`` are the same, for a schedule of the learning
            rate spans them.
    """

    def __init__(self, epoch_log: EpochLog, sweep_dir: Path, config: DictConfig) -> None:
        self.epoch_log = epoch_log
        self.sweep_dir = sweep_dir
        self.eta, self.first = int(config.halving), int(config.halving_from)
        self.key = f"valid/{config.monitor}"
        self.like = _compared(config)
        self.stopped: int | None = None
        self._comparable: dict[Path, bool] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stay stopped where the restored state says so."""
        if self.stopped is not None:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide, after the epochs at which runs are compared."""
        epoch = trainer.current_epoch + 1
        last = epoch >= (trainer.max_epochs or 0)
        if last or epoch < (trainer.min_epochs or 0) or not is_rung(epoch, self.first, self.eta):
            return
        mine = best_until(self.epoch_log.rows, self.key, epoch)
        if mine is None:
            return
        others = self._others(epoch)
        kept = is_among_best(mine, others, self.eta)
        if trainer.strategy.broadcast(kept):  # the processes of a run must agree
            return
        self.stopped = epoch
        trainer.should_stop = True
        log.info(
            "stopped after epoch %d: %s %.2f is not among the best 1/%d of %d runs",
            epoch,
            self.key,
            100 * mine,
            self.eta,
            len(others) + 1,
        )

    def _others(self, epoch: int) -> list[float]:
        """The values of the other runs that have reached the epoch."""
        values = []
        for path in sorted(self.sweep_dir.rglob("epochs.csv")):
            if path.resolve() == self.epoch_log.path.resolve():
                continue
            value = best_until(read_epochs(path), self.key, epoch)
            if value is not None and self._is_comparable(path.parent):
                values.append(value)
        return values

    def _is_comparable(self, run_dir: Path) -> bool:
        if run_dir not in self._comparable:
            config, data = OmegaConf.load(run_dir / "config.yaml"), read_data(run_dir)
            mine = read_data(self.epoch_log.path.parent)
            alike = data == mine or None in (data, mine)  # or from an earlier version
            self._comparable[run_dir] = alike and _compared(config) == self.like
        return self._comparable[run_dir]

    def state_dict(self) -> dict[str, Any]:
        """The epoch after which the run was stopped, if it was."""
        return {"stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the decision."""
        self.stopped = state_dict["stopped"]


def is_rung(epoch: int, first: int, eta: int) -> bool:
    """Whether runs are compared after this epoch: one of first, first * eta, first * eta ** 2."""
    while first < epoch:
        first *= eta
    return first == epoch


def best_until(rows: Iterable[Mapping[str, float]], key: str, epoch: int) -> float | None:
    """The greatest value up to an epoch; None of a run that has not come so far."""
    rows = list(rows)
    if not rows or rows[-1]["epoch"] < epoch:
        return None
    return max((row[key] for row in rows if key in row and row["epoch"] <= epoch), default=None)


def is_among_best(mine: float, others: list[float], eta: int) -> bool:
    """Whether a value is among the best ``max(1, n // eta)`` of all n, ties included."""
    ahead = sum(value > mine for value in others)
    return ahead < max(1, (len(others) + 1) // eta)


def _compared(config: Any) -> dict[str, Any]:
    """The part of a configuration in which runs must agree to be compared."""
    keys = ["protocol", "monitor", "trainer.max_epochs"]
    if config.trainer.max_epochs is None:  # then the batches of an epoch make it
        keys.append("batch_size")
    dataset = OmegaConf.to_container(config.dataset, resolve=True)
    assert isinstance(dataset, dict)
    like = {str(k): v for k, v in dataset.items() if k not in ("root", "mirror")}
    return like | {key: OmegaConf.select(config, key) for key in keys}
