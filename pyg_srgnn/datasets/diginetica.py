"""Diginetica: clicks in a web shop, from the CIKM Cup 2016."""

from __future__ import annotations

from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.datasets.click_log import RawDataset
from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.two_file import Counts, TwoFileBenchmark, two_files

_URL = (
    "https://raw.githubusercontent.com/CCIIPLab/GCE-GNN/"
    "212575302e42d64b8cf0b9ffe1b71b0db398d5be/datasets/diginetica/"
)


class Diginetica(TwoFileBenchmark):
    r"""Diginetica as SR-GNN's authors prepared it; the test sessions are those of the last week.

    Clicks of the `CIKM Cup 2016 <https://competitions.codalab.org/competitions/11161>`_ in the
    two-file form that accompanies `"Global Context Enhanced Graph Neural Networks for
    Session-based Recommendation" <https://github.com/CCIIPLab/GCE-GNN>`_. Arguments and errors
    are those of :class:`~pyg_srgnn.datasets.base.SessionDataset`.

    **STATS:**

    ========  ========  =======  =======  =================
    part      sessions  clicks   samples  items
    ========  ========  =======  =======  =================
    training  186,670   906,140  719,470  43,097
    test      15,963    76,821   60,858   43,097 (the same)
    ========  ========  =======  =======  =================
    """

    name = "diginetica"
    sources = two_files(
        _URL,
        "55694865221c682aaa9df6cd5a4ddccff5de902334df5605c5767ee464e11365",
        "b2b81f9cb22feb2174feeb3e678b9de5e41ff1653bf23cdaf9046e5404f002ff",
    )
    catalogue = 43_097
    counts = Counts(sessions=186_670, clicks=906_140, test_sessions=15_963, test_samples=60_858)


class DigineticaRaw(RawDataset):
    r"""Diginetica prepared here from ``train-item-views.csv``, by the rules of SR-GNN's authors.

    A session's clicks are sorted by ``timeframe``; the test sessions are those of the last seven
    days, and a session on the split day is in neither part. Both headers that go around,
    ``session_id;…`` and ``sessionId;…``, are understood. Arguments and errors are those of
    :class:`~pyg_srgnn.datasets.click_log.RawDataset`.

    **STATS** (published; the authors' script prints 15,979 test sessions, counted before the
    items that no training session shows are dropped):

    ========  ========  =======  =======  =================
    part      sessions  clicks   samples  items
    ========  ========  =======  =======  =================
    training  186,670   906,140  719,470  43,097
    test      15,963    76,821   60,858   43,097 (the same)
    ========  ========  =======  =======  =================
    """

    name = "diginetica_raw"
    sources = (
        Source(
            "train-item-views.csv",
            urls=(
                "https://sr-gnn.bj.bcebos.com/train-item-views.csv",
                "https://drive.usercontent.google.com/download"
                "?id=0B7XZSACQf0KdenRmMk8yVUU5LWc&export=download&confirm=t",
            ),
            origin="the CIKM Cup 2016, track 2, file dataset-train-diginetica.zip",
        ),
    )
    preparation = Preparation(
        time="eventdate",
        order="timeframe",
        time_format="iso",
        delimiter=";",
        max_length=None,
        test="7d",
        strict=True,
    )
    counts = Counts(
        sessions=186_670,
        clicks=906_140,
        samples=719_470,
        items=43_097,
        test_sessions=15_963,
        test_samples=60_858,
    )
