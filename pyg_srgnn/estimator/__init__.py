"""An estimator on data frames: fit on clicks, recommend for sessions."""

from __future__ import annotations

from pyg_srgnn.estimator.recommender import SRGNNRecommender

__all__ = ["SRGNNRecommender"]
