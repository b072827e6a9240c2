"""Checks whether a run may be resumed: same configuration, same data.

Torch is imported only to read checkpoints, so that naming a sweep does not wait for it.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.data.fingerprint import require_same_data
from pyg_srgnn.runs.directory import CIRCUMSTANCES, flat, keep_data, read_config, write_config
from pyg_srgnn.runs.result import METRICS_FILE, RunResult
from pyg_srgnn.utils.files import written_aside

# Keys that may differ when a run is resumed.
_MAY_DIFFER = CIRCUMSTANCES | {"callbacks", "checkpoint", "trainer.max_epochs"}


def claim(run_dir: Path, config: DictConfig) -> RunResult | None:
    """Write the configuration into the directory, or compare it with the one there.

    Returns:
        The result if the run is finished, else None.

    Raises:
        ValueError: If the directory holds a run with another configuration.
    """
    finished = (run_dir / METRICS_FILE).is_file()
    # Without resume=true, another process may still have to clear the directory.
    if config.resume and (run_dir / "config.yaml").is_file():
        _compare(run_dir, config, _MAY_DIFFER - ({"trainer.max_epochs"} if finished else set()))
        if finished:
            return RunResult.read(run_dir)
    write_config(run_dir, config)
    return None


def check_data(sweep_dir: Path) -> None:
    """Compare the data of a sweep's runs with the data now, before any of them is resumed.

    Raises:
        ValueError: If the data has changed since a run began; names what has changed.
    """
    from pyg_srgnn.datasets import open_dataset

    now: dict[str, Any] = {}
    for path in sorted(sweep_dir.rglob("data.json")):
        settings = OmegaConf.load(path.with_name("config.yaml")).dataset
        key = OmegaConf.to_yaml(settings)
        if key not in now:
            now[key] = open_dataset(settings, "trainval").fingerprint
        keep_data(path.parent, now[key])


def kept(run_dir: Path) -> str:
    """Describe what a stopped run can be resumed from, such as ``"3 epochs"``."""
    from pyg_srgnn.checkpoint import read_checkpoint

    found = []
    for name, of in (("last", ""), ("refit", " of the refit")):
        path = run_dir / "checkpoints" / f"{name}.ckpt"
        if path.is_file():
            epochs = read_checkpoint(path)["epoch"] + 1
            found.append(f"{epochs} epoch{'' if epochs == 1 else 's'}{of}")
    return " and ".join(found) or "the prepared data"


def resume_from(
    checkpoint: Path, run_dir: Path, config: DictConfig, data: Mapping[str, Any]
) -> None:
    """Copy the checkpoints of another run, which this one resumes.

    Args:
        checkpoint: The other run's directory, or the checkpoint of an epoch in it.
        run_dir: The directory of this run.
        config: The configuration of this run.
        data: The fingerprint of the data of this run.

    Raises:
        ValueError: If there is no such run, or its configuration or data differs.
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
    _compare(folder.parent, config, _MAY_DIFFER)
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


def _compare(run_dir: Path, config: DictConfig, may_differ: set[str]) -> None:
    """Refuse a configuration that differs from the one of a directory's run."""
    found, wanted = read_config(run_dir), flat(config)
    found.setdefault("positions", "every")  # of an earlier version
    if "step" not in (found.get("optimizer.schedule"), wanted.get("optimizer.schedule")):
        may_differ = may_differ - {"trainer.max_epochs"}  # which such a schedule spans
    if found.get("warm_start") is wanted.get("warm_start") is None:
        may_differ = may_differ | {"new_items"}  # without effect
    if found.get("distil") is wanted.get("distil") is None:
        may_differ = may_differ | {"distil_weight"}  # without effect
    if found.get("text") is wanted.get("text") is None:
        keys = found.keys() | wanted.keys()
        may_differ = may_differ | {key for key in keys if key.startswith(("text_", "encoder."))}
    if found.get("attributes") is wanted.get("attributes") is None:
        may_differ = may_differ | {"attributes_id", "categories"}  # not there, in earlier versions
    if found.get("halving") is wanted.get("halving") is None:
        may_differ = may_differ | {"halving_from"}  # without effect
    if differ := differences(found, wanted, may_differ):
        raise ValueError(
            f"{run_dir} holds a run with another configuration\n  "
            + "\n  ".join(differ)
            + "\nSet the keys alike, or choose another directory (hydra.run.dir=DIR, "
            "of a sweep hydra.sweep.dir=DIR)"
        )


def differences(
    there: Mapping[str, Any], here: Mapping[str, Any], may_differ: set[str], prefix: str = ""
) -> list[str]:
    """A line for each setting that differs, with both values.

    Args:
        there: The settings of the other run.
        here: The settings of this run.
        may_differ: Keys that are not compared.
        prefix: The group of the keys, such as ``"model."``. (default: ``""``)
    """
    return [
        f"{prefix}{key}: there {there.get(key)}, here {here.get(key)}"
        for key in sorted((there.keys() | here.keys()) - may_differ)
        if there.get(key) != here.get(key)
    ]
