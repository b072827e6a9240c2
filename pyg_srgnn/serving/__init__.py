"""Recommendations over HTTP."""

from __future__ import annotations

from pyg_srgnn.extras import pip_install
from pyg_srgnn.serving.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; see :func:`pyg_srgnn.serving.server.serve`.

    Raises:
        OSError: If the port is taken, or a file cannot be read.
        ValueError: If the artifact does not hold a model, or a package is not installed.
    """
    try:
        from pyg_srgnn.serving import server  # --help and wrong settings need none of it
    except ModuleNotFoundError as error:
        raise ValueError(
            f"serving needs {error.name}, which is not installed: {pip_install('serve')}"
        ) from error
    server.serve(settings)
