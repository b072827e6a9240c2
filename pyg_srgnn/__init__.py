"""SR-GNN for session-based recommendation, as a PyTorch Geometric package."""

from pyg_srgnn.recommender import Recommender

__version__ = "0.1.0"

__all__ = ["Recommender", "__version__"]
