"""Finds runs by name: ``latest``, a folder of runs, or a path."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pyg_srgnn.runs.result import METRICS_FILE, RunResult

RUNS = Path("runs")  # where srgnn-train puts them
LATEST = "latest"
DEMO = "demo"
_DEMO = Path(__file__).parents[1] / "demo"  # made by make demo

# Files that make a folder a run, finished or not, or an export.
_ITSELF = {"manifest.json", METRICS_FILE, "config.yaml", "vocabulary.json", "checkpoints"}
# Files that make a folder a sweep: of Hydra's basic sweeper, and of Optuna's.
_SWEEP = {"multirun.yaml", "study.db"}
_SHOWN = 5  # of several runs that an error lists


def find_run(path: str | Path, key: str = "checkpoint", unfinished: bool = False) -> Path:
    """Find the run, checkpoint file or export of a path or a name.

    ``latest`` is the newest finished run below ``runs/``; ``FOLDER/latest`` and ``FOLDER`` are the
    newest one below that folder. Runs of sweeps do not count. ``demo`` is the export that the
    package has, of a model of the synthetic dataset. Any other path is returned as it is.

    Args:
        path: As the user gave it.
        key: The key that held it, for errors. (default: ``"checkpoint"``)
        unfinished: Whether a run counts once it can be resumed. (default: ``False``: once it has
            finished with a model)

    Raises:
        FileNotFoundError: If there is nothing; names the runs that there are.
        ValueError: If it is the folder of a sweep; names its runs.
    """
    path = folder = Path(path)
    if path == Path(DEMO) and not path.exists():
        return _DEMO
    if path.name == LATEST and (path.is_symlink() or not path.exists()):
        if path.exists() and not unfinished:
            return path.parent / path.readlink()
        folder = RUNS if path == Path(LATEST) else path.parent
    elif path.is_file() or any((path / name).exists() for name in _ITSELF):
        return path
    if any((folder / name).exists() for name in _SWEEP):
        raise ValueError(f"{key}={path}: it is a sweep; name one of its runs{_of_sweep(folder)}")
    runs, others = _below(folder, unfinished)
    if runs:
        return runs[0]
    if folder.is_dir() or path.name == LATEST:
        wanted = "run to resume" if unfinished else "finished run with a model"
        reason = f"there is no {wanted} below {folder}{_listed('there are', others)}"
    else:
        known, _ = _below(RUNS, unfinished)
        reason = f"there is no such run directory or file{_listed('there are', known)}"
    raise FileNotFoundError(f"{key}={path}: {reason}")


def link_latest(run_dir: Path, dataset: str) -> None:
    """Make ``runs/DATASET/latest`` a link to a run that has finished, where links can be made.

    Args:
        run_dir: The run. Nothing is done unless it lies in a folder called like its dataset.
        dataset: Name of its dataset.
    """
    run_dir = run_dir.resolve()
    link = run_dir.with_name(LATEST)
    if run_dir.parent.name != dataset or (link.exists() and not link.is_symlink()):
        return
    aside = run_dir.with_name(f".{LATEST}.{platform.node()}.{os.getpid()}.part")
    with suppress(OSError):
        aside.unlink(missing_ok=True)
        aside.symlink_to(run_dir.name, target_is_directory=True)
        aside.replace(link)


def _below(folder: Path, unfinished: bool) -> tuple[list[Path], list[str]]:
    """The runs below a folder, the newest first, and the others, each with the reason."""
    runs: dict[Path, int] = {}
    others = []
    for above, names, files in os.walk(folder):
        here, found = Path(above), {*names, *files}
        if not found & (_SWEEP | _ITSELF):
            names[:] = [name for name in names if not name.startswith(".")]
            continue
        names.clear()
        when = _resumable(here) if unfinished else _finished(here)
        if found & _SWEEP:
            others.append(f"{here} (a sweep)")
        elif when is not None:
            runs[here] = when
        else:
            whole = (here / METRICS_FILE).is_file()
            others.append(f"{here} ({'no model' if whole else 'not finished'})")
    return sorted(runs, key=lambda run: (runs[run], run), reverse=True), sorted(others)


def _finished(run: Path) -> int | None:
    """When a run finished, in nanoseconds; None if it has not, or has left no model."""
    try:
        result = RunResult.read(run)
        if result.pruned is None and result.checkpoint and (run / result.checkpoint).is_file():
            return (run / METRICS_FILE).stat().st_mtime_ns
    except (OSError, ValueError):
        pass
    return None


def _resumable(run: Path) -> int | None:
    """When a run's last epoch ended, in nanoseconds; None if none has."""
    try:
        return (run / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    except OSError:
        return None


def _of_sweep(folder: Path) -> str:
    """The finished runs of a sweep, as its leaderboard ranks them."""
    try:
        with (folder / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        return f"; srgnn-leaderboard {folder} ranks them"
    finished = [folder / row["run"] for row in rows if row["status"] == "finished"]
    return _listed("the best configuration first", finished)


def _listed(heading: str, entries: Sequence[Path | str]) -> str:
    """The end of an error that lists what there is."""
    lines = [str(entry) for entry in entries[:_SHOWN]]
    if len(entries) > _SHOWN:
        lines.append(f"… and {len(entries) - _SHOWN} more")
    return "\n  ".join([f"; {heading}", *lines]) if lines else ""
