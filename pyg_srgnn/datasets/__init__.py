"""Datasets of sessions, one a file: where each comes from and how it is split."""

from pyg_srgnn.datasets.base import SessionDataset
from pyg_srgnn.datasets.diginetica import Diginetica

from pyg_srgnn.datasets.yoochoose import Yoochoose

__all__ = ["Diginetica", "SessionDataset", "Yoochoose"]
