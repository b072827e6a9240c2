"""Sweepers of pyg_srgnn in the one package where Hydra looks for plugins."""

from pyg_srgnn.sweeps import optuna_sweeper


class OptunaSweeper(optuna_sweeper.OptunaSweeper):
    """The class that ``hydra/sweeper=optuna`` names."""
