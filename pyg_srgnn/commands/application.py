"""The frame of every console script of Hydra's: its configurations, and how errors are reported."""

from __future__ import annotations

import errno
import functools
import gc
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pyg_srgnn.commands.command_line import read_command
from pyg_srgnn.commands.configurations import CONF as CONF
from pyg_srgnn.commands.ending import again, end, ending_with_pipe, stoppable
from pyg_srgnn.commands.fresh import leaving_no_trace
from pyg_srgnn.commands.rerun import rerunnable
from pyg_srgnn.commands.suggestions import refusing
from pyg_srgnn.runs.directory import error_kept
from pyg_srgnn.utils.imports import gc_paused

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[1]
_FIXABLE = (ValueError, OSError, FloatingPointError)  # a DownloadError is an OSError
# Errors of the operating system that a user can fix.
_FIXABLE_BY_NUMBER = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG,
    errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, None,
}  # fmt: skip


def application(
    config_name: str,
    around: Callable[[Callable[[], Any]], Callable[[], Any]] | None = None,
    kept: Callable[[DictConfig], str | None] = lambda config: "nothing",
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a Hydra application of a function of the configuration.

    An error that a user can fix (a bad value, a missing file, a full disk, a dead link) is one
    message without a traceback, which ``HYDRA_FULL_ERROR=1`` brings back; the exit status is 1.

    Args:
        config_name: The configuration in ``conf/``, without ``.yaml``.
        around: Of an application that makes runs: wraps all of it and reports a sweep's failed
            jobs at the end. (default: None; a failed job ends the sweep)
        kept: Describes what Ctrl-C leaves behind; None where another process does.
            (default: nothing)
    """

    def decorate(function: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @functools.wraps(function)
        def task(config: DictConfig) -> Any:
            gc.enable()
            output_dir = Path(HydraConfig.get().runtime.output_dir)
            with leaving_no_trace(output_dir):
                return reporting(config, output_dir)

        def reporting(config: DictConfig, output_dir: Path) -> Any:
            try:
                recorded = nullcontext() if around is None else error_kept(output_dir)
                with recorded, ending_with_pipe(), _plain_warnings():
                    return function(config)
            except KeyboardInterrupt:
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    raise  # to the end of the sweep
                command = again(None if around is None else output_dir)
                end(kept(config), command, log.warning)
            except Exception as error:
                fixable = isinstance(error, _FIXABLE) and (
                    not isinstance(error, OSError) or error.errno in _FIXABLE_BY_NUMBER
                )
                sweep = HydraConfig.get().mode == RunMode.MULTIRUN
                if sweep and around is not None:
                    return _job_failed(error, fixable)
                if sweep or not fixable or os.environ.get("HYDRA_FULL_ERROR") == "1":
                    raise
                log.error("%s: %s", Path(sys.argv[0]).name, error)
                raise SystemExit(1) from error

        main: Callable[[], Any] = hydra.main(
            config_path=str(CONF), config_name=config_name, version_base="1.3"
        )(task)
        main = rerunnable(main, task, CONF, config_name)
        main = main if around is None else around(main)

        @functools.wraps(function)
        @ending_with_pipe()
        def script() -> Any:
            with gc_paused(), _plain_warnings():  # task() ends the pause
                with refusing():
                    read_command()
                return main()

        return stoppable(script)

    return decorate


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Log a warning of ours as one line, once, without the source line that it comes from."""
    logged: set[str] = set()
    usual = warnings.showwarning

    def show(
        message: Warning | str, category: type[Warning], filename: str, *rest: Any, **kwargs: Any
    ) -> None:
        text = str(message)
        if not Path(filename).is_relative_to(_PACKAGE):
            usual(message, category, filename, *rest, **kwargs)
        elif text not in logged:
            logged.add(text)
            log.warning("warning: %s", text)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _job_failed(error: Exception, fixable: bool) -> None:
    """Report a failed job of a sweep without ending the sweep.

    Raises:
        RuntimeError: For a sweeper that counts failures. Hydra's own would stop at the first one;
            it is given no value instead, for which it does not ask.
    """
    traceback = not fixable or os.environ.get("HYDRA_FULL_ERROR") == "1"
    log.error("this job has failed: %s", error, exc_info=error if traceback else None)
    if HydraConfig.get().runtime.choices["hydra/sweeper"] != "basic":
        raise RuntimeError(f"{type(error).__name__}: {error}")  # which any process can pass on
