"""Online Retail: the invoices of a shop for gifts, with the descriptions of its goods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from torch_geometric.data import Data

from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.datasets.click_log import RawDataset
from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.tables import scan_columns
from pyg_srgnn.utils.arguments import checking
from pyg_srgnn.utils.files import written_aside

_COLUMNS = ("invoice", "stock_code", "description", "quantity", "invoice_date", "unit_price")
_SEED = 0  # of the lines' order, where they are shuffled


class OnlineRetail(RawDataset):
    r"""Online Retail: an invoice is a session, its lines are the clicks, in the invoice's order.

    Invoices of a British wholesaler of gifts from December 2010 to December 2011, published by
    Chen, Sain and Guo as `Online Retail <https://archive.ics.uci.edu/dataset/352/online+retail>`_
    (UCI, an Excel file). Lines count that have a description, a positive quantity and price, an
    invoice that was not cancelled (none that begins with C) and an article's stock code (five
    digits first). An item's text is the most frequent description of its code. No item is too
    rare: ``min_support`` is 1, as rare items are those that a text is good for. The order of an
    invoice's lines is partly that of the catalogue: ``shuffle_lines`` shows what that is worth.

    ``lines.parquet`` is put there by hand: one row per line, with the columns ``invoice``,
    ``stock_code``, ``description`` (text), ``quantity``, ``invoice_date`` (Datetime) and
    ``unit_price``, in the order of the published file.

    Args:
        root: Folder of all datasets. (default: ``"datasets"``)
        split: ``"train"``, ``"valid"``, ``"trainval"`` or ``"test"``. (default: ``"train"``)
        valid: What part of the training sessions validates: a fraction, or days as ``"7d"``.
            (default: 0.1)
        mirror: Folder or URL with ``online_retail/lines.parquet``. (default: None)
        transform: Applied to every ``Data`` on access. (default: None)
        test: The test sessions: the last fraction of the invoices in time, or as in
            :class:`~pyg_srgnn.clicklog.spec.Preparation`. (default: 0.1)
        max_lines: Invoices with more lines are left out; None: none are. (default: 40)
        shuffle_lines: Shuffle the lines of each invoice, always alike. (default: False)
        cold: Test clicks on items that training lacks: ``"drop"`` or ``"keep"``.
            (default: ``"drop"``)

    Raises:
        ValueError: If an argument is out of its range, or the file lacks a column; names it.
        DownloadError: If no source gives the file.

    **STATS:** of 541,909 lines 527,725 count, of 3,900 items, in 19,773 invoices; 16,580 of these
    have at most 40 lines, and 15,088 of them at least two. With ``cold="keep"`` there are 3,604
    items:

    ==============  ========  =======  =======  =====  ===========================
    part            sessions  clicks   samples  items  cold items (share of lines)
    ==============  ========  =======  =======  =====  ===========================
    training        13,579    209,426  195,847  3,583
    test            1,509     22,209   20,700   2,227  21 (1.2 %)
    training, 0.3   10,562    161,350  150,788  3,424
    test=0.3        4,526     70,285   65,759   2,718  180 (6.5 %)
    ==============  ========  =======  =======  =====  ===========================

    Of all 19,773 invoices, short and long ones, the last tenth has 26 new items (0.8 % of its
    lines), the last 30 % have 189 (4.8 %).
    """

    name = "online_retail"
    sources = (
        Source(
            "lines.parquet",
            origin=(
                "https://archive.ics.uci.edu/dataset/352/online+retail, as an Excel file; "
                "datasets/README.md says which columns to write"
            ),
        ),
    )
    preparation = Preparation(
        session="invoice",
        item="stock_code",
        time="invoice_date",
        text=("description",),
        order="file",
        max_length=None,
        min_support=1,
        drop_longer=40,
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
        max_lines: int | None = 40,
        shuffle_lines: bool = False,
        cold: str = "drop",
    ) -> None:
        with checking(self) as check:
            fits = check.whole("max_lines", max_lines, 2, optional=True)
            check.flag("shuffle_lines", shuffle_lines)
            rules: dict[str, Any] = {"test": test, "cold": cold}
            rules["drop_longer"] = max_lines if fits else None
            self.preparation = replace(type(self).preparation, **rules)
        self.shuffle_lines = shuffle_lines
        super().__init__(root, split, valid, mirror, transform)

    def parameters(self) -> dict[str, Any]:
        """The preparation, the file's content, and the order of the lines."""
        return super().parameters() | {"shuffle_lines": self.shuffle_lines}

    def click_files(self) -> Sequence[Path]:
        """The lines that count, in a file of their own."""
        (file,) = super().click_files()
        lines = _lines_that_count(file)
        if self.shuffle_lines:
            lines = _shuffled(lines)
        clicks = self.scratch / "lines.parquet"
        with written_aside(clicks) as aside:
            lines.write_parquet(aside)
        return [clicks]


def _lines_that_count(file: Path) -> pl.DataFrame:
    """The lines of articles that were sold, each with the time of its invoice's last line."""
    lines = scan_columns(file, _COLUMNS).filter(
        pl.col("description").is_not_null(),
        pl.col("quantity") > 0,
        pl.col("unit_price") > 0,
        ~pl.col("invoice").str.starts_with("C"),
        pl.col("stock_code").str.contains(r"^\d{5}"),
    )
    time = pl.col("invoice_date").max().over("invoice")
    try:
        return lines.select("invoice", "stock_code", "description", time).collect()
    except pl.exceptions.PolarsError as error:  # a column of another type
        raise ValueError(f"{file}: {error}") from error


def _shuffled(lines: pl.DataFrame) -> pl.DataFrame:
    """The lines of each invoice in a random order, the invoices in theirs."""
    draw = np.random.default_rng(_SEED).permutation(lines.height)
    places = lines.with_columns(draw=draw).with_row_index("row")
    return places.sort(pl.col("row").min().over("invoice"), "draw").select(lines.columns)
