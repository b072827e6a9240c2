"""Serves recommendations over HTTP."""

from __future__ import annotations

import signal
import threading

from pyg_srgnn.serving.settings import Settings
from pyg_srgnn.utils.extras import pip_install


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; see :func:`pyg_srgnn.serving.server.serve`.

    With ``check`` only print what :func:`pyg_srgnn.serving.check.check` says.

    Raises:
        OSError: If the port is taken, or a file cannot be read.
        ValueError: If the artifact does not hold a model, or a package is not installed.
    """
    if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
        # Until the server has its handler, a SIGHUP would end the process.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        # Not needed by --help and wrong settings.
        from pyg_srgnn.serving import server
        from pyg_srgnn.serving.check import check
    except ModuleNotFoundError as error:
        raise ValueError(
            f"serving needs {error.name}, which is not installed: {pip_install('serve')}"
        ) from error
    if settings.check:
        print(check(settings))
    else:
        server.serve(settings)
