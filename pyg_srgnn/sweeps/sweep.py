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

from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig

from pyg_srgnn.runs.find import find_run
from pyg_srgnn.runs.result import METRICS_FILE
from pyg_srgnn.runs.rolling import is_rolling
from pyg_srgnn.sweeps.directories import SWEEPS, fixed_keys, sweep_name
from pyg_srgnn.sweeps.overrides import get_args_parser, in_quotes, parse_overrides
from pyg_srgnn.sweeps.parallel import sensible_jobs
from pyg_srgnn.training.lock import sole_process
from pyg_srgnn.utils.extras import pip_install
from pyg_srgnn.utils.terminal import Styled, lines, show

# The keys that may hold ``latest`` or a folder of runs.
_RUN_KEYS = ("checkpoint", "warm_start", "distil", "dataset.vocabulary", "model.members")


class Sweep:
    """The locked directory of a running sweep, and the results of its jobs.

    Args:
        directory: Of the sweep.
        output_subdir: The folder of each job where Hydra records its overrides.
    """

    def __init__(self, directory: Path, output_subdir: str) -> None:
        self.directory = directory
        self._pattern = f"{output_subdir}/overrides.yaml"
        self._before = self._starts()
        self.open = ExitStack()
        self.open.enter_context(sole_process(directory, waits=False))

    def _starts(self) -> dict[Path, int]:
        """The time of each job's latest start, in nanoseconds."""
        found = self.directory.rglob(self._pattern)
        return {path.parents[1]: path.stat().st_mtime_ns for path in found}

    def failures(self) -> dict[str, str]:
        """The jobs of this start that have failed, each with its error."""
        failed = {}
        for job, started in sorted(self._starts().items()):
            if self._before.get(job) == started:
                continue
            error = job / "error.json"
            if error.is_file():
                found = json.loads(error.read_text(encoding="utf-8"))
                failed[job.name] = f"{found['type']}: {found['message']}"
            elif not (job / METRICS_FILE).is_file():
                failed[job.name] = "not finished"
        return failed


_running: Sweep | None = None


def start(directory: Path, config: DictConfig) -> None:
    """Lock a sweep's directory and validate the data of its runs.

    Args:
        directory: Of the sweep.
        config: The configuration, with Hydra's part.

    Raises:
        DirectoryTaken: If another sweep is running there; names its process.
        ValueError: If data has changed since the sweep's runs were trained on it, or Optuna is
            missing.
    """
    from pyg_srgnn.training.job import is_first_process

    global _running
    if not is_first_process():
        return
    searches = config.hydra.runtime.choices["hydra/sweeper"] == "optuna"
    if searches and find_spec("optuna") is None:
        raise ValueError(f"a search needs Optuna, which is not installed: {pip_install('sweep')}")
    if config.resume:
        from pyg_srgnn.training.resume import check_data

        check_data(directory)
    elif searches:
        raise ValueError(
            "resume=false: a search starts over in another directory (hydra.sweep.dir=DIR)"
        )
    if "window" in config.dataset:
        if searches:
            raise ValueError("evaluation=rolling: a search chooses on validation; leave it out")
        from pyg_srgnn.datasets import open_dataset

        open_dataset(config.dataset, "test")  # a log that is too short is no error of every job
    _running = Sweep(directory, config.hydra.output_subdir or ".hydra")
    resumed = "; the same command resumes it" if config.resume else ""
    print(f"Sweep: {directory}{resumed}", flush=True)


def sweeping(main: Callable[[], Any], conf: Path) -> Callable[[], None]:
    """Make a Hydra application resume its sweeps and report failed jobs at the end.

    Args:
        main: The application; without ``-m`` it is called as it is.
        conf: The folder of its configurations.
    """

    @functools.wraps(main)
    def swept() -> None:
        arguments = get_args_parser().parse_args()
        mode = "hydra.mode=MULTIRUN"
        shows = arguments.help or arguments.hydra_help or arguments.cfg or arguments.info
        if not (arguments.multirun or mode in arguments.overrides) or shows:
            main()
            return
        given = (arguments.config_path, arguments.config_name, arguments.config_dir)
        with _added(_prepared(conf, [path for path in given if path])):
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
    """Unlock the directory; return what is kept of the sweep."""
    global _running
    sweep, _running = _running, None
    if sweep is None:
        return ""
    with sweep.open:
        finished = sum(1 for _ in sweep.directory.rglob(METRICS_FILE))
    jobs = f"{finished} finished job{'' if finished == 1 else 's'}"
    return f"{jobs}, and the epochs of the others"


def _finish() -> dict[str, str]:
    """Write and print the leaderboard and the failed jobs; unlock the directory."""
    global _running
    sweep, _running = _running, None
    if sweep is None:
        return {}
    with sweep.open:
        try:
            show(lines("", _report(sweep.directory)))
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


def _report(directory: Path) -> Styled:
    """Write the leaderboard, or the report of a rolling evaluation."""
    # Here, because a sweep that does not start should not wait for it.
    if is_rolling(directory):
        from pyg_srgnn.reports.rolling import write_rolling
        from pyg_srgnn.training.rolling import evaluate_aged

        evaluate_aged(directory)
        return write_rolling(directory)
    from pyg_srgnn.reports.leaderboard import write_leaderboard

    return write_leaderboard(directory)


def _prepared(conf: Path, given: list[str]) -> list[str]:
    """Name the runs in ``sys.argv``; return the overrides to be added to it."""

    def overrides() -> list[Override]:
        return parse_overrides(get_args_parser().parse_args().overrides, conf)

    try:
        parsed = overrides()
    except HydraException:
        return []  # which Hydra reports itself
    try:
        _check_plugins(parsed)
        _name_runs(parsed)
    except (ValueError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    return _settings(overrides(), given)


def _settings(overrides: list[Override], given: list[str]) -> list[str]:
    """The overrides that name the directories, and how many jobs run at once."""
    keys = ",".join(f"'{key}'" for key in fixed_keys(overrides))
    added = [f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"]
    values = {override.key_or_group: override.value() for override in overrides}
    if "hydra.sweep.dir" not in values:
        added.append(f"hydra.sweep.dir='{(SWEEPS / sweep_name(overrides, *given)).as_posix()}'")
    if values.get("hydra/launcher") == "joblib" and "hydra.launcher.n_jobs" not in values:
        added.append(f"hydra.launcher.n_jobs={sensible_jobs(_size_of_grid(overrides))}")
    return added


def _size_of_grid(overrides: list[Override]) -> int | None:
    """The number of jobs that Hydra's basic sweeper makes of the overrides; None if others say."""
    swept = [override for override in overrides if override.is_sweep_override()]
    several = ("search", "hydra/sweeper", "evaluation")
    searched = any(o.key_or_group in several for o in overrides)
    if searched or not all(override.is_discrete_sweep() for override in swept):
        return None
    return math.prod(sum(1 for _ in override.sweep_iterator()) for override in swept)


def _name_runs(overrides: list[Override]) -> None:
    """Replace ``latest`` and folders of runs in ``sys.argv`` by one run for all jobs.

    Raises:
        FileNotFoundError: If there is no such run.
        ValueError: If it is a sweep.
    """
    for override in overrides:
        key, value = override.key_or_group, override.value()
        several = value if isinstance(value, list) else [value]
        given = [each.text if isinstance(each, QuotedString) else each for each in several]
        if key not in _RUN_KEYS or not all(isinstance(each, str) for each in given):
            continue
        runs = [str(find_run(str(each), key, unfinished=key == "checkpoint")) for each in given]
        if [Path(run) for run in runs] != [Path(str(each)) for each in given]:
            print(f"{Path(sys.argv[0]).name}: {key}={','.join(runs)}", file=sys.stderr)
            quoted = ",".join(map(in_quotes, runs))
            quoted = f"[{quoted}]" if isinstance(value, list) else quoted
            text = f"{override.get_key_element()}={quoted}"
            sys.argv = [text if word == override.input_line else word for word in sys.argv]


def _check_plugins(overrides: list[Override]) -> None:
    """Check that the launcher is installed, and no sweeper beside our own.

    Raises:
        ValueError: Otherwise; with the command that repairs it.
    """
    for override in overrides:
        name = override.value()
        if (
            override.key_or_group in ("search", "hydra/sweeper")
            and find_spec("hydra_plugins.hydra_optuna_sweeper") is not None
        ):
            raise ValueError(
                f"{override.input_line}: hydra-optuna-sweeper is installed, whose configuration "
                "of Optuna 2 conflicts; pip uninstall hydra-optuna-sweeper"
            )
        if (
            override.key_or_group == "hydra/launcher"
            and name in ("joblib", "submitit")
            and find_spec(f"hydra_plugins.hydra_{name}_launcher") is None
        ):
            raise ValueError(f"{override.input_line}: not installed: {pip_install('sweep')}")


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
