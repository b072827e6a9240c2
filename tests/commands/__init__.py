"""Run a console script in this process: what it printed, and how it ended."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from unittest import mock

from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig


@dataclass(frozen=True)
class Result:
    """What a script left on the terminal, and its exit status."""

    status: int
    out: str
    err: str


def run(main: Callable[[], Any], name: str, *arguments: str) -> Result:
    """Call a console script's ``main`` as the script ``name`` would with these arguments."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    GlobalHydra.instance().clear()
    try:
        with (
            mock.patch.object(sys, "argv", [name, *arguments]),
            # Hydra takes a coverage tracer for a debugger, to which it leaves every error.
            mock.patch("hydra._internal.utils.is_under_debugger", return_value=False),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        GlobalHydra.instance().clear()
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
    return Result(status, out.getvalue(), err.getvalue())


class Returned(Callback):
    """Keeps what the jobs return, for ``hydra.callbacks.x._target_=tests.commands.Returned``."""

    values: ClassVar[list[Any]] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Take a job's value."""
        self.values.append(job_return.return_value)
