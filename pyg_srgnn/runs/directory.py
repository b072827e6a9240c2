"""The directory of a run: its files but the result, read and written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pyg_srgnn.data.fingerprint import require_same_data
from pyg_srgnn.runs.result import METRICS_FILE, RunResult
from pyg_srgnn.utils.files import write_text

# Keys that say where a run is made, and others that cannot change a metric.
CIRCUMSTANCES = {
    "dataset.root",
    "dataset.mirror",
    "num_workers",
    "deterministic",
    "threads",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.enable_progress_bar",
    "trainer.log_every_n_steps",
    "resume",
}
# In the order in which they are removed: first the one that makes a run finished, next what could
# be resumed before what says on which data, last the configuration, which makes the directory a
# run's.
_FILES = (
    *(METRICS_FILE, "checkpoints", "data.json", "vocabulary.json", "epochs.csv", "epochs.png"),
    *("refit.csv", "ranks.parquet", "slices.csv", "slices.png", "tensorboard", "wandb"),
    *("mlflow_run_id", "aged.json", "config.yaml"),
)
_WAYS_OUT = (
    "Train on the data as it was, or choose another directory (hydra.run.dir=DIR, of a sweep "
    "hydra.sweep.dir=DIR), or start over in this one, replacing what is there (resume=false)"
)


def clear(run_dir: Path) -> None:
    """Remove the files of an earlier run from a directory, and nothing else."""
    if not (run_dir / "config.yaml").is_file():
        return
    for name in _FILES:
        path = run_dir / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def found_below(directory: Path, name: str) -> Iterator[Path]:
    """The files of one name at any depth, but for those that W&B keeps in a run's directory."""
    for path in directory.rglob(name):
        if "wandb" not in path.relative_to(directory).parts:
            yield path


@contextmanager
def error_kept(run_dir: Path) -> Iterator[None]:
    """Write an error of the block to ``error.json``, which is removed at the start of the block.

    The file holds the ``type`` and the ``message`` of the error, which is raised again.
    """
    path = run_dir / "error.json"
    path.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        described = {"type": type(error).__name__, "message": str(error)}
        # The disk may be full, and what stopped the run is the error to report.
        with suppress(OSError):
            write_text(path, json.dumps(described, indent=2) + "\n")
        raise


def write_config(run_dir: Path, config: Any) -> None:
    """Write the configuration of a run, resolved, but for ``resume``, which is the command's."""
    stored = OmegaConf.masked_copy(config, [str(key) for key in config if key != "resume"])
    write_text(run_dir / "config.yaml", OmegaConf.to_yaml(stored, resolve=True))


def read_config(run_dir: Path) -> dict[str, Any]:
    """The configuration of a run, resolved and flat: ``{"model.name": "srgnn", …}``.

    Raises:
        FileNotFoundError: If there is none.
    """
    return flat(OmegaConf.load(run_dir / "config.yaml"))


def flat(config: Any) -> dict[str, Any]:
    """The values of a configuration with their keys, ``{"model.name": "srgnn", …}``."""
    plain = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    return dict(_flat(plain, ""))


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        # An empty mapping or list says as much as null, which a key has in runs older than it.
        yield prefix, None if value in ({}, []) else value


def keep_data(run_dir: Path, data: Mapping[str, Any]) -> None:
    """Write the fingerprint of a run's data into its directory, or compare it with the one there.

    Args:
        run_dir: The run's directory.
        data: The fingerprint now (:attr:`pyg_srgnn.datasets.SessionDataset.fingerprint`).

    Raises:
        ValueError: If the data has changed since the run began; names what has changed.
    """
    then = read_data(run_dir)
    require_same_data(then, data, str(run_dir), _WAYS_OUT)
    if then is None:
        write_text(run_dir / "data.json", json.dumps(data, indent=2) + "\n")


def read_data(run_dir: Path) -> dict[str, Any] | None:
    """The fingerprint of a run's data; None of a run of an earlier version."""
    if (run_dir / METRICS_FILE).is_file():
        return RunResult.read(run_dir).data
    if (run_dir / "data.json").is_file():
        data: dict[str, Any] = json.loads((run_dir / "data.json").read_text(encoding="utf-8"))
        return data
    return None
