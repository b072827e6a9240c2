"""Scientific: sequences of reviews of scientific goods, with the texts of the goods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch_geometric.data import Data

from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.datasets.click_log import RawDataset
from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.tables import scan_columns
from pyg_srgnn.utils.files import written_aside

_ORIGIN = (
    "https://github.com/ysh-1998/CoWPiRec, commit db47560, there dataset/Scientific; "
    "datasets/README.md says which columns to write"
)


class Scientific(RawDataset):
    r"""Scientific: a session is all that one reviewer wrote about, in that order.

    Reviews of Amazon's category Industrial and Scientific, in the preparation of `UniSRec
    <https://arxiv.org/abs/2206.05941>`_ that goes with `CoWPiRec
    <https://github.com/ysh-1998/CoWPiRec>`_: a reviewer has at least five, an item four. There are
    no times: the test sessions are those of the last tenth of the reviewers in the order of the
    file, which is arbitrary. Every item has a text. No item is too rare: ``min_support`` is 1.

    Two files are put there by hand: ``clicks.parquet``, one row per review with the columns
    ``session`` and ``item``, and ``items.parquet``, with ``item`` and ``text``.

    Args:
        root: Folder of all datasets. (default: ``"datasets"``)
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``. (default: ``"train"``)
        valid: What fraction of the training sessions validates. (default: 0.1)
        mirror: Folder or URL with ``scientific/clicks.parquet`` and ``items.parquet``.
            (default: None)
        transform: Applied to every ``Data`` on access. (default: None)
        test: The last fraction of the reviewers, who make the test sessions. (default: 0.1)
        cold: Test clicks on items that training lacks: ``"drop"`` or ``"keep"``.
            (default: ``"drop"``)

    Raises:
        ValueError: If an argument is out of its range, or a file lacks a column; names it.
        DownloadError: If no source gives a file.

    **STATS** (no item is cold):

    ========  ========  ======  =======  =====
    part      sessions  clicks  samples  items
    ========  ========  ======  =======  =====
    training  7,598     53,457  45,859   4,385
    test      844       5,927   5,083    2,747
    ========  ========  ======  =======  =====
    """

    name = "scientific"
    sources = (Source("clicks.parquet", origin=_ORIGIN), Source("items.parquet", origin=_ORIGIN))
    preparation = Preparation(
        session="session",
        item="item",
        text=("text",),
        order="file",
        max_length=None,
        min_support=1,
    )

    def __init__(
        self,
        root: str | Path = "datasets",
        split: str = "train",
        valid: float | str = 0.1,
        mirror: str | Path | None = None,
        transform: Callable[[Data], Data] | None = None,
        *,
        test: float | str = 0.1,
        cold: str = "drop",
    ) -> None:
        self.preparation = replace(type(self).preparation, test=test, cold=cold)
        super().__init__(root, split, valid, mirror, transform)

    def click_files(self) -> Sequence[Path]:
        """The clicks with the texts of their items, in a file of their own."""
        reviews, texts = super().click_files()
        clicks = scan_columns(reviews, ("session", "item")).collect()
        items = scan_columns(texts, ("item", "text")).collect()
        if twice := items["item"].filter(items["item"].is_duplicated()).to_list():
            raise ValueError(f"{texts}: item {twice[0]!r} stands twice, expected one row per item")
        joined = self.scratch / "clicks.parquet"
        with written_aside(joined) as aside:
            clicks.join(items, on="item", how="left", maintain_order="left").write_parquet(aside)
        return [joined]
