"""Sessions, their graphs and batches: pure functions and arrays."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = {
    "SessionLoader": "loader",
    "Sessions": "sessions",
    "Vocabulary": "vocabulary",
    "live_graph": "graphs",
    "session_graph": "graphs",
    "session_graphs": "graphs",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for: a vocabulary needs neither PyG nor polars."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
