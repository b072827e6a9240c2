"""SR-GNN for session-based recommendation, as a PyTorch Geometric package."""

__version__ = "0.1.0"
