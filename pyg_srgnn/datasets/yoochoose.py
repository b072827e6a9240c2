"""Yoochoose: clicks in a web shop, from the RecSys Challenge 2015."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch_geometric.data import Data

from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.datasets.archive import unpack
from pyg_srgnn.datasets.click_log import RawDataset
from pyg_srgnn.datasets.download import DownloadError, Source, fetch
from pyg_srgnn.datasets.two_file import Counts, TwoFileBenchmark, two_files
from pyg_srgnn.utils.arguments import checking

_URL = (
    "https://raw.githubusercontent.com/chenjh1988/MTD/"
    "b471a6df5e09e8f179a2dbfd185571f74bb9311e/datasets/yoochoose1_64/"
)
_ARCHIVE = Source(
    "yoochoose-data.7z",
    urls=("https://s3-eu-west-1.amazonaws.com/yc-rdata/yoochoose-data.7z",),
    origin="the RecSys Challenge 2015",
)
_TEST = {"items": 37_483, "test_sessions": 15_324, "test_samples": 55_898}
_COUNTS = {
    1: Counts(sessions=7_966_257, **_TEST),
    4: Counts(samples=5_917_745, **_TEST),
    64: Counts(sessions=116_167, clicks=486_026, samples=369_859, **_TEST),
}


class Yoochoose(TwoFileBenchmark):
    r"""The last 64th of Yoochoose's training samples, as SR-GNN's authors prepared it.

    Clicks of the `RecSys Challenge 2015 <https://doi.org/10.1145/2792838.2798723>`_ in the
    two-file form that accompanies `MTD <https://github.com/chenjh1988/MTD>`_; the test sessions
    are those of the last day. The catalogue is that of the whole training set, so most of it is
    never seen in the last 64th. Arguments and errors are those of
    :class:`~pyg_srgnn.datasets.base.SessionDataset`.

    **STATS:**

    ==============  ========  =======  =======  ===============================
    part            sessions  clicks   samples  items
    ==============  ========  =======  =======  ===============================
    training, 1/64  116,167   486,026  369,859  37,483 (17,376 of them clicked)
    test            15,324    71,222   55,898   37,483 (the same)
    ==============  ========  =======  =======  ===============================
    """

    name = "yoochoose1_64"
    sources = two_files(
        _URL,
        "33af7c6292c6bd5080c2d694cce78e9b39a7eb987421a72b93edaae47204ece5",
        "643fd2fa56a4fbc3daf1cf623146d3ba3897e96cfa9ff8f47b8062b159af6c6e",
    )
    catalogue = 37_483
    counts = _COUNTS[64]


class YoochooseRaw(RawDataset):
    r"""Yoochoose prepared here from ``yoochoose-clicks.dat``, by the rules of SR-GNN's authors.

    A session's clicks stay in the file's order; the test sessions are those of the last day. Of
    the training samples the last 1/fraction is kept; the catalogue stays that of the whole
    training set. The clicks are taken from ``root/yoochoose/raw`` or below the mirror, and
    otherwise out of ``yoochoose-data.7z`` from there or from the challenge's site. All fractions
    share that folder.

    Args:
        root: Folder of all datasets. (default: ``"datasets"``)
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``. (default: ``"train"``)
        valid: What part of the training sessions validates: a fraction, or days as ``"7d"``.
            (default: 0.1)
        mirror: Folder or URL looked at before the built-in source. (default: None)
        transform: Applied to every ``Data`` on access. (default: None)
        engine: ``"polars"`` or ``"spark"``, what prepares the clicks. (default: ``"polars"``)
        fraction: 1, 4 or 64. (default: 1)

    Raises:
        ValueError: If an argument is out of its range, or the file cannot be read; names the row.
        DownloadError: If no source gives the file.

    **STATS** (published):

    ==============  =========  =======  =========  ===============================
    part            sessions   clicks   samples    items
    ==============  =========  =======  =========  ===============================
    training        7,966,257                      37,483
    training, 1/4                       5,917,745  37,483
    training, 1/64  116,167    486,026  369,859    37,483 (17,376 of them clicked)
    test            15,324     71,222   55,898     37,483
    ==============  =========  =======  =========  ===============================
    """

    name = "yoochoose"
    sources = (Source("yoochoose-clicks.dat"),)
    preparation = Preparation(
        session="session_id",
        item="item_id",
        time="timestamp",
        order="file",
        time_format="iso",
        delimiter=",",
        columns=("session_id", "timestamp", "item_id", "category"),
        max_length=None,
        test="1d",
        strict=True,
    )

    def __init__(
        self,
        root: str | Path = "datasets",
        split: str = "train",
        valid: float | str = 0.1,
        mirror: str | Path | None = None,
        transform: Callable[[Data], Data] | None = None,
        *,
        engine: str = "polars",
        fraction: int = 1,
    ) -> None:
        with checking(self) as check:
            check.that(fraction in _COUNTS, "fraction", "1, 4 or 64", fraction)
        self.preparation = replace(type(self).preparation, recent=fraction)
        self.counts = _COUNTS[fraction]
        super().__init__(root, split, valid, mirror, transform, engine=engine)

    def download(self) -> None:
        """Find the clicks, or the archive that holds them."""
        folder, (clicks,) = Path(self.raw_dir), self.sources
        try:
            fetch(clicks, folder, self.mirror, self.name)
        except DownloadError:
            try:
                archive = fetch(_ARCHIVE, folder, self.mirror, self.name)
            except DownloadError as error:
                raise DownloadError(
                    f"{error}\nThe {clicks.name} in it, put there unpacked, will do as well."
                ) from None
            unpack(archive, folder / clicks.name)
