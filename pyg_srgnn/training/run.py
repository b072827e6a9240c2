"""A whole run: data, training, choice on validation, refit, one look at the test set, files."""

from __future__ import annotations

import gc
import json
import logging
import platform
import signal
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.checkpoint import Checkpoint, describe_training
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.data.files import written_aside
from pyg_srgnn.datasets import SessionDataset, open_dataset
from pyg_srgnn.evaluation import Rows, evaluate_rows, rows_at_once
from pyg_srgnn.nn import build_model
from pyg_srgnn.reports import plot_epochs, run_summary
from pyg_srgnn.training.callbacks import (
    EpochLog,
    MovableCheckpoint,
    ProgressBar,
    ResumableEarlyStopping,
    SafeCheckpointIO,
)
from pyg_srgnn.training.directory import claim, start_from
from pyg_srgnn.training.module import SessionModule
from pyg_srgnn.training.warm_start import warm_start

log = logging.getLogger(__name__)

# What Lightning warns of and no user of a run can or need do anything about.
_NOTHING_TO_DO = (
    "does not have many workers",
    "Checkpoint directory .* exists and is not empty",
    "have no `val_dataloader`",
    "could not find the monitored key",
    ".*sync_dist=True",  # the metrics are those of all processes when they are logged
    "is smaller than the logging interval",
    ".*LeafSpec",
)


def train(config: DictConfig, run_dir: str | Path) -> dict[str, Any]:
    """Train, choose, evaluate; a run that was interrupted goes on where it stopped.

    With several devices every process calls this: Lightning starts the program once more for each
    of them. All train on their share of every batch and evaluate their share of the rows; the
    first one writes the files and speaks.

    ``protocol=honest`` trains on the training sessions without their last part, chooses the epoch
    on that last part, with ``refit`` trains once more on all of them for as many epochs, and reads
    the test set once. ``protocol=literature`` trains on all of them and reports the best *test*
    epoch of every metric on its own; its numbers are too good, and labelled.

    Args:
        config: What ``conf/train.yaml`` composes.
        run_dir: Where the files go: ``metrics.json``, ``config.yaml``, ``epochs.csv``,
            ``checkpoints/``, ``epochs.png`` where matplotlib is there.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        ValueError: If the directory holds a run with another configuration.
    """
    run_dir = Path(run_dir)
    if done := claim(run_dir, config):
        log.info("%s holds this run already, finished:\n%s", run_dir, run_summary(done))
        return done
    if config.checkpoint is not None:
        start_from(Path(config.checkpoint), run_dir, config)
    for said in _NOTHING_TO_DO:
        warnings.filterwarnings("ignore", message=f".*{said}", module="lightning")
    # Cores and devices are Lightning's own report; one line an epoch is ours.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

    run = _Run(config, run_dir)
    try:
        result = run.result()
    except BaseException:
        run.end_others()
        raise
    if run.rank != 0:
        return result
    with written_aside(run_dir / "metrics.json") as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if result["epochs"]:
        plot_epochs(run_dir)
    log.info("%s\nFiles: %s", run_summary(result), run_dir)
    return result


class _Run:
    def __init__(self, config: DictConfig, run_dir: Path) -> None:
        self.config = config
        self.run_dir = run_dir
        # Lightning's choice, once it has made one.
        self.device = torch.device("cpu")
        self.num_replicas, self.rank = 1, 0
        self.launchers: list[Any] = []

    def result(self) -> dict[str, Any]:
        """Whatever the configuration asks for."""
        if self.config.model.name in BASELINES:
            return self.counted()
        return self.literature() if self.config.protocol == "literature" else self.honest()

    def counted(self) -> dict[str, Any]:
        """Count instead of training: the metrics on validation, and on the test set.

        As a model does, it sees the training sessions alone, or with ``refit`` those that validate,
        too, for the test set.
        """
        config = self.config
        valid = None
        if config.protocol == "honest" and config.refit != "only":
            valid = self._evaluate(self._count(self._open("train")), self._open("valid"), "valid")[0]
        every = config.refit or config.protocol == "literature"
        training = self._open("trainval" if every else "train")
        started = time.perf_counter()
        scorer = self._count(training)
        result = self._result([], training, time.perf_counter() - started, None, scorer)
        return result | {"valid": valid}

    def _count(self, training: SessionDataset) -> Any:
        settings = dict(OmegaConf.to_container(self.config.model, resolve=True))  # type: ignore[arg-type]
        return BASELINES[settings.pop("name")].fit(
            training.sessions, training.num_items, **settings
        )

    def honest(self) -> dict[str, Any]:
        """Choose the epoch on validation, refit if asked for, read the test set once."""
        if self.config.refit == "only":
            return self.refitted(self.config.trainer.max_epochs)
        training, valid = self._open("train"), self._open("valid")
        rows, seconds = self._fit(training, valid, "valid")
        best = _best(rows, f"valid/{self.config.monitor}")
        epoch = int(best["epoch"])
        if self.config.refit:
            gc.collect()  # the first model's trainer and moments, which refer to one another
            log.info("refitting on training and validation for %d epochs", epoch)
            result = self.refitted(epoch)
            result["train_seconds"] += seconds
            result["epochs"] = len(rows)
        else:
            result = self._trained(rows, training, seconds, "checkpoints/best.ckpt")
        return result | {"best_epoch": epoch, "valid": _part(best, "valid")}

    def refitted(self, epochs: int) -> dict[str, Any]:
        """Train on all training sessions for a number of epochs that is known."""
        training = self._open("trainval")
        rows, seconds = self._fit(training, None, "refit", epochs)
        result = self._trained(rows, training, seconds, "checkpoints/refit.ckpt")
        return result | {"best_epoch": epochs}

    def literature(self) -> dict[str, Any]:
        """Train on everything and report the best test epoch of each metric."""
        training = self._open("trainval")
        rows, seconds = self._fit(training, self._open("test"), "test")
        epochs = {
            name: _best(rows, f"test/{name}")
            for name in _part(_best(rows, f"test/{self.config.monitor}"), "test")
            if name != "tied"  # no metric to be the best at
        }
        result = self._result(rows, training, seconds, "checkpoints/best.ckpt", None)
        result["best_epoch"] = int(epochs[self.config.monitor]["epoch"])
        result["best_epochs"] = {name: int(row["epoch"]) for name, row in epochs.items()}
        result["test"] = {name: row[f"test/{name}"] for name, row in epochs.items()}
        result["test"]["tied"] = epochs[self.config.monitor]["test/tied"]
        return result

    def end_others(self) -> None:
        """End the processes that this one has started, which may wait for it for ever."""
        for launcher in self.launchers:
            launcher.kill(signal.SIGKILL)

    def _open(self, split: str) -> SessionDataset:
        return open_dataset(self.config.dataset, split)

    def _fit(
        self,
        training: SessionDataset,
        watched: SessionDataset | None,
        part: str,
        epochs: int | None = None,
    ) -> tuple[list[dict[str, float]], float]:
        """Train once; return a row an epoch and the seconds spent training."""
        config, checkpoints = self.config, self.run_dir / "checkpoints"
        lightning.seed_everything(config.seed, workers=True, verbose=False)
        settings = dict(OmegaConf.to_container(config.model, resolve=True))  # type: ignore[arg-type]
        settings["num_items"] = training.num_items
        dataset = dict(OmegaConf.to_container(config.dataset, resolve=True))  # type: ignore[arg-type]
        counts = torch.bincount(training.sessions.items, minlength=training.num_items)
        model = build_model(settings)
        model.set_training(training.sessions)
        resumed = checkpoints / ("refit.ckpt" if part == "refit" else "last.ckpt")
        module = SessionModule(
            model,
            **config.optimizer,
            horizon=config.trainer.max_epochs,
            ties=config.ties,
            part=part,
            extra=describe_training(
                settings, training.vocabulary, counts, dataset, training.split, config.protocol
            ),
        )
        epoch_log = EpochLog(self.run_dir / ("refit.csv" if part == "refit" else "epochs.csv"))
        last = MovableCheckpoint(
            dirpath=checkpoints,
            filename=resumed.stem,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        callbacks: list[Callback] = [epoch_log]
        if config.average:
            callbacks.append(EMAWeightAveraging(decay=config.average, use_buffers=False))
        if config.trainer.enable_progress_bar:
            callbacks.append(ProgressBar(epoch_log))
        if watched is not None:
            monitor = f"{part}/{config.monitor}"
            best = MovableCheckpoint(
                dirpath=checkpoints,
                filename="best",
                monitor=monitor,
                mode="max",
                enable_version_counter=False,
            )
            stopping = ResumableEarlyStopping(
                monitor, patience=config.patience, mode="max", strict=False
            )
            callbacks += [stopping, best]
        callbacks.append(last)  # behind the others, for it keeps their state
        options = dict(OmegaConf.to_container(config.trainer, resolve=True))  # type: ignore[arg-type]
        if epochs is not None:
            options["max_epochs"] = epochs
        if options["accelerator"] == "auto" and not torch.cuda.is_available():
            options["accelerator"] = "cpu"  # Apple's GPU has no float64, which the metrics need
        # The refit repeats epochs that the logger has seen; its own CSV is enough.
        logger = False if part == "refit" else _logger(config, self.run_dir)
        try:
            trainer = lightning.Trainer(
                **options,
                default_root_dir=self.run_dir,
                logger=logger,
                callbacks=callbacks,
                plugins=[SafeCheckpointIO()],
            )
        except (TypeError, MisconfigurationException) as error:
            raise ValueError(f"a value under trainer.* cannot be used: {error}") from error
        self._take_place(trainer)
        if self.rank == 0:
            training.vocabulary.save(self.run_dir / "vocabulary.json")
        if config.warm_start is not None and not resumed.is_file():
            warm_start(model, settings, training, config.warm_start, config.new_items)
        if resumed.is_file():
            log.info("going on from %s", resumed)
        loader = self._loader(training, training=True)
        try:
            trainer.fit(
                module,
                loader,
                None if watched is None else self._loader(watched),
                ckpt_path=resumed if resumed.is_file() else None,
            )
        except MisconfigurationException as error:
            raise ValueError(f"a value under trainer.* cannot be used: {error}") from error
        finally:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish()  # or the next job of a sweep would log into this one
        if trainer.interrupted:
            raise KeyboardInterrupt
        if self.rank == 0:
            epoch_log.write()  # also where there was nothing left to train
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

    def _loader(self, dataset: SessionDataset, training: bool = False) -> SessionLoader:
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

    def _evaluate(
        self, scorer: Any, dataset: SessionDataset, what: str
    ) -> tuple[dict[str, float], Rows]:
        return evaluate_rows(
            scorer.to(self.device),
            self._loader(dataset),
            dataset.num_items,
            self.config.ties,
            self.device,
            description=what if self.rank == 0 else None,
        )

    def _trained(
        self,
        rows: list[dict[str, float]],
        training: SessionDataset,
        seconds: float,
        checkpoint: str,
    ) -> dict[str, Any]:
        model = Checkpoint.load(self.run_dir / checkpoint).model
        return self._result(rows, training, seconds, checkpoint, model)

    def _result(
        self,
        rows: list[dict[str, float]],
        training: SessionDataset,
        seconds: float,
        checkpoint: str | None,
        scorer: Any,
    ) -> dict[str, Any]:
        """A run's result, with ``ranks.npz``; the baselines have seen the same sessions."""
        config = self.config
        baselines = {
            name: BASELINES[name].fit(training.sessions, training.num_items)
            for name in config.baselines
            if name != config.model.name
        }
        result: dict[str, Any] = {
            "dataset": config.dataset.name,
            "protocol": config.protocol,
            "refit": config.refit and config.protocol == "honest",
            "model": config.model.name,
            "seed": config.seed,
            "epochs": len(rows),
            "best_epoch": 0,
            "valid": None,
            "test": None,
            "baselines": {},
            "checkpoint": checkpoint,
            "samples": {"train": len(training)},
        }
        if config.test:
            test = self._open("test")
            if scorer is not None:
                result["test"], of_rows = self._evaluate(scorer, test, "test")
                if self.num_replicas == 1:  # each process has seen its share alone
                    of_rows.save(self.run_dir / "ranks.npz")
            result["baselines"] = {
                name: {"test": self._evaluate(baseline, test, name)[0]}
                for name, baseline in baselines.items()
            }
            if hasattr(test, "optimum"):
                result["optimum"] = {"test": test.optimum()}
            result["samples"]["test"] = len(test)
        samples = [row["samples_per_second"] * row["train_seconds"] for row in rows]
        spent = sum(row["train_seconds"] for row in rows)
        result["samples_per_second"] = sum(samples) / max(spent, 1e-9)
        result["train_seconds"] = seconds
        result["parameters"] = _size(scorer)
        packages = ("torch", "torch-geometric", "lightning", "hydra-core", "numpy", "pyg-srgnn")
        result["versions"] = {"python": platform.python_version()}
        result["versions"] |= {name: version(name) for name in packages}
        return result


def _size(scorer: Any) -> int:
    """Numbers that a model has learned, or that a baseline has counted."""
    if scorer is None:
        return 0
    if any(True for _ in scorer.parameters()):
        return sum(parameter.numel() for parameter in scorer.parameters())
    return sum(buffer.numel() for buffer in scorer.buffers())


def _best(rows: list[dict[str, float]], key: str) -> dict[str, float]:
    """The first of the epochs with the greatest value."""
    validated = [row for row in rows if key in row]
    if not validated:
        raise ValueError(
            f"no epoch ended with a validation, so none can be chosen by {key}; "
            f"give trainer.max_epochs, max_steps or max_time more room"
        )
    return max(validated, key=lambda row: row[key])


def _part(row: dict[str, float], part: str) -> dict[str, float]:
    prefix = f"{part}/"
    return {key.removeprefix(prefix): row[key] for key in row if key.startswith(prefix)}


def _logger(config: DictConfig, run_dir: Path) -> Logger | bool:
    """The logger asked for; the CSV of every epoch is written with or without one."""
    options = dict(config.logger)
    name = options.pop("name")
    if name == "csv":
        return False
    try:
        logger: Logger
        if name == "tensorboard":
            logger = TensorBoardLogger(run_dir, name="tensorboard", version="", **options)
        else:
            logger = WandbLogger(save_dir=run_dir, **options)
        logger.log_hyperparams(dict(OmegaConf.to_container(config, resolve=True)))  # type: ignore[arg-type]
        return logger
    except ModuleNotFoundError as error:
        raise ValueError(
            f"logger={name} needs a package that is not installed; "
            f"pip install 'pyg-srgnn[{name}]' brings it"
        ) from error
