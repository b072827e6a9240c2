"""Sessions, their vocabulary and their graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyg_srgnn.utils.imports import lazy

if TYPE_CHECKING:
    from pyg_srgnn.data.graphs import live_graph, session_graph, session_graphs
    from pyg_srgnn.data.sessions import Sessions
    from pyg_srgnn.data.vocabulary import Vocabulary
    from pyg_srgnn.datasets.loader import SessionLoader

__all__ = [
    "SessionLoader",
    "Sessions",
    "Vocabulary",
    "live_graph",
    "session_graph",
    "session_graphs",
]

# A vocabulary needs neither PyG nor polars.
__getattr__, __dir__ = lazy(
    __name__,
    {
        "SessionLoader": ".datasets.loader",
        "Sessions": "sessions",
        "Vocabulary": "vocabulary",
        "live_graph": "graphs",
        "session_graph": "graphs",
        "session_graphs": "graphs",
    },
)
