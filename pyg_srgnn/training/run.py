"""A whole run: data, training, choice on validation, refit, evaluation on the test set, files."""

from __future__ import annotations

import gc
import logging
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.datasets import SessionDataset, open_dataset
from pyg_srgnn.evaluation.loop import evaluate
from pyg_srgnn.nn.model_mixture import MIXTURE
from pyg_srgnn.runs.directory import clear
from pyg_srgnn.runs.epochs import merit
from pyg_srgnn.runs.find import link_latest
from pyg_srgnn.runs.result import Metrics, RunResult
from pyg_srgnn.training.conclude import conclude
from pyg_srgnn.training.fit import Fit, fit
from pyg_srgnn.training.header import directory, ingredients
from pyg_srgnn.training.job import ALONE, Job, Place, is_first_process
from pyg_srgnn.training.lock import sole_process
from pyg_srgnn.training.mixing import mix
from pyg_srgnn.training.resume import claim, resume_from
from pyg_srgnn.training.trainer import make_trainer
from pyg_srgnn.utils.terminal import lines

log = logging.getLogger(__name__)

# Warnings of Lightning that do not concern the user of a run.
_NOTHING_TO_DO = (
    "does not have many workers",
    "Checkpoint directory .* exists and is not empty",
    "have no `val_dataloader`",
    "could not find the monitored key",
    ".*sync_dist=True",  # the metrics are those of all processes when they are logged
    "is smaller than the logging interval",
    ".*LeafSpec",
)


def train(
    config: DictConfig,
    run_dir: str | Path,
    sweep_dir: str | Path | None = None,
    command: str | None = None,
) -> RunResult:
    """Train and evaluate a model, or resume an interrupted run, unless ``resume`` is false.

    ``protocol=honest`` holds out the last training sessions, chooses the epoch on them, with
    ``refit`` trains again on all training sessions for as many epochs, and evaluates once on the
    test set. ``protocol=literature`` trains on all training sessions and reports the best *test*
    epoch of every metric; its numbers are too good, and labelled.

    With several devices, Lightning starts this program once for each of them. All processes train
    on their share of every batch and evaluate their share of the samples; the first one writes the
    files and logs.

    Args:
        config: The configuration, as composed from ``conf/train.yaml``.
        run_dir: Where the files go: ``metrics.json``, ``config.yaml``, ``data.json``,
            ``epochs.csv``, ``checkpoints/`` and ``ranks.parquet``. Another process that works there
            is waited for.
        sweep_dir: Where the runs lie with which ``halving`` compares this one. A run that halving
            stops is not tested. (default: None)
        command: The command that resumes this run, for the log. (default: None)

    Returns:
        The result, as in ``metrics.json``.

    Raises:
        ValueError: If the directory holds a run with another configuration, or the data has changed
            since it began.
    """
    if not is_first_process():
        logging.getLogger("pyg_srgnn").setLevel(logging.WARNING)
    job = Job(config, Path(run_dir), None if sweep_dir is None else Path(sweep_dir))
    # The processes of one run share its directory; those of a killed sweep may still be there.
    with sole_process(job.run_dir, waits=True) if is_first_process() else nullcontext():
        if is_first_process() and not job.settings.resume:
            clear(job.run_dir)
        finished = claim(job.run_dir, config)
        if finished is not None:
            if finished.data is not None:  # missing in those of an earlier version
                job.open("trainval")
            log.info("%s holds this run already, finished", job.run_dir)
            return finished
        if is_first_process():
            log.info(lines(*[""] * (sweep_dir is not None), directory(job.run_dir, command)))
        if job.settings.checkpoint is not None:
            data = job.data(open_dataset(config.dataset, "trainval"))
            resume_from(Path(job.settings.checkpoint), job.run_dir, config, data)
        _quieten_lightning()
        with _processes_ended(job):
            result = _protocol(job)
        if is_first_process():
            result.write(job.run_dir)
            if result.checkpoint is not None:
                link_latest(job.run_dir, result.dataset)
    return result


def _protocol(job: Job) -> RunResult:
    """Train and evaluate as the configuration asks for."""
    settings = job.settings
    if job.config.model.name in BASELINES:
        return _counted(job)
    if job.config.model.name == MIXTURE:
        return _mixed(job)
    if settings.protocol == "literature":
        return _literature(job)
    return _refit_only(job) if settings.refit == "only" else _honest(job)


def _honest(job: Job) -> RunResult:
    """Choose the epoch on validation, refit if configured, test once."""
    training, valid = job.open("train"), job.open("valid")
    epochs = job.epochs(training)
    chosen = last = fit(job, training, valid, epochs)
    best = _best(chosen.rows, f"valid/{job.settings.monitor}")
    best_epoch = int(best["epoch"])
    if job.settings.refit and chosen.pruned is None:
        gc.collect()  # frees the first trainer and the moments, a cycle of references
        log.info("refitting on training and validation for %d epochs", best_epoch)
        training = job.open("trainval")
        last = fit(job, training, None, best_epoch, horizon=epochs)
    result = _tested(job, training, last, best_epoch)
    seconds = chosen.seconds if last is chosen else chosen.seconds + last.seconds
    return replace(
        result, epochs=len(chosen.rows), valid=_part(best, "valid"), train_seconds=seconds
    )


def _refit_only(job: Job) -> RunResult:
    """Train on all training sessions for a known number of epochs."""
    training = job.open("trainval")
    epochs = job.epochs(training)
    fitted = fit(job, training, None, epochs)
    trained = len(fitted.rows)
    if trained < epochs:
        limits = "trainer.max_steps or max_time"
        log.warning("the training was ended in epoch %d of %d by %s", trained, epochs, limits)
    return _tested(job, training, fitted, trained)


def _literature(job: Job) -> RunResult:
    """Train on all training sessions and report the best test epoch of each metric."""
    training, monitor = job.open("trainval"), job.settings.monitor
    fitted = fit(job, training, job.open("test"), job.epochs(training))
    names = _part(_best(fitted.rows, f"test/{monitor}"), "test")
    names.pop("tied")  # it has no best epoch
    best = {name: _best(fitted.rows, f"test/{name}") for name in names}
    tied = {"tied": best[monitor]["test/tied"]}
    return replace(
        conclude(job, training, None, fitted.place, **_of_training(fitted)),
        best_epoch=int(best[monitor]["epoch"]),
        best_epochs={name: int(row["epoch"]) for name, row in best.items()},
        test={name: row[f"test/{name}"] for name, row in best.items()} | tied,
    )


def _counted(job: Job) -> RunResult:
    """Fit a baseline instead of training; validate and test it.

    Like a trained model, it is tested without the validation sessions, unless with ``refit``.
    """
    settings, place = job.settings, ALONE
    validates = settings.protocol == "honest" and settings.refit != "only"
    training = job.open("train" if validates else "trainval")
    log.info(ingredients(training, None, f"{job.config.model.name}, counted", place))
    model, seconds = _count(job, training)
    valid = None
    if validates:
        part = job.open("valid")
        valid = evaluate(
            model, job.ranking_loader(part), part.num_items, settings.ties, description="valid"
        )
        if settings.refit:
            training = job.open("trainval")
            model, seconds = _count(job, training)
    return conclude(job, training, model, place, valid=valid, train_seconds=seconds)


def _mixed(job: Job) -> RunResult:
    """Mix trained models instead of training one; test the mixture."""
    trainer = make_trainer(job.group("trainer"), logger=False)
    place = Place(trainer.strategy.root_device)
    mixed = mix(job, place)
    return conclude(
        job,
        mixed.training,
        mixed.model,
        place,
        valid=mixed.valid,
        checkpoint=mixed.checkpoint,
        members=mixed.members,
        train_seconds=mixed.seconds,
    )


def _count(job: Job, training: SessionDataset) -> tuple[Any, float]:
    """Fit the baseline of the configuration; return it and the seconds."""
    settings = job.group("model")
    training.vocabulary.save(job.run_dir / "vocabulary.json")
    started = time.perf_counter()
    model = BASELINES[settings.pop("name")].fit(training.sessions, training.num_items, **settings)
    return model, time.perf_counter() - started


def _tested(job: Job, training: SessionDataset, fitted: Fit, best_epoch: int) -> RunResult:
    """Test the model of the checkpoint; return the result."""
    model = Checkpoint.load(job.run_dir / fitted.checkpoint).model
    facts = _of_training(fitted) | {"best_epoch": best_epoch}
    return conclude(job, training, model, fitted.place, **facts)


def _of_training(fitted: Fit) -> dict[str, Any]:
    """The fields of a result that describe the training."""
    return {
        "epochs": len(fitted.rows),
        "pruned": fitted.pruned,
        "distil": fitted.distil,
        "checkpoint": fitted.checkpoint,
        "samples_per_second": fitted.samples_per_second,
        "train_seconds": fitted.seconds,
    }


@contextmanager
def _processes_ended(job: Job) -> Iterator[None]:
    """After an error, kill the processes that this one started: they may wait for it forever."""
    try:
        yield
    except BaseException:
        for launcher in job.launchers:
            launcher.kill(signal.SIGKILL)
        raise


def _quieten_lightning() -> None:
    """Silence the warnings of Lightning that a user can do nothing about."""
    for message in _NOTHING_TO_DO:
        warnings.filterwarnings("ignore", message=f".*{message}", module="lightning")


def _best(rows: list[dict[str, float]], key: str) -> dict[str, float]:
    """The first of the best epochs."""
    validated = [row for row in rows if key in row]
    if not validated:
        raise ValueError(
            f"no epoch ended with a validation, so none can be chosen by {key}; "
            f"give trainer.max_epochs, max_steps or max_time more room"
        )
    return max(validated, key=lambda row: merit(row, key))


def _part(row: dict[str, float], part: str) -> Metrics:
    """The metrics of ``"valid"`` or ``"test"`` in an epoch's row."""
    prefix = f"{part}/"
    return {key.removeprefix(prefix): row[key] for key in row if key.startswith(prefix)}
