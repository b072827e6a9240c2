"""Sessions, their graphs and batches: pure functions and arrays."""

from pyg_srgnn.data.graphs import live_graph, session_graph, session_graphs
from pyg_srgnn.data.loader import SessionLoader
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.data.vocabulary import Vocabulary

__all__ = [
    "SessionLoader",
    "Sessions",
    "Vocabulary",
    "live_graph",
    "session_graph",
    "session_graphs",
]
