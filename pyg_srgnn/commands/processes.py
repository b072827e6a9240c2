"""Where one run is several processes, they must agree on what Hydra settles in each of them."""

from __future__ import annotations

import os

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from omegaconf import DictConfig


def check_processes(config: DictConfig) -> None:
    """Refuse what several processes cannot do together.

    Raises:
        ValueError: If something else than Lightning has started them and no ``hydra.run.dir`` was
            given, whose default holds the time at which each composed it; or if a sweep would
            start processes, each of which would be the whole sweep again.
    """
    hydra, trainer = HydraConfig.get(), config.trainer
    slurm = SLURMEnvironment.detect() and int(os.environ["SLURM_NTASKS"]) > 1
    started = slurm or int(os.environ.get("WORLD_SIZE", 1)) > 1
    if hydra.mode == RunMode.MULTIRUN:
        if not started and (trainer.devices not in (1, "1") or trainer.num_nodes > 1):
            raise ValueError(
                f"trainer.devices={trainer.devices}: the jobs of a sweep (-m) train on one device; "
                f"start srgnn-train once for each job, or set trainer.devices=1"
            )
        return
    given = any(override.startswith("hydra.run.dir=") for override in hydra.overrides.hydra)
    if (started or trainer.num_nodes > 1) and not given:
        raise ValueError(
            "hydra.run.dir: must be given where SLURM, torchrun or several nodes start the "
            "processes of a run; by default each would take a directory of its own"
        )
