"""A whole run: data, training, choice on validation, refit, one look at the test set, files."""

from __future__ import annotations

import gc
import json
import logging
import platform
import time
import warnings
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.datasets import SessionDataset, open_dataset
from pyg_srgnn.evaluation.loop import evaluate_rows
from pyg_srgnn.evaluation.rank_table import describe_rows, write_ranks
from pyg_srgnn.reports import plot_epochs, run_summary, write_slices
from pyg_srgnn.runs.epochs import merit
from pyg_srgnn.runs.find import link_latest
from pyg_srgnn.training.directory import claim, clear, keep_data, start_from
from pyg_srgnn.training.fit import Fitter
from pyg_srgnn.training.header import device_name, ingredients, place
from pyg_srgnn.training.lock import sole_process
from pyg_srgnn.utils.files import written_aside
from pyg_srgnn.utils.terminal import lines

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


def train(
    config: DictConfig,
    run_dir: str | Path,
    sweep_dir: str | Path | None = None,
    command: str | None = None,
) -> dict[str, Any]:
    """Train, choose, evaluate; a run that was interrupted is resumed, unless ``resume`` is false.

    With several devices every process calls this: Lightning starts the program once more for each
    of them. All train on their share of every batch and evaluate their share of the rows; the
    first one writes the files and speaks.

    ``protocol=honest`` trains on the training sessions without their last part, chooses the epoch
    on that last part, with ``refit`` trains once more on all of them for as many epochs, and reads
    the test set once. ``protocol=literature`` trains on all of them and reports the best *test*
    epoch of every metric on its own; its numbers are too good, and labelled.

    Args:
        config: What ``conf/train.yaml`` composes.
        run_dir: Where the files go: ``metrics.json``, ``config.yaml``, ``data.json``,
            ``epochs.csv``, ``checkpoints/``, ``ranks.parquet``, ``slices.csv``, and ``epochs.png``
            and ``slices.png`` where matplotlib is there. Another process that is at work there is
            waited for.
        sweep_dir: Where the runs are with which ``halving`` compares this one; a run that it stops
            does not read the test set. (default: None, with none)
        command: What resumes this run, to be shown. (default: None)

    Returns:
        What ``metrics.json`` holds.

    Raises:
        ValueError: If the directory holds a run with another configuration, or the data has changed
            since it began.
    """
    run_dir = Path(run_dir)
    # The processes of one run share its directory; what a killed sweep has left may still be there.
    with sole_process(run_dir, waits=True) if _is_first() else nullcontext():
        if _is_first() and not config.resume:
            clear(run_dir)
        return _train(config, run_dir, None if sweep_dir is None else Path(sweep_dir), command)


def check_data(sweep_dir: Path) -> None:
    """Compare the data of a sweep's runs with the data now, before any of them is shown or resumed.

    Raises:
        ValueError: If the data has changed since a run began; names what has changed.
    """
    now: dict[str, Any] = {}
    for path in sorted(sweep_dir.rglob("data.json")):
        settings = OmegaConf.load(path.with_name("config.yaml")).dataset
        key = OmegaConf.to_yaml(settings)
        if key not in now:
            now[key] = open_dataset(settings, "trainval").fingerprint
        keep_data(path.parent, now[key])


def _train(
    config: DictConfig, run_dir: Path, sweep_dir: Path | None, command: str | None
) -> dict[str, Any]:
    if done := claim(run_dir, config):
        if "data" in done:  # not in those of an earlier version
            keep_data(run_dir, open_dataset(config.dataset, "trainval").fingerprint)
        told = f"{run_dir} holds this run already, finished:"
        log.info(lines(told, run_summary(done, config.monitor)))
        return done
    if _is_first():
        log.info(lines(*[""] * (sweep_dir is not None), place(run_dir, command)))
    if config.checkpoint is not None:
        data = open_dataset(config.dataset, "trainval").fingerprint
        start_from(Path(config.checkpoint), run_dir, config, data)
    for said in _NOTHING_TO_DO:
        warnings.filterwarnings("ignore", message=f".*{said}", module="lightning")
    # Cores and devices are Lightning's own report; one line an epoch is ours.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

    run = _Run(config, run_dir, sweep_dir)
    try:
        result = run.result()
    except BaseException:
        run.fitter.end_others()
        raise
    if run.fitter.rank != 0:
        return result
    with written_aside(run_dir / "metrics.json") as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if result["checkpoint"]:
        link_latest(run_dir, result["dataset"])
    if result["epochs"]:
        plot_epochs(run_dir)
    write_slices(run_dir, result["model"])
    log.info(lines("", run_summary(result, config.monitor), f"Files: {run_dir}"))
    return result


class _Run:
    def __init__(self, config: DictConfig, run_dir: Path, sweep_dir: Path | None) -> None:
        self.config = config
        self.run_dir = run_dir
        self.fitter = Fitter(config, run_dir, sweep_dir)

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
        validates = config.protocol == "honest" and config.refit != "only"
        training = self._open("train" if validates else "trainval")
        log.info(ingredients(training, None, f"{config.model.name}, counted", self.fitter.device))
        scorer, seconds = self._count(training)
        valid = None
        if validates:
            valid = self._evaluate(scorer, self._open("valid"), "valid")[0]
            if config.refit:
                training = self._open("trainval")
                scorer, seconds = self._count(training)
        return self._result([], training, seconds, None, scorer) | {"valid": valid}

    def _count(self, training: SessionDataset) -> tuple[Any, float]:
        """What was counted, and the seconds that it took."""
        settings = dict(OmegaConf.to_container(self.config.model, resolve=True))  # type: ignore[arg-type]
        training.vocabulary.save(self.run_dir / "vocabulary.json")
        started = time.perf_counter()
        scorer = BASELINES[settings.pop("name")].fit(
            training.sessions, training.num_items, **settings
        )
        return scorer, time.perf_counter() - started

    def honest(self) -> dict[str, Any]:
        """Choose the epoch on validation, refit if asked for, read the test set once."""
        if self.config.refit == "only":
            return self.refitted(self.config.trainer.max_epochs)
        training, valid = self._open("train"), self._open("valid")
        rows, seconds = self.fitter.fit(training, valid, "valid")
        best = _best(rows, f"valid/{self.config.monitor}")
        epoch = int(best["epoch"])
        if self.config.refit and self.fitter.pruned is None:
            gc.collect()  # the first model's trainer and moments, which refer to one another
            log.info("refitting on training and validation for %d epochs", epoch)
            result = self.refitted(epoch)
            result["train_seconds"] += seconds
            result["epochs"] = len(rows)
        else:
            result = self._trained(rows, training, seconds, "checkpoints/best.ckpt")
        return result | {"best_epoch": epoch, "valid": _part(best, "valid")}

    def refitted(self, epochs: int | None) -> dict[str, Any]:
        """Train on all training sessions for a number of epochs, or as long as the default is."""
        training = self._open("trainval")
        rows, seconds = self.fitter.fit(training, None, "refit", epochs)
        result = self._trained(rows, training, seconds, "checkpoints/refit.ckpt")
        return result | {"best_epoch": epochs or len(rows)}

    def literature(self) -> dict[str, Any]:
        """Train on everything and report the best test epoch of each metric."""
        training = self._open("trainval")
        rows, seconds = self.fitter.fit(training, self._open("test"), "test")
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

    def _open(self, split: str) -> SessionDataset:
        """A split of the dataset, which must not change while the run is at work either."""
        dataset = open_dataset(self.config.dataset, split)
        if self.config.resume or _is_first():  # which may still have to clear the directory
            keep_data(self.run_dir, dataset.fingerprint)
        return dataset

    def _evaluate(
        self, scorer: Any, dataset: SessionDataset, what: str
    ) -> tuple[dict[str, float], Tensor]:
        return evaluate_rows(
            scorer.to(self.fitter.device),
            self.fitter.loader(dataset),
            dataset.num_items,
            self.config.ties,
            self.fitter.device,
            description=what if self.fitter.rank == 0 else None,
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
        """A run's result, with ``ranks.parquet``; the baselines have seen the same sessions."""
        config = self.config
        result: dict[str, Any] = {
            "dataset": config.dataset.name,
            "protocol": config.protocol,
            "refit": config.refit if config.protocol == "honest" else False,
            "model": config.model.name,
            "seed": config.seed,
            "epochs": len(rows),
            "best_epoch": 0,
            "pruned": self.fitter.pruned,
            "valid": None,
            "test": None,
            "baselines": {},
            "checkpoint": checkpoint,
            "data": training.fingerprint,
            "samples": {"train": len(training)},
        }
        if config.test and self.fitter.pruned is None:
            test = self._open("test")
            rank, of_baselines = None, {}
            if scorer is not None:
                result["test"], rank = self._evaluate(scorer, test, "test")
            for name in config.baselines:
                if name != config.model.name:
                    baseline = BASELINES[name].fit(training.sessions, training.num_items)
                    metrics, of_baselines[name] = self._evaluate(baseline, test, name)
                    result["baselines"][name] = {"test": metrics}
            if rank is not None and self.fitter.num_replicas == 1:  # else each has its share alone
                kinds = describe_rows(test, training.sessions)
                write_ranks(self.run_dir / "ranks.parquet", kinds, rank, of_baselines)
            if hasattr(test, "optimum"):
                result["optimum"] = {"test": test.optimum()}
            result["samples"]["test"] = len(test)
        samples = [row["samples_per_second"] * row["train_seconds"] for row in rows]
        spent = sum(row["train_seconds"] for row in rows)
        result["samples_per_second"] = sum(samples) / max(spent, 1e-9)
        result["train_seconds"] = seconds
        result["device"] = device_name(self.fitter.device)
        result["parameters"] = _size(scorer)
        packages = ("torch", "torch-geometric", "lightning", "hydra-core", "numpy", "pyg-srgnn")
        result["versions"] = {"python": platform.python_version()}
        result["versions"] |= {name: version(name) for name in packages}
        return result


def _is_first() -> bool:
    """Whether this is the first of the processes of a run, or the only one."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _size(scorer: Any) -> int:
    """Numbers that a model has learned, or that a baseline has counted."""
    if scorer is None:
        return 0
    if any(True for _ in scorer.parameters()):
        return sum(parameter.numel() for parameter in scorer.parameters())
    return sum(buffer.numel() for buffer in scorer.buffers())


def _best(rows: list[dict[str, float]], key: str) -> dict[str, float]:
    """The first of the best epochs."""
    validated = [row for row in rows if key in row]
    if not validated:
        raise ValueError(
            f"no epoch ended with a validation, so none can be chosen by {key}; "
            f"give trainer.max_epochs, max_steps or max_time more room"
        )
    return max(validated, key=lambda row: merit(row, key))


def _part(row: dict[str, float], part: str) -> dict[str, float]:
    prefix = f"{part}/"
    return {key.removeprefix(prefix): row[key] for key in row if key.startswith(prefix)}
