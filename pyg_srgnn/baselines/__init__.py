"""Baselines that count clicks; they score items like a model."""

from pyg_srgnn.baselines.item_knn import ItemKNN
from pyg_srgnn.baselines.markov import Markov
from pyg_srgnn.baselines.popularity import Popularity, SessionPopularity
from pyg_srgnn.baselines.sequential_rules import SequentialRules
from pyg_srgnn.baselines.session_knn import VSKNN
from pyg_srgnn.baselines.stan import STAN
from pyg_srgnn.utils.packages import Registry

BASELINES: Registry[type[Popularity]] = Registry(
    "model",
    "pyg_srgnn.baselines",
    {
        "popularity": Popularity,
        "session_popularity": SessionPopularity,
        "markov": Markov,
        "sequential_rules": SequentialRules,
        "item_knn": ItemKNN,
        "vsknn": VSKNN,
        "stan": STAN,
    },
)

__all__ = [
    "BASELINES",
    "STAN",
    "VSKNN",
    "ItemKNN",
    "Markov",
    "Popularity",
    "SequentialRules",
    "SessionPopularity",
]
