"""Hydra's callback at the start of a sweep, and the resolver ``job_name`` for ``conf/``.

Every process that runs a job imports this module before it resolves the configuration.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.sweeps import sweep
from pyg_srgnn.sweeps.directories import job_name

OmegaConf.register_new_resolver("job_name", job_name, replace=True)


class SweepHooks(Callback):
    """Opens the sweep's directory: the configuration is composed, the sweeper not yet made."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Lock the directory of the sweep, or end with one line."""
        try:
            sweep.start(Path(config.hydra.sweep.dir), config)
        except Exception as error:  # of which Hydra would only warn
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
            raise SystemExit(1) from error
