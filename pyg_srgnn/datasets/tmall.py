"""Tmall: clicks in a market place, from the IJCAI-15 competition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.datasets.click_log import RawDataset
from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.two_file import Counts, TwoFileBenchmark, two_files
from pyg_srgnn.utils.files import written_aside

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
_LAST_SESSION = 120_000


class Tmall(TwoFileBenchmark):
    r"""Tmall as GCE-GNN's authors prepared it; the test sessions are those of the last 100 seconds.

    Clicks of the `IJCAI-15 competition <https://tianchi.aliyun.com/dataset/42>`_, of which a user's
    clicks of a day are a session, in the two-file form that accompanies `"Global Context Enhanced
    Graph Neural Networks for Session-based Recommendation"
    <https://github.com/CCIIPLab/GCE-GNN>`_. Arguments and errors are those of
    :class:`~pyg_srgnn.datasets.base.SessionDataset`.

    **STATS** (the number of test sessions follows from the mean length that the authors give):

    ========  ========  =======  =======  =================
    part      sessions  clicks   samples  items
    ========  ========  =======  =======  =================
    training  65,286    416,554  351,268  40,727
    test      1,027     26,925   25,898   40,727 (the same)
    ========  ========  =======  =======  =================
    """

    name = "tmall"
    sources = two_files(
        _URL,
        "40219a3222bc575e7061bd665c6dcaa4af3c37a8f8975868689ae0375b765d9c",
        "7813a743324943488c37efa35b511ec649dfcd7697f28f33dcb3d18420d3da5d",
    )
    catalogue = 40_727
    counts = _COUNTS


class TmallRaw(RawDataset):
    r"""Tmall prepared here from ``dataset15.csv``, by the rules of GCE-GNN's authors.

    The file is the one that goes with `session-rec <https://github.com/rn5l/session-rec>`_:
    separated by tabs, with the columns ``SessionId``, ``ItemId`` and ``Time`` among others, times
    in seconds. Only its first sessions count: reading ends before the first row with a session
    beyond 120,000. Sessions that keep more than 40 clicks are dropped, and the test sessions are
    those of the last 100 seconds. Arguments and errors are those of
    :class:`~pyg_srgnn.datasets.click_log.RawDataset`; the counts are :class:`Tmall`'s.
    """

    name = "tmall_raw"
    sources = (
        Source(
            "dataset15.csv",
            origin=(
                "the data of session-rec (https://github.com/rn5l/session-rec), there "
                "tmall/raw/dataset15.csv"
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
        drop_longer=40,
        max_length=None,
        test="100s",
        strict=True,
    )
    counts = _COUNTS

    def click_files(self) -> Sequence[Path]:
        """The file's first sessions, in a file of their own."""
        (whole,) = super().click_files()
        with whole.open("rb") as rows:
            header = next(rows, b"")
            names = header.decode(errors="replace").strip().split("\t")
            if "SessionId" not in names:
                return [whole]  # its reader names the missing column
            column = names.index("SessionId")
            first = Path(self.root, self.name, "first_sessions.csv")
            with written_aside(first) as aside, aside.open("wb") as out:
                out.write(header)
                first_rows: Iterable[bytes] = takewhile(lambda r: not _is_beyond(r, column), rows)
                out.writelines(first_rows)
        return [first]


def _is_beyond(row: bytes, column: int) -> bool:
    """Whether a row belongs to a later session; one that cannot be read does not."""
    session = row.split(b"\t")[column : column + 1]
    return session != [] and session[0].strip().isdigit() and int(session[0]) > _LAST_SESSION
