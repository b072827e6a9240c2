"""A sweep from its command to its leaderboard."""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from pyg_srgnn.sweeps import optuna_study as study
from pyg_srgnn.sweeps.directories import SWEEPS, fixed_keys, sweep_name
from pyg_srgnn.sweeps.parallel import sensible_jobs
from pyg_srgnn.training.lock import sole_process
from pyg_srgnn.utils.extras import pip_install
from pyg_srgnn.utils.terminal import lines, show

# The plugins that the extra 'sweep' brings: how an override begins that chooses them.
PLUGINS = {
    "hydra_plugins.hydra_joblib_launcher": ("hydra/launcher=joblib",),
    "hydra_plugins.hydra_submitit_launcher": ("hydra/launcher=submitit",),
    study.SWEEPER: (
        "hydra/sweeper=optuna",
        *(f"search={name}" for name in ("srgnn", "gru4rec", "vsknn", "stan", "item_knn")),
    ),
}


class Sweep:
    """The directory of a sweep that is running, locked; what its jobs have left there.

    Args:
        directory: Of the sweep.
        output_subdir: Where Hydra keeps the command of every job when it starts.
    """

    def __init__(self, directory: Path, output_subdir: str) -> None:
        self.directory = directory
        self._pattern = f"{output_subdir}/overrides.yaml"
        self._before = self._starts()
        self.open = ExitStack()
        self.open.enter_context(sole_process(directory, waits=False))

    def _starts(self) -> dict[Path, int]:
        """When each job was started last, in nanoseconds."""
        found = self.directory.rglob(self._pattern)
        return {path.parents[1]: path.stat().st_mtime_ns for path in found}

    def failures(self) -> dict[str, str]:
        """The jobs of this start that have failed, each with what it said."""
        failed = {}
        for job, started in sorted(self._starts().items()):
            if self._before.get(job) == started:
                continue
            error = job / "error.json"
            if error.is_file():
                told = json.loads(error.read_text(encoding="utf-8"))
                failed[job.name] = f"{told['type']}: {told['message']}"
            elif not (job / "metrics.json").is_file():
                failed[job.name] = "not finished"
        return failed


_running: Sweep | None = None


def start(directory: Path, config: DictConfig) -> None:
    """Take a sweep's directory, and make an earlier start's study ready to be resumed.

    Args:
        directory: Of the sweep.
        config: All of it, Hydra's part too, which may be changed.

    Raises:
        DirectoryTaken: If another sweep is running there; names its process.
        ValueError: If data has changed since the sweep's runs were trained on it.
    """
    from lightning.pytorch.utilities import rank_zero_only

    global _running
    if getattr(rank_zero_only, "rank", 0) != 0:  # of several processes that are one sweep together
        return
    searches = str(config.hydra.sweeper._target_).startswith(study.SWEEPER)
    if config.resume:
        from pyg_srgnn.training.resume import check_data

        check_data(directory)
    elif searches:
        raise ValueError(
            "resume=false: a search starts over in a directory of its own (hydra.sweep.dir=DIR)"
        )
    _running = Sweep(directory, config.hydra.output_subdir or ".hydra")
    resumed = "; the same command resumes it" if config.resume else ""
    print(f"Sweep: {directory}{resumed}", flush=True)
    if searches:
        study.open_study(config.hydra)


def sweeping(main: Callable[[], Any]) -> Callable[[], None]:
    """Let a Hydra application's sweeps find their directory again and report what failed.

    Args:
        main: What Hydra made of the application; without ``-m`` it is called as it is.
    """

    @functools.wraps(main)
    def swept() -> None:
        arguments = get_args_parser().parse_args()
        mode = "hydra.mode=MULTIRUN"
        shows = arguments.help or arguments.hydra_help or arguments.cfg or arguments.info
        if not (arguments.multirun or mode in arguments.overrides) or shows:
            main()
            return
        _need_plugins(arguments.overrides)
        given = (arguments.config_path, arguments.config_name, arguments.config_dir)
        with _added(_settings(arguments.overrides, [path for path in given if path])):
            try:
                main()
            except KeyboardInterrupt as stop:
                stop.args = (_stop(),)
                raise
            finally:
                failed = _finish()
        if failed:
            raise SystemExit(1)

    return swept


def _stop() -> str:
    """Give the directory back; what of the sweep is kept."""
    global _running
    sweep, _running = _running, None
    if sweep is None:
        return ""
    with sweep.open:
        finished = sum(1 for _ in sweep.directory.rglob("metrics.json"))
    jobs = f"{finished} finished job{'' if finished == 1 else 's'}"
    return f"{jobs}, and the epochs of the others"


def _finish() -> dict[str, str]:
    """Write and print the leaderboard and what failed; give the directory back."""
    global _running
    sweep, _running = _running, None
    if sweep is None:
        return {}
    # Here, because a sweep that does not start should not wait for it.
    from pyg_srgnn.reports.leaderboard import write_leaderboard

    with sweep.open:
        try:
            show(lines("", write_leaderboard(sweep.directory)))
        except (ValueError, OSError) as error:  # such as that there is no run, or a full disk
            print(f"no leaderboard: {error}")
        failed = sweep.failures()
        if failed:
            print(f"\n{len(failed)} jobs have failed; the same command tries them again:")
            width = max(map(len, failed))
            for job, message in failed.items():
                print(f"  {job:<{width}}  {_one_line(message)}")
        sys.stdout.flush()
    return failed


def _settings(overrides: list[str], given: list[str]) -> list[str]:
    """The overrides that name the directories, and how many jobs run at once."""
    try:
        parsed: list[Override] = OverridesParser.create().parse_overrides(overrides)
    except HydraException:
        return []  # Hydra says so itself, and better
    keys = ",".join(f"'{key}'" for key in fixed_keys(parsed))
    added = [f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"]
    if not any(override.key_or_group == "hydra.sweep.dir" for override in parsed):
        added.append(f"hydra.sweep.dir='{(SWEEPS / sweep_name(parsed, *given)).as_posix()}'")
    told = {override.key_or_group: override.value() for override in parsed}
    if told.get("hydra/launcher") == "joblib" and "hydra.launcher.n_jobs" not in told:
        added.append(f"hydra.launcher.n_jobs={sensible_jobs(_size_of_grid(parsed))}")
    return added


def _size_of_grid(overrides: list[Override]) -> int | None:
    """How many jobs Hydra's own sweeper makes of the overrides; None where that is not known."""
    if any(o.key_or_group in ("search", "hydra/sweeper") for o in overrides):
        return None
    swept = [override for override in overrides if override.is_sweep_override()]
    if any(isinstance(o.value(), Glob) for o in swept) or not all(
        o.is_choice_sweep() or o.is_range_sweep() for o in swept
    ):
        return None
    return math.prod(sum(1 for _ in override.sweep_iterator()) for override in swept)


def _need_plugins(overrides: list[str]) -> None:
    """Say which extra brings what the command asks for, where Hydra would not know."""
    for override in overrides:
        for module, starts in PLUGINS.items():
            if override.startswith(starts) and not _is_there(module):
                print(
                    f"{override}: needs a package that is not installed: {pip_install('sweep')}",
                    file=sys.stderr,
                )
                raise SystemExit(1)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False


@contextmanager
def _added(overrides: list[str]) -> Iterator[None]:
    """The command line with more overrides, for as long as Hydra reads it."""
    before = sys.argv
    sys.argv = [before[0], *overrides, *before[1:]]
    try:
        yield
    finally:
        sys.argv = before


def _one_line(message: str, longest: int = 160) -> str:
    line = " ".join(message.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
