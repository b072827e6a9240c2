"""The text of every item: what most rows of the log say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from pyg_srgnn.clicklog.engine import Engine
from pyg_srgnn.data.vocabulary import Vocabulary


def item_texts(clicks: nw.LazyFrame[Any], engine: Engine, folder: Path) -> pl.DataFrame:
    """Find the most frequent text of every item; of equally frequent ones the first alphabetically.

    Memory grows with the number of different texts, not with the log.

    Args:
        clicks: The columns ``item`` and ``text``; the latter null where a row has none.
        engine: What computes it.
        folder: Where intermediate files go.

    Returns:
        ``item`` and ``text``, one row per item that has one.
    """
    written = clicks.filter(~nw.col("text").is_null())
    counts = engine.store(
        written.group_by("item", "text").agg(nw.len().alias("n")), folder / "counted-texts"
    )
    most = counts.group_by("item").agg(nw.col("n").max())
    chosen = counts.join(most, on=["item", "n"], how="inner")
    first = chosen.group_by("item").agg(nw.col("text").min())
    return engine.gather(first, folder / "item-texts")


def of_vocabulary(texts: pl.DataFrame, vocabulary: Vocabulary) -> list[str | None]:
    """The texts in the order of a vocabulary; None for an item without one."""
    items = pl.DataFrame({"item": pl.Series(vocabulary.ids, dtype=texts["item"].dtype)})
    return items.join(texts, on="item", how="left", maintain_order="left")["text"].to_list()
