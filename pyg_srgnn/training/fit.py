"""Train once: Lightning's trainer with the callbacks, loaders and files of a run."""

from __future__ import annotations

import logging
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, LambdaCallback
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.checkpoint import describe_training
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.evaluation.metrics import saturated
from pyg_srgnn.functional.topk import rows_at_once
from pyg_srgnn.nn import build_model
from pyg_srgnn.training.callbacks import (
    BestCheckpoint,
    EpochLog,
    MovableCheckpoint,
    ResumableEarlyStopping,
    SafeCheckpointIO,
    TrainingProgress,
)
from pyg_srgnn.training.halving import Halving
from pyg_srgnn.training.header import ingredients
from pyg_srgnn.training.length import epochs_for
from pyg_srgnn.training.loggers import open_logger
from pyg_srgnn.training.module import SessionModule
from pyg_srgnn.training.warm_start import warm_start

log = logging.getLogger(__name__)


class Fitter:
    """Trains models as a configuration says, into one run directory.

    Args:
        config: What ``conf/train.yaml`` composes.
        run_dir: Where the files go.
        sweep_dir: Where the runs are with which ``halving`` compares. (default: None, with none)
    """

    def __init__(self, config: DictConfig, run_dir: Path, sweep_dir: Path | None = None) -> None:
        self.config = config
        self.run_dir = run_dir
        self.sweep_dir = sweep_dir
        self.pruned: int | None = None  # the epoch after which halving has stopped the training
        # Lightning's choice, once it has made one.
        self.device = torch.device("cpu")
        self.num_replicas, self.rank = 1, 0
        self.launchers: list[Any] = []
        # A refit goes through the schedule of the training that chose its epoch.
        self.epochs: int | None = config.trainer.max_epochs

    def end_others(self) -> None:
        """End the processes that this one has started, which may wait for it for ever."""
        for launcher in self.launchers:
            launcher.kill(signal.SIGKILL)

    def fit(
        self,
        training: SessionDataset,
        watched: SessionDataset | None,
        part: str,
        epochs: int | None = None,
    ) -> tuple[list[dict[str, float]], float]:
        """Train once; return a row an epoch and the seconds spent training."""
        config, checkpoints = self.config, self.run_dir / "checkpoints"
        self.epochs = self.epochs or epochs_for(len(self.loader(training, training=True)))
        lightning.seed_everything(config.seed, workers=True, verbose=False)
        settings = dict(OmegaConf.to_container(config.model, resolve=True))  # type: ignore[arg-type]
        settings["num_items"] = training.num_items
        dataset = dict(OmegaConf.to_container(config.dataset, resolve=True))  # type: ignore[arg-type]
        counts = torch.bincount(training.sessions.items, minlength=training.num_items)
        model = build_model(settings)
        model.set_training(training.sessions)
        resumed = checkpoints / ("refit.ckpt" if part == "refit" else "last.ckpt")
        resumes = config.resume and resumed.is_file()
        module = SessionModule(
            model,
            **config.optimizer,
            horizon=self.epochs,
            ties=config.ties,
            part=part,
            extra=describe_training(
                settings,
                training.vocabulary,
                counts,
                dataset,
                training.split,
                config.protocol,
                training.fingerprint,
                training.preparation,
            ),
        )
        name = "refit.csv" if part == "refit" else "epochs.csv"
        epoch_log = EpochLog(self.run_dir / name, part, config.monitor)
        last = MovableCheckpoint(
            dirpath=checkpoints,
            filename=resumed.stem,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        vocabulary = self.run_dir / "vocabulary.json"  # by which it is known that training began

        def begin(trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
            if trainer.is_global_zero:
                training.vocabulary.save(vocabulary)

        callbacks: list[Callback] = [LambdaCallback(on_train_start=begin), epoch_log]
        if config.average:
            callbacks.append(EMAWeightAveraging(decay=config.average, use_buffers=False))
        if config.trainer.enable_progress_bar:
            callbacks.append(TrainingProgress(epoch_log))
        if watched is not None:
            monitor = f"{part}/{config.monitor}"
            best = BestCheckpoint(
                epoch_log,
                dirpath=checkpoints,
                filename="best",
                monitor=monitor,
                mode="max",
                enable_version_counter=False,
            )
            stopping = ResumableEarlyStopping(
                epoch_log, monitor, patience=config.patience, mode="max", strict=False
            )
            callbacks += [stopping, best]
        halving = None
        if part == "valid" and config.halving is not None and self.sweep_dir is not None:
            halving = Halving(epoch_log, self.sweep_dir, config)
            callbacks.append(halving)
        callbacks.append(last)  # behind the others, for it keeps their state
        options = dict(OmegaConf.to_container(config.trainer, resolve=True))  # type: ignore[arg-type]
        options["max_epochs"] = epochs or self.epochs
        options["enable_progress_bar"] = False  # Lightning's; ours is among the callbacks
        if options["accelerator"] == "auto" and not torch.cuda.is_available():
            options["accelerator"] = "cpu"  # Apple's GPU has no float64, which the metrics need
        # The refit repeats epochs that the logger has seen; its own CSV is enough.
        with nullcontext(False) if part == "refit" else open_logger(config, self.run_dir) as logger:
            try:
                trainer = lightning.Trainer(
                    **options,
                    deterministic=config.deterministic,
                    default_root_dir=self.run_dir,
                    logger=logger,
                    callbacks=callbacks,
                    plugins=[SafeCheckpointIO()],
                )
            except (TypeError, MisconfigurationException) as error:
                raise ValueError(f"a value under trainer.* cannot be used: {error}") from error
            self._take_place(trainer)
            if config.warm_start is not None and not resumes:
                warm_start(model, settings, training, config.warm_start, config.new_items)
            parameters = sum(parameter.numel() for parameter in model.parameters())
            named = f"{config.model.name}, {parameters:,} parameters"
            log.info(ingredients(training, watched, named, self.device, self.num_replicas))
            if watched is not None and (said := saturated(training.num_items)):
                log.info("%s; monitor=mrr@20 says more of an epoch", said)
            if resumes:
                log.info("resuming from %s", resumed)
            try:
                trainer.fit(
                    module,
                    self.loader(training, training=True),
                    None if watched is None else self.loader(watched),
                    ckpt_path=resumed if resumes else None,
                )
            except MisconfigurationException as error:
                raise ValueError(f"a value under trainer.* cannot be used: {error}") from error
            except SystemExit as end:  # which Lightning makes of Ctrl-C
                raise (KeyboardInterrupt if trainer.interrupted else end) from None
        if halving is not None:
            self.pruned = halving.stopped
        if self.rank == 0:
            epoch_log.write()  # also where there was nothing left to train
            training.vocabulary.save(vocabulary)
        return epoch_log.rows, sum(row["train_seconds"] for row in epoch_log.rows)

    def _take_place(self, trainer: lightning.Trainer) -> None:
        """Take over on which device, and as which of how many processes, this one trains."""
        self.device = trainer.strategy.root_device
        self.num_replicas, self.rank = trainer.world_size, trainer.global_rank
        if trainer.strategy.launcher is not None:
            self.launchers.append(trainer.strategy.launcher)
        if self.rank != 0:  # what the first one says is enough
            logging.getLogger("pyg_srgnn").setLevel(logging.WARNING)
        if self.config.batch_size < self.num_replicas:
            raise ValueError(
                f"batch_size={self.config.batch_size}: it is split among trainer.devices x "
                f"trainer.num_nodes = {self.num_replicas} processes, each of which needs a sample"
            )

    def loader(self, dataset: SessionDataset, training: bool = False) -> SessionLoader:
        """Batches to train on, in the order that was asked for, or to rank, one after another."""
        config = self.config
        return SessionLoader(
            dataset,
            config.batch_size
            if training
            else rows_at_once(dataset.num_items, config.eval_batch_size),
            shuffle=training and config.order == "shuffle",
            half_life=config.half_life if training else None,
            seed=config.seed,
            num_replicas=self.num_replicas,
            rank=self.rank,
            num_workers=config.num_workers,
            pin_memory=self.device.type == "cuda",  # so that the copy need not be waited for
            persistent_workers=config.num_workers > 0,
        )
