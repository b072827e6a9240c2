"""Sessions, their graphs and batches: pure functions and arrays."""

from pyg_srgnn.data.graphs import session_graph, session_graphs
from pyg_srgnn.data.loader import SessionLoader
from pyg_srgnn.data.sessions import Sessions, Vocabulary

__all__ = ["SessionLoader", "Sessions", "Vocabulary", "session_graph", "session_graphs"]
