"""Opens the logger of a run (TensorBoard, MLflow or W&B) and closes it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.utils.arguments import checking
from pyg_srgnn.utils.extras import pip_install

LOGGERS = ("csv", "tensorboard", "wandb", "mlflow")
_SQLITE = "sqlite:///"


def check_logger(name: str, **options: Any) -> None:
    """Check the settings of a logger.

    Args:
        name: One of :data:`LOGGERS`.
        **options: The options of that logger.

    Raises:
        ArgumentError: If one is not allowed.
    """
    with checking("logger") as check:
        check.one_of("name", name, LOGGERS)
        for option, value in options.items():
            if option == "mode":
                check.one_of(option, value, ("offline", "online"))
            else:
                check.text(option, value)


@contextmanager
def open_logger(config: DictConfig, run_dir: Path) -> Iterator[Logger | bool]:
    """Open the logger called ``logger.name``, and close it at the end of the block.

    If the block raises, the record is marked as failed, and the next run of the process starts
    another one.

    Args:
        config: The configuration, as composed from ``conf/train.yaml``.
        run_dir: Where the files of TensorBoard and W&B go, and the id of the MLflow run.

    Yields:
        The logger; False for ``csv``, which every run writes.

    Raises:
        ValueError: If the package is not installed, or the logger cannot log to its destination.
    """
    logger = _make(config, run_dir)
    status = "failed"
    try:
        yield logger
        status = "success"
    finally:
        if isinstance(logger, Logger):
            logger.finalize(status)
        if isinstance(logger, WandbLogger):
            # Or the next job of a sweep would log into this one.
            logger.experiment.finish(exit_code=int(status == "failed"))


def _make(config: DictConfig, run_dir: Path) -> Logger | bool:
    options: dict[str, Any] = dict(config.logger)
    name = options.pop("name")
    if name == "csv":
        return False
    settings = dict(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
    try:
        if name == "mlflow":
            return _mlflow(settings, run_dir, **options)
        logger: Logger
        if name == "tensorboard":
            logger = TensorBoardLogger(run_dir, name="tensorboard", version="", **options)
        else:
            logger = WandbLogger(save_dir=run_dir, **options)
        logger.log_hyperparams(settings)
        return logger
    except ModuleNotFoundError as error:
        raise ValueError(
            f"logger={name} needs a package that is not installed ({error.name or error}); "
            f"{pip_install(name)}"
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("mlflow", "wandb", "sqlalchemy"):
            raise
        raise ValueError(
            f"logger={name} cannot log with {OmegaConf.to_container(config.logger)}: {error}"
        ) from error


def _mlflow(settings: dict[str, Any], run_dir: Path, experiment: str, tracking_uri: str) -> Logger:
    """Open an MLflow run, or the one of an interrupted run again."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # what is local stays here
    # It writes valid/hr@20 as valid/hr20.
    warnings.filterwarnings("ignore", message="MLFlow only allows")
    number = run_dir / "mlflow_run_id"
    lock: Any = nullcontext()
    if tracking_uri.startswith(_SQLITE):
        store = Path(tracking_uri.removeprefix(_SQLITE))
        store.parent.mkdir(parents=True, exist_ok=True)
        # The first jobs of a sweep would each make the same experiment.
        lock = FileLock(store.with_name(f".{store.name}.lock"))
    with lock:
        known = number.read_text(encoding="utf-8").strip() if number.is_file() else None
        logger = MLFlowLogger(experiment, str(run_dir), tracking_uri, run_id=known)
        client = logger.experiment
    if known:
        client.update_run(known, status="RUNNING")
    elif logger.run_id is not None:  # the first process, which alone logs
        number.write_text(f"{logger.run_id}\n", encoding="utf-8")
        logger.log_hyperparams(settings)
    return logger
