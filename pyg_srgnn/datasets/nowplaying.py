"""Nowplaying: music listening events from Twitter."""

from __future__ import annotations

from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.datasets.click_log import RawDataset
from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.two_file import Counts, TwoFileBenchmark, two_files

_URL = (
    "https://raw.githubusercontent.com/CCIIPLab/GCE-GNN/"
    "212575302e42d64b8cf0b9ffe1b71b0db398d5be/datasets/Nowplaying/"
)
_COUNTS = Counts(
    sessions=128_077, clicks=953_381, samples=825_304, items=60_416, test_samples=89_824
)


class Nowplaying(TwoFileBenchmark):
    r"""Nowplaying as GCE-GNN's authors prepared it; the last 60 days are the test sessions.

    Tracks of the `#nowplaying data set <https://doi.org/10.1145/2661714.2661719>`_ in the two-file
    form that accompanies `"Global Context Enhanced Graph Neural Networks for Session-based
    Recommendation" <https://github.com/CCIIPLab/GCE-GNN>`_. Arguments and errors are those of
    :class:`~pyg_srgnn.datasets.base.SessionDataset`.

    **STATS:**

    ========  ========  =======  =======  =================
    part      sessions  clicks   samples  items
    ========  ========  =======  =======  =================
    training  128,077   953,381  825,304  60,416
    test                         89,824   60,416 (the same)
    ========  ========  =======  =======  =================
    """

    name = "nowplaying"
    sources = two_files(
        _URL,
        "963019b0853b49273f81ba591b30be600194f74f71f11e8fc4cf549591416052",
        "2c51533a05683877c7e696506a410f13216d93886466fd83c3153166829bfcb9",
    )
    catalogue = 60_416
    counts = _COUNTS


class NowplayingRaw(RawDataset):
    r"""Nowplaying prepared here from ``nowplaying.csv``, by the rules of GCE-GNN's authors.

    The file is the one that goes with `session-rec <https://github.com/rn5l/session-rec>`_:
    separated by tabs, with the columns ``SessionId``, ``ItemId`` and ``Time`` among others, times
    in seconds. Sessions that keep more than 30 clicks are dropped, and the test sessions are those
    of the last 60 days. Arguments and errors are those of
    :class:`~pyg_srgnn.datasets.click_log.RawDataset`; the counts are :class:`Nowplaying`'s.
    """

    name = "nowplaying_raw"
    sources = (
        Source(
            "nowplaying.csv",
            origin=(
                "the data of session-rec (https://github.com/rn5l/session-rec), there "
                "nowplaying/raw/nowplaying.csv"
            ),
        ),
    )
    preparation = Preparation(
        session="SessionId",
        item="ItemId",
        time="Time",
        order="file",
        time_format="s",
        delimiter="\t",
        drop_longer=30,
        max_length=None,
        test="60d",
        strict=True,
    )
    counts = _COUNTS
