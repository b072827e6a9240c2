"""SR-GNN for session-based recommendation, as a PyTorch Geometric package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyg_srgnn.utils.imports import lazy

if TYPE_CHECKING:
    from pyg_srgnn.inference.recommender import Recommender

__version__ = "0.1.0"

__all__ = ["Recommender", "__version__"]

__getattr__, __dir__ = lazy(__name__, {"Recommender": "inference.recommender"})
