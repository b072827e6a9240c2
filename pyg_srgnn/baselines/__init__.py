"""Baselines that only count; each scores items as a model does."""

from pyg_srgnn.baselines.markov import Markov
from pyg_srgnn.baselines.popularity import Popularity, SessionPopularity

BASELINES: dict[str, type[Popularity]] = {
    "popularity": Popularity,
    "session_popularity": SessionPopularity,
    "markov": Markov,
}

__all__ = ["BASELINES", "Markov", "Popularity", "SessionPopularity"]
