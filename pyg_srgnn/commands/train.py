"""srgnn-train: train, choose on validation, evaluate once."""

from __future__ import annotations

import math

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pyg_srgnn.commands.application import application
from pyg_srgnn.commands.checks import check
from pyg_srgnn.commands.processes import check_processes
from pyg_srgnn.training import train


@application("train")
def main(config: DictConfig) -> float:
    """Train as the configuration says; the value of the monitored metric, for sweeps."""
    check(config)
    check_processes(config)
    result = train(config, HydraConfig.get().runtime.output_dir)
    part = result["valid"] or result["test"]
    if part is None:  # refit=only test=false: nothing was evaluated
        return math.nan
    return float(part[config.monitor])


if __name__ == "__main__":
    main()
