"""SR-GNN for session-based recommendation, as a PyTorch Geometric package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyg_srgnn.utils.imports import lazy
from pyg_srgnn.version import __version__

if TYPE_CHECKING:
    from pyg_srgnn.estimator.recommender import SRGNNRecommender
    from pyg_srgnn.inference.recommender import Recommender

__all__ = ["Recommender", "SRGNNRecommender", "__version__"]

__getattr__, __dir__ = lazy(
    __name__,
    {"Recommender": "inference.recommender", "SRGNNRecommender": "estimator.recommender"},
)
