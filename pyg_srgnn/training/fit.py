"""Trains a model once: Lightning's trainer with the callbacks, loaders and files of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, LambdaCallback
from lightning.pytorch.loggers import Logger
from torch import Tensor
from torch.utils.data import DistributedSampler

from pyg_srgnn.checkpoint import Checkpoint, describe_training, read_checkpoint
from pyg_srgnn.data.categories import TrainedCategories
from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.evaluation.metrics import saturated
from pyg_srgnn.functional.metrics import TIE_BREAKER
from pyg_srgnn.nn import Distillation, build_model
from pyg_srgnn.text.encode import TextVectors
from pyg_srgnn.training.callbacks import (
    BestCheckpoint,
    EpochLog,
    MovableCheckpoint,
    ResumableEarlyStopping,
    SafeCheckpointIO,
    TrainingProgress,
    make_callbacks,
)
from pyg_srgnn.training.halving import Halving
from pyg_srgnn.training.header import ingredients
from pyg_srgnn.training.job import Job, Place
from pyg_srgnn.training.loggers import open_logger
from pyg_srgnn.training.module import SessionModule
from pyg_srgnn.training.trained import open_trained
from pyg_srgnn.training.trainer import make_trainer, trainer_errors
from pyg_srgnn.training.warm_start import warm_start

log = logging.getLogger(__name__)

_REFIT = "refit"
_UNLIMITED = {"max_steps": -1, "max_time": None}


class Fit(NamedTuple):
    """A finished training."""

    rows: list[dict[str, float]]
    """One row per epoch, as in ``epochs.csv``."""
    checkpoint: str
    """Path of the trained model within the run's directory."""
    place: Place
    pruned: int | None
    """The epoch after which halving stopped the training."""
    distil: dict[str, Any] | None
    """The model that it was trained towards; see :attr:`pyg_srgnn.runs.result.RunResult.distil`."""

    @property
    def seconds(self) -> float:
        """Seconds of training; validation is not counted."""
        return sum(row["train_seconds"] for row in self.rows)

    @property
    def samples_per_second(self) -> float:
        """Speed over all epochs."""
        samples = sum(row["samples_per_second"] * row["train_seconds"] for row in self.rows)
        return samples / max(self.seconds, 1e-9)


def fit(
    job: Job,
    training: SessionDataset,
    watched: SessionDataset | None,
    epochs: int,
    horizon: int | None = None,
) -> Fit:
    """Train a model, or resume its training.

    Args:
        job: The run that it belongs to.
        training: The samples to train on.
        watched: The samples ranked after every epoch, which choose the best one; None for a refit,
            which keeps the last epoch.
        epochs: Epochs to train for, unless ``watched`` ends the training before.
        horizon: Of a refit after a choice: epochs that the schedule of the learning rate spans.
            Its epochs are trained whole, for ``trainer.max_steps`` and ``max_time`` were limits of
            the choice, whose epochs are shorter. (default: ``epochs``, within the limits)
    """
    settings, name = job.settings, _REFIT if watched is None else "last"
    text = job.text(training)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    categories = job.categories(training)
    known = None if categories is None else categories.trained(_clicks(training))
    model_settings = _model_settings(job, training, text, known)
    model = build_model(model_settings)
    if text is not None:
        model.set_text(text.vectors)
    if known is not None:
        model.set_categories(known.codes)
    model.set_training(training.sessions)
    teacher = _teacher(job, training)
    module = SessionModule(
        model,
        **job.group("optimizer"),
        distillation=_distillation(job, teacher, training),
        compiled=settings.compile,
        r_drop=settings.r_drop,
        contrast=settings.contrast,
        horizon=horizon or epochs,
        ties=settings.ties,
        part=_part(watched),
        extra=description(job, model_settings, training, text, known),
    )
    epoch_log = EpochLog(
        job.run_dir / ("refit.csv" if watched is None else "epochs.csv"),
        _part(watched),
        settings.monitor,
    )
    halving = _halving(job, watched, epoch_log)
    callbacks = _callbacks(job, training, watched, epoch_log, halving)
    last = job.run_dir / "checkpoints" / f"{name}.ckpt"
    resumed = last if settings.resume and last.is_file() else None
    with _logger(job, watched) as logger:
        trainer = make_trainer(
            job.group("trainer") | {"max_epochs": epochs} | (_UNLIMITED if horizon else {}),
            deterministic=settings.deterministic,
            default_root_dir=job.run_dir,
            logger=logger,
            callbacks=callbacks,
            plugins=[SafeCheckpointIO()],
        )
        place = _place(trainer, settings.batch_size)
        if trainer.strategy.launcher is not None:
            job.launchers.append(trainer.strategy.launcher)
        if settings.warm_start is not None and resumed is None:
            old, new_items = settings.warm_start, settings.new_items
            warm_start(model, model_settings, training, old, new_items, text, known)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        named = f"{model_settings['name']}, {parameters:,} parameters"
        log.info(ingredients(training, watched, named, place, text, categories))
        if watched is not None and (warning := saturated(training.num_items)):
            log.info("%s; monitor=%s says more of an epoch", warning, TIE_BREAKER)
        if resumed is not None:
            log.info("resuming from %s", resumed)
        loaders = (
            job.training_loader(training, place),
            None if watched is None else job.ranking_loader(watched, place),
        )
        sampler = loaders[0].sampler
        if resumed is not None and settings.num_workers and isinstance(sampler, DistributedSampler):
            # Lightning does so as well, but after workers have drawn the first samples.
            sampler.set_epoch(read_checkpoint(resumed)["epoch"] + 1)
        with trainer_errors(MisconfigurationException), _interrupts(trainer):
            trainer.fit(module, *loaders, ckpt_path=resumed)
    if place.rank == 0:
        epoch_log.write()  # also where there was nothing left to train
        training.vocabulary.save(job.run_dir / "vocabulary.json")
    return Fit(
        epoch_log.rows,
        f"checkpoints/{_REFIT if watched is None else 'best'}.ckpt",
        place,
        None if halving is None else halving.stopped,
        None
        if teacher is None
        else {
            "run": job.settings.distil,
            "model": teacher.settings["name"],
            "weight": job.settings.distil_weight,
        },
    )


def _clicks(training: SessionDataset) -> Tensor:
    """Clicks of each item in training [V]."""
    return torch.bincount(training.sessions.items, minlength=training.num_items)


def _model_settings(
    job: Job,
    training: SessionDataset,
    text: TextVectors | None,
    categories: TrainedCategories | None,
) -> dict[str, Any]:
    """The arguments of the model, with the sizes that the data and what is known of items have.

    Raises:
        ValueError: If the model is to know pauses, and the data keep none.
    """
    if job.config.model.get("gaps") and training.sessions.pauses is None:
        raise ValueError(
            f"model.gaps=true: dataset={job.config.dataset.name} keeps no pauses before clicks; "
            f"give dataset.pauses=time, where it has such a key and the log has times"
        )
    trained = int(training.sessions.items.max()) + 1
    known = text is not None or categories is not None
    cold = known or training.has_cold_items  # else rare ones count as trained
    return job.group("model") | {
        "num_items": training.num_items,
        "num_trained": trained if cold and trained < training.num_items else None,
        "text_channels": 0 if text is None else text.vectors.size(1),
        "num_events": len(training.events),
        "num_earlier": training.earlier_clicks,
        "category_sizes": [] if categories is None else categories.sizes,
    }


def _part(watched: SessionDataset | None) -> str:
    """The prefix of the metrics of every epoch."""
    return _REFIT if watched is None else watched.split


def description(
    job: Job,
    model_settings: dict[str, Any],
    training: SessionDataset,
    text: TextVectors | None = None,
    categories: TrainedCategories | None = None,
) -> dict[str, Any]:
    """The entries of a checkpoint with which it recommends from the file alone."""
    found = None if categories is None else job.categories(training)
    return describe_training(
        model_settings,
        training.vocabulary,
        _clicks(training),
        job.group("dataset"),
        training.split,
        job.settings.protocol,
        job.data(training),
        training.preparation,
        None if text is None else text.facts,
        None if found is None or categories is None else found.facts(categories),
    )


def _teacher(job: Job, training: SessionDataset) -> Checkpoint | None:
    """The model of another run to train towards; None where there is none."""
    if job.settings.distil is None:
        return None
    return open_trained(job.settings.distil, training, "distil")


def _distillation(
    job: Job, teacher: Checkpoint | None, training: SessionDataset
) -> Distillation | None:
    if teacher is None:
        return None
    log.info("training towards %s, weight %g", teacher.path, job.settings.distil_weight)
    settings, build = job.settings, None
    if not settings.drop_items and not settings.crop and training.transform is None:
        build = training.unfiltered().batch
    return Distillation(teacher.model, training.sessions, settings.distil_weight, build=build)


def _halving(job: Job, watched: SessionDataset | None, epoch_log: EpochLog) -> Halving | None:
    """The callback that stops a run of a sweep; None where runs are not compared."""
    if _part(watched) != "valid" or job.settings.halving is None or job.sweep_dir is None:
        return None
    return Halving(epoch_log, job.sweep_dir, job.config)


def _callbacks(
    job: Job,
    training: SessionDataset,
    watched: SessionDataset | None,
    epoch_log: EpochLog,
    halving: Halving | None,
) -> list[Callback]:
    """The callbacks in the order in which they act."""
    settings, checkpoints = job.settings, job.run_dir / "checkpoints"

    def begin(trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.is_global_zero:  # by this file it is known that the training began
            training.vocabulary.save(job.run_dir / "vocabulary.json")

    callbacks: list[Callback] = [LambdaCallback(on_train_start=begin), epoch_log]
    if settings.average:
        callbacks.append(EMAWeightAveraging(decay=settings.average, use_buffers=False))
    if job.config.trainer.enable_progress_bar:
        callbacks.append(TrainingProgress(epoch_log))
    if watched is not None:
        monitor = f"{watched.split}/{settings.monitor}"
        callbacks += [
            ResumableEarlyStopping(
                epoch_log, monitor, patience=settings.patience, mode="max", strict=False
            ),
            BestCheckpoint(
                epoch_log,
                dirpath=checkpoints,
                filename="best",
                monitor=monitor,
                mode="max",
                enable_version_counter=False,
            ),
        ]
    if halving is not None:
        callbacks.append(halving)
    callbacks += make_callbacks(settings.callbacks)
    last = MovableCheckpoint(
        dirpath=checkpoints,
        filename=_REFIT if watched is None else "last",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    return [*callbacks, last]  # behind the others, whose state it saves


def _logger(
    job: Job, watched: SessionDataset | None
) -> AbstractContextManager[Logger | bool | None]:
    """The configured logger; none for a refit, which repeats logged epochs."""
    return nullcontext(False) if watched is None else open_logger(job.config, job.run_dir)


@contextmanager
def _interrupts(trainer: lightning.Trainer) -> Iterator[None]:
    """Raise a KeyboardInterrupt where Lightning turns Ctrl-C into SystemExit."""
    try:
        yield
    except SystemExit as end:
        raise (KeyboardInterrupt if trainer.interrupted else end) from None


def _place(trainer: lightning.Trainer, batch_size: int) -> Place:
    """Where Lightning has this process train."""
    place = Place(trainer.strategy.root_device, trainer.global_rank, trainer.world_size)
    if batch_size < place.processes:
        raise ValueError(
            f"batch_size={batch_size}: it is split among trainer.devices x "
            f"trainer.num_nodes = {place.processes} processes, each of which needs a sample"
        )
    return place
