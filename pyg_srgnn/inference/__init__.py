"""Recommends with a trained or exported model; imports torch, NumPy and safetensors alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyg_srgnn.utils.imports import lazy

if TYPE_CHECKING:
    from pyg_srgnn.inference.answer import Answer
    from pyg_srgnn.inference.artifact import Artifact
    from pyg_srgnn.inference.clicks import Clicks
    from pyg_srgnn.inference.recommender import Recommender

__all__ = ["Answer", "Artifact", "Clicks", "Recommender"]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "Answer": "answer",
        "Artifact": "artifact",
        "Clicks": "clicks",
        "Recommender": "recommender",
    },
)
