"""Tmall: clicks in a market place, from the IJCAI-15 competition."""

from __future__ import annotations

from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.two_file import Counts, TwoFileBenchmark

_URL = (
    "https://raw.githubusercontent.com/CCIIPLab/GCE-GNN/"
    "212575302e42d64b8cf0b9ffe1b71b0db398d5be/datasets/Tmall/"
)
_COUNTS = Counts(
    sessions=65_286,
    clicks=416_554,
    samples=351_268,
    items=40_727,
    test_sessions=1_027,
    test_samples=25_898,
)


class Tmall(TwoFileBenchmark):
    r"""Tmall as GCE-GNN's authors prepared it; the test sessions are those of the last 100 seconds.

    Clicks of the `IJCAI-15 competition <https://tianchi.aliyun.com/dataset/42>`_, of which a user's
    clicks of a day are a session, in the two-file form that accompanies `"Global Context Enhanced
    Graph Neural Networks for Session-based Recommendation"
    <https://github.com/CCIIPLab/GCE-GNN>`_. Arguments and errors are those of
    :class:`~pyg_srgnn.datasets.base.SessionDataset`.

    **STATS** (the number of test sessions follows from the mean length that the authors give):

    .. list-table::
        :header-rows: 1

        * - part
          - sessions
          - clicks
          - samples
          - items
        * - training
          - 65,286
          - 416,554
          - 351,268
          - 40,727
        * - test
          - 1,027
          - 26,925
          - 25,898
          - 40,727 (the same)
    """

    name = "tmall"
    sources = (
        Source(
            "all_train_seq.txt",
            "40219a3222bc575e7061bd665c6dcaa4af3c37a8f8975868689ae0375b765d9c",
            (_URL + "all_train_seq.txt",),
        ),
        Source(
            "test.txt",
            "7813a743324943488c37efa35b511ec649dfcd7697f28f33dcb3d18420d3da5d",
            (_URL + "test.txt",),
        ),
    )
    catalogue = 40_727
    counts = _COUNTS
