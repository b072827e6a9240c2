"""A run's directory: which run and which data it belongs to, and which run it resumes.

Only what reads checkpoints imports torch, which naming a sweep should not wait for.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.data.fingerprint import require_same_data
from pyg_srgnn.runs.configurations import flat
from pyg_srgnn.utils.files import written_aside

# Where a run is made, and what else cannot change a number.
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
# What may differ when a run is resumed: how long, too.
_MAY_DIFFER = CIRCUMSTANCES | {"checkpoint", "trainer.max_epochs"}
# What a run writes, in the order in which it is removed: what says that it is finished comes first,
# and the configuration, by which the directory is known as a run's, last.
_FILES = (
    *("metrics.json", "data.json", "vocabulary.json", "epochs.csv", "epochs.png", "refit.csv"),
    *("ranks.parquet", "slices.csv", "slices.png", "checkpoints", "tensorboard", "wandb"),
    *("mlflow_run_id", "config.yaml"),
)
_WAYS_OUT = (
    "Train on the data as it was, or choose another directory (hydra.run.dir=DIR, of a sweep "
    "hydra.sweep.dir=DIR), or start over in this one, replacing what is there (resume=false)"
)


@contextmanager
def error_kept(run_dir: Path) -> Iterator[None]:
    """Keep what stops a run in ``error.json``, until it is started again.

    The file holds the ``type`` and the ``message`` of the error, which is raised again.
    """
    path = run_dir / "error.json"
    path.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        told = {"type": type(error).__name__, "message": str(error)}
        # The disk may be full, and what stopped the run is the error to report.
        with suppress(OSError), written_aside(path) as aside:
            aside.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        raise


def clear(run_dir: Path) -> None:
    """Remove what an earlier run has written into a directory, and nothing else."""
    if not (run_dir / "config.yaml").is_file():
        return
    for name in _FILES:
        path = run_dir / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def keep_data(run_dir: Path, data: Mapping[str, Any]) -> None:
    """Write the fingerprint of a run's data into its directory, or compare it with the one there.

    Args:
        run_dir: The run's directory.
        data: What :attr:`pyg_srgnn.datasets.SessionDataset.fingerprint` says of the data now.

    Raises:
        ValueError: If the data has changed since the run began; names what has changed.
    """
    then = read_data(run_dir)
    require_same_data(then, data, str(run_dir), _WAYS_OUT)
    if then is None:
        with written_aside(run_dir / "data.json") as aside:
            aside.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def read_data(run_dir: Path) -> dict[str, Any] | None:
    """The fingerprint of a run's data; None of a run of an earlier version."""
    for name, key in (("metrics.json", "data"), ("data.json", None)):
        if (run_dir / name).is_file():
            held: dict[str, Any] = json.loads((run_dir / name).read_text(encoding="utf-8"))
            return held.get(key) if key else held
    return None


def claim(run_dir: Path, config: DictConfig) -> dict[str, Any] | None:
    """Write the configuration into the directory, or compare it with the one that is there.

    Returns:
        The metrics where the run is finished.

    Raises:
        ValueError: If the directory holds a run with another configuration.
    """
    path, metrics = run_dir / "config.yaml", run_dir / "metrics.json"
    if config.resume and path.is_file():  # another process may still have to clear it
        _compare(
            path, config, _MAY_DIFFER - ({"trainer.max_epochs"} if metrics.is_file() else set())
        )
        if metrics.is_file():
            done: dict[str, Any] = json.loads(metrics.read_text(encoding="utf-8"))
            return done
    # Whether to resume is the command's to say, and no part of what a run is.
    stored = OmegaConf.masked_copy(config, [str(key) for key in config if key != "resume"])
    with written_aside(path) as aside:
        aside.write_text(OmegaConf.to_yaml(stored, resolve=True), encoding="utf-8")
    return None


def kept(run_dir: Path) -> str:
    """What a run that was stopped has in its directory, in words."""
    from pyg_srgnn.checkpoint import read_checkpoint

    found = []
    for name, of in (("last", ""), ("refit", " of the refit")):
        path = run_dir / "checkpoints" / f"{name}.ckpt"
        if path.is_file():
            epochs = read_checkpoint(path)["epoch"] + 1
            found.append(f"{epochs} epoch{'' if epochs == 1 else 's'}{of}")
    return " and ".join(found) or "the prepared data"


def start_from(
    checkpoint: Path, run_dir: Path, config: DictConfig, data: Mapping[str, Any]
) -> None:
    """Copy the checkpoints of another run, to resume from its last epoch.

    Args:
        checkpoint: The other run's directory, or the checkpoint of an epoch in it.
        run_dir: The directory of the run that resumes it.
        config: Its configuration.
        data: The fingerprint of its data.

    Raises:
        ValueError: If there is no such run, or if its configuration or its data differs: the model
            would be trained with other settings, or on sessions that were to validate it.
    """
    from pyg_srgnn.checkpoint import read_checkpoint

    folder = checkpoint / "checkpoints" if checkpoint.is_dir() else checkpoint.parent
    last = folder / "last.ckpt" if checkpoint.is_dir() else checkpoint
    if not last.is_file():
        raise ValueError(f"checkpoint={checkpoint}: there is no file {last}")
    if last.name == "refit.ckpt":
        raise ValueError(
            f"checkpoint={checkpoint}: a refitted model has seen the validation sessions; "
            f"resume from last.ckpt"
        )
    if not (folder.parent / "config.yaml").is_file():
        raise ValueError(
            f"checkpoint={checkpoint}: there is no {folder.parent / 'config.yaml'}, so it "
            f"is unknown whether this run has the same settings"
        )
    stored = read_checkpoint(last)  # nor is a damaged file taken
    trained = stored["epoch"] + 1
    if trained > (config.trainer.max_epochs or math.inf):
        raise ValueError(
            f"checkpoint={checkpoint}: it has trained {trained} epochs already; "
            f"trainer.max_epochs={config.trainer.max_epochs} must not be less"
        )
    _compare(folder.parent / "config.yaml", config, _MAY_DIFFER)
    require_same_data(
        stored.get("data"),
        data,
        f"checkpoint={checkpoint}",
        "Resume on the data as it was, or start from its weights on the data as it is "
        "(warm_start instead of checkpoint)",
    )
    for source, name in ((folder / "best.ckpt", "best.ckpt"), (last, "last.ckpt")):
        target = run_dir / "checkpoints" / name
        if source.is_file() and not target.is_file():
            with written_aside(target) as aside:
                shutil.copyfile(source, aside)


def _compare(path: Path, config: DictConfig, may_differ: set[str]) -> None:
    found = dict(flat(OmegaConf.to_container(OmegaConf.load(path), resolve=True)))
    wanted = dict(flat(OmegaConf.to_container(config, resolve=True)))
    if "step" not in (found.get("optimizer.schedule"), wanted.get("optimizer.schedule")):
        may_differ = may_differ - {"trainer.max_epochs"}  # which such a schedule spans
    if found.get("warm_start") is wanted.get("warm_start") is None:
        may_differ = may_differ | {"new_items"}  # it says nothing then
    if found.get("halving") is wanted.get("halving") is None:
        may_differ = may_differ | {"halving_from"}  # nor does this
    differ = [
        f"{key}: there {found.get(key)}, here {wanted.get(key)}"
        for key in sorted((found.keys() | wanted.keys()) - may_differ)
        if found.get(key) != wanted.get(key)
    ]
    if differ:
        raise ValueError(
            f"{path.parent} holds a run with another configuration\n  "
            + "\n  ".join(differ)
            + "\nSet the keys alike, or choose another directory (hydra.run.dir=DIR, "
            "of a sweep hydra.sweep.dir=DIR)"
        )
