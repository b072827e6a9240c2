"""What every console script shares: where the configurations are, and how errors are told."""

from __future__ import annotations

import errno
import functools
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pyg_srgnn.datasets.download import DownloadError

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[1]
# In a wheel the configurations lie in the package, in a checkout beside it.
CONF = next(
    folder
    for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf")
    if (folder / "train.yaml").is_file()
)
# What the operating system says that a user can do something about.
_MENDABLE = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG,
    errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, None,
}  # fmt: skip


def application(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a Hydra application of a function of the configuration.

    What a user can mend (a bad value, a missing file, a full disk, a dead link) is told in one
    message without a traceback, which ``HYDRA_FULL_ERROR=1`` brings back; the exit status is 1.

    Args:
        config_name: The configuration in ``conf/``, without ``.yaml``.
    """

    def decorate(function: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @functools.wraps(function)
        def told(config: DictConfig) -> Any:
            try:
                return function(config)
            except (ValueError, OSError, DownloadError, FloatingPointError) as error:
                # A sweep must see the error itself, to count the job as failed and go on.
                sweep = HydraConfig.get().mode == RunMode.MULTIRUN
                mendable = not isinstance(error, OSError) or error.errno in _MENDABLE
                if sweep or not mendable or os.environ.get("HYDRA_FULL_ERROR") == "1":
                    raise
                log.error("%s: %s", Path(sys.argv[0]).name, error)
                raise SystemExit(1) from error

        main: Callable[[], Any] = hydra.main(
            config_path=str(CONF), config_name=config_name, version_base="1.3"
        )(told)
        return main

    return decorate
