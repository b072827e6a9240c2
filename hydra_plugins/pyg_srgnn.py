"""Plugins of pyg_srgnn in the one package where Hydra looks for them."""

from pyg_srgnn.commands.configurations import PackagesSearchPath, PackagesSource
from pyg_srgnn.sweeps import optuna_sweeper

__all__ = ["OptunaSweeper", "PackagesSearchPath", "PackagesSource"]


class OptunaSweeper(optuna_sweeper.OptunaSweeper):
    """The class that ``hydra/sweeper=optuna`` names."""
