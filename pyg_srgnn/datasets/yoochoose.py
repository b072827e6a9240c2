"""Yoochoose: clicks in a web shop, from the RecSys Challenge 2015."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch_geometric.data import Data

from pyg_srgnn.datasets.download import DownloadError, Source, sha256_of
from pyg_srgnn.datasets.two_file import Counts, TwoFileBenchmark

_URL = (
    "https://raw.githubusercontent.com/chenjh1988/MTD/"
    "b471a6df5e09e8f179a2dbfd185571f74bb9311e/datasets/yoochoose1_64/"
)
_SOURCES = {
    64: (
        Source(
            "all_train_seq.txt",
            "33af7c6292c6bd5080c2d694cce78e9b39a7eb987421a72b93edaae47204ece5",
            (_URL + "all_train_seq.txt",),
        ),
        Source(
            "test.txt",
            "643fd2fa56a4fbc3daf1cf623146d3ba3897e96cfa9ff8f47b8062b159af6c6e",
            (_URL + "test.txt",),
        ),
    ),
    4: (Source("all_train_seq.txt"), Source("test.txt")),
}
_COUNTS = {
    64: Counts(sessions=116_167, clicks=486_026, test_sessions=15_324, test_samples=55_898),
    4: None,
}


class Yoochoose(TwoFileBenchmark):
    r"""The last 64th or quarter of Yoochoose's training samples, as SR-GNN's authors prepared it.

    Clicks of the `RecSys Challenge 2015 <https://doi.org/10.1145/2792838.2798723>`_ in the
    two-file form that accompanies `MTD <https://github.com/chenjh1988/MTD>`_; the test sessions
    are those of the last day. The catalogue is that of the whole training set, so most of it is
    never seen in the last 64th.

    The quarter has no public source in the two-file form that we know. Put its two files into
    ``root/yoochoose1_4/raw`` (or below a mirror) and they are used; there is no checksum to hold
    them against, so theirs is shown in a warning.

    Args:
        root: Folder of all datasets. (default: ``"datasets"``)
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``. (default: ``"train"``)
        valid: What part of the training sessions validates. (default: 0.1)
        mirror: Folder or URL looked at before the built-in sources. (default: None)
        transform: Applied to every ``Data`` on access. (default: None)
        fraction: 64 or 4: the last 1/64 or 1/4 of the training samples. (default: 64)

    Raises:
        ValueError: If the fraction is neither.
        DownloadError: If no source gives a file.

    **STATS:**

    .. list-table::
        :header-rows: 1

        * - part
          - sessions
          - clicks
          - samples
          - items
        * - training, 1/64
          - 116,167
          - 486,026
          - 369,859
          - 37,483 (17,376 of them clicked)
        * - test
          - 15,324
          - 71,222
          - 55,898
          - 37,483 (the same)
    """

    catalogue = 37_483

    def __init__(
        self,
        root: str | Path = "datasets",
        split: str = "train",
        valid: float | str = 0.1,
        mirror: str | Path | None = None,
        transform: Callable[[Data], Data] | None = None,
        *,
        fraction: int = 64,
    ) -> None:
        if fraction not in _SOURCES:
            raise ValueError(f"Yoochoose: 'fraction' must be 64 or 4 (got {fraction!r})")
        self.fraction = fraction
        self.name = f"yoochoose1_{fraction}"
        self.sources = _SOURCES[fraction]
        self.counts = _COUNTS[fraction]
        super().__init__(root, split, valid, mirror, transform)

    def parameters(self) -> dict[str, Any]:
        """The checksums of the files themselves, where none is known beforehand."""
        unknown = [Path(self.raw_dir, source.name) for source in self.sources if not source.sha256]
        return {path.name: sha256_of(path) for path in unknown if path.is_file()}

    def download(self) -> None:
        """Fetch the raw files that are missing; say what to do about the quarter."""
        try:
            super().download()
        except DownloadError as error:
            if self.fraction != 4:
                raise
            raise DownloadError(
                "Yoochoose 1/4 has no public source in the two-file form that is known, and it "
                "cannot be prepared from the raw clicks here yet. Put the all_train_seq.txt and "
                "test.txt that SR-GNN's preparation script writes where this says, or take "
                f"fraction=64.\n{error}"
            ) from None
        for name, found in self.parameters().items():
            warnings.warn(
                f"{Path(self.raw_dir, name)} is used unchecked, no checksum being known for it; "
                f"its sha256 is {found}",
                stacklevel=2,
            )
