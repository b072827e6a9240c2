"""Exports a trained model to a folder that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyg_srgnn.utils.imports import lazy

if TYPE_CHECKING:
    from pyg_srgnn.export.write import export

__all__ = ["export"]

__getattr__, __dir__ = lazy(__name__, {"export": "write"})
