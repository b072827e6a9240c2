"""Serves recommendations over HTTP."""

from __future__ import annotations

import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyg_srgnn.serving.settings import Settings
from pyg_srgnn.utils.extras import pip_install


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    See :func:`pyg_srgnn.serving.server.serve`, and of several workers
    :func:`pyg_srgnn.serving.workers.serve`. With ``check`` only print what
    :func:`pyg_srgnn.serving.check.check` says.

    Raises:
        OSError: If the port is taken, or a file cannot be read.
        ValueError: If the artifact does not hold a model, a package is not installed, or there
            cannot be several workers.
    """
    if settings.workers > 1 and sys.platform != "linux":
        raise ValueError(
            f"workers={settings.workers}: several workers need Linux, which deals out connections "
            f"among them; expected 1 on {sys.platform}"
        )
    if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
        # Until the server has its handler, a SIGHUP would end the process.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if settings.check:
        print(_module("check").check(settings))
    elif settings.workers > 1:
        with TemporaryDirectory(prefix="srgnn-") as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # before prometheus_client is imported
            _module("workers").serve(settings, Path(folder))
    else:
        _module("server").serve(settings)


def _module(name: str) -> Any:
    """One of the modules that --help and wrong settings do without."""
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"serving needs {error.name}, which is not installed: {pip_install('serve')}"
        ) from error
