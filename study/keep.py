"""Keeps the files of a run that a study needs, free of the paths of its machine."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from omegaconf import OmegaConf

from pyg_srgnn.runs.finished import PLACES, Run, key_and_value
from pyg_srgnn.utils.files import folder_written_aside

_KEPT = ("metrics.json", "ranks.parquet", "epochs.csv", "refit.csv")  # as they are


def keep(run_dir: str | Path, folder: str | Path, label: str | None = None) -> Path:
    """Copy the metrics, configuration, command, ranks and curves of a run into a study.

    Model and logs are not copied. ``dataset.root``, ``dataset.mirror`` and ``checkpoint``, which
    are paths of a machine, are set to their defaults. An earlier copy is replaced.

    Args:
        run_dir: A finished run.
        folder: The study's folder.
        label: The configuration's name; with slashes, a path. (default: the model's name)

    Returns:
        ``<folder>/<dataset>/<label>/<seed>``.

    Raises:
        ValueError: If the run is not finished, the label leads out of the folder, or the
            configuration names another absolute path.
    """
    run = Run.read(run_dir)
    label = run.result.model if label is None else label
    parts = PurePosixPath(label).parts
    if not parts or ".." in parts or _absolute(label):
        raise ValueError(f"keep: 'label' must be a name or a path below the folder (got {label!r})")
    config = OmegaConf.load(run.folder / "config.yaml")
    for key, default in PLACES.items():
        if key in run.config:
            OmegaConf.update(config, key, default)
    overrides = run.overrides_but(PLACES)
    values = [(key, value) for key, value in run.config.items() if key not in PLACES]
    values += map(key_and_value, overrides)
    if paths := sorted({f"{key}={value}" for key, value in values if _absolute(value)}):
        raise ValueError(
            f"{run.folder} was made with {', '.join(paths)}: a run that is kept must not depend on "
            f"an absolute path"
        )
    target = Path(folder, run.result.dataset, label, str(run.result.seed))
    target.parent.mkdir(parents=True, exist_ok=True)
    with folder_written_aside(target, target.with_name(f".{target.name}.part")) as aside:
        for name in _KEPT:
            if (run.folder / name).is_file():
                shutil.copyfile(run.folder / name, aside / name)
        OmegaConf.save(config, aside / "config.yaml")
        OmegaConf.save(OmegaConf.create(overrides), aside / "overrides.yaml")
    return target


def _absolute(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_absolute, value))
    if not isinstance(value, str):
        return False
    return PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
