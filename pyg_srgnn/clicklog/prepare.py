"""Makes sessions of a click log: reads it, applies the rules, splits it in time."""

from __future__ import annotations

import logging
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from pyg_srgnn.clicklog.assemble import assemble
from pyg_srgnn.clicklog.clicks import read_clicks
from pyg_srgnn.clicklog.engine import Engine
from pyg_srgnn.clicklog.files import find_files
from pyg_srgnn.clicklog.layout import Layout, find_layout
from pyg_srgnn.clicklog.polars_engine import PolarsEngine
from pyg_srgnn.clicklog.prepared import Prepared
from pyg_srgnn.clicklog.rules import filtered
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.clicklog.texts import item_texts, of_vocabulary
from pyg_srgnn.data.statistics import describe
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.utils.arguments import checking

log = logging.getLogger(__name__)

ENGINES = ("polars", "spark")


def open_engine(name: str) -> Engine:
    """Open an engine by its name.

    Raises:
        ValueError: If there is none of that name, or what it needs is not installed.
    """
    with checking("prepare") as check:
        check.one_of("engine", name, ENGINES)
    if name == "polars":
        return PolarsEngine()
    from pyg_srgnn.clicklog.spark_engine import SparkEngine

    return SparkEngine()


def prepare(
    path: str | Path | Sequence[str | Path],
    preparation: Preparation | None = None,
    engine: str = "polars",
    vocabulary: Vocabulary | None = None,
    scratch: str | Path | None = None,
) -> Prepared:
    """Read a click log and make sessions of it.

    Memory grows with the number of sessions and of the clicks that stay, not with the file: the
    clicks are read once into Parquet files below ``scratch``, from there in parts of whole
    sessions, to which the rules are applied one after the other, and last in stretches of time.

    Args:
        path: A file, a glob, a folder, or several of them: CSV (any delimiter, quoted, gzip or
            zstd) or Parquet, all alike.
        preparation: The columns and the rules. (default: ``Preparation()``)
        engine: ``"polars"``, or ``"spark"`` where the log outgrows one machine.
            (default: ``"polars"``)
        vocabulary: Items that keep their index and are never dropped; new ones are numbered
            after them. (default: None)
        scratch: Folder for temporary files, on a disk with room for 60 bytes a click, and for the
            texts of the items.
            (default: the system's)

    Raises:
        ValueError: If the log cannot be read as it is declared, a row is bad, or a rule leaves
            nothing; names file, line, what was found and what is expected.
        FileNotFoundError: If there is no such file.
    """
    preparation = preparation or Preparation()
    started = time.perf_counter()
    runner = open_engine(engine)
    layout = find_layout(find_files(path), preparation)
    if vocabulary is not None:
        layout = in_terms_of(layout, vocabulary)
    log.info("%s", layout.describe())
    for doubt in layout.doubts:
        log.warning("%s", doubt)
    if scratch is not None:
        Path(scratch).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="clicks-", dir=scratch))
    try:
        clicks, found = read_clicks(runner, layout, preparation, folder)
        if clicks.collect_schema()["item"] == nw.String and vocabulary is not None:
            in_terms_of(replace(layout, whole=layout.whole - {"item"}), vocabulary)
        texts = None
        if preparation.text:
            texts, clicks = item_texts(clicks, runner, folder), clicks.drop("text")
        read = time.perf_counter()
        chosen = filtered(clicks, preparation, runner, found, folder, vocabulary)
        ruled = time.perf_counter()
        prepared = assemble(chosen, preparation, vocabulary)
        if texts is not None:
            prepared = replace(prepared, texts=of_vocabulary(texts, prepared.vocabulary))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ended = time.perf_counter()
    _warn_of_split_ids(prepared.vocabulary, layout)
    described = describe(prepared.training, prepared.test, prepared.vocabulary)
    log_part = dict(prepared.report)
    if preparation.cold == "drop":  # what was dropped could not be counted in the test part
        described["distributions"]["unseen_test_items"] = log_part.pop("unseen_test_items")
    report = {
        "files": [str(file) for file in layout.files],
        "engine": engine,
        "columns": layout.columns,
        "time_format": layout.time_format,
        "preparation": preparation.to_dict(),
        "rows": found.rows,
        "bad_rows": found.bad_rows,
        "repeated_times": found.repeated_times,
        **log_part,
        **_text_part(prepared.texts),
        **described,
        "seconds": {
            "read": round(read - started, 3),
            "sessions": round(ruled - read, 3),
            "number": round(ended - ruled, 3),
            "total": round(ended - started, 3),
        },
        "peak_memory_mb": round(_peak_memory() / 1e6),
    }
    return replace(prepared, report=report)


def _text_part(texts: list[str | None] | None) -> dict[str, Any]:
    """How many items have a text, for the report."""
    if texts is None:
        return {}
    return {"items_with_text": sum(text is not None for text in texts)}


def in_terms_of(layout: Layout, vocabulary: Vocabulary) -> Layout:
    """Read items as text where those of the vocabulary are text."""
    kinds = {type(raw) for raw in vocabulary.ids}
    if kinds == {int} and "item" not in layout.whole:
        raise ValueError(
            f"dataset.vocabulary holds whole numbers; column {layout.columns['item']!r} of "
            f"{layout.files[0]} holds text"
        )
    return replace(layout, whole=layout.whole - {"item"}) if kinds == {str} else layout


def _warn_of_split_ids(vocabulary: Vocabulary, layout: Layout) -> None:
    """Warn of text ids such as 7 and 7.0, as pandas writes numbers of which some are missing."""
    if not isinstance(vocabulary.ids[0], str):
        return
    ids = pl.Series(vocabulary.ids)
    floats = ids.filter(ids.str.contains(r"^-?\d+\.0$"))
    twice = floats.filter(floats.str.strip_suffix(".0").is_in(ids.implode()))
    if len(twice):
        log.warning(
            "%s: column %r holds both %s and %s, two items, and %s more such pairs; where they are "
            "one, write whole numbers",
            *(layout.files[0], layout.columns["item"], twice[0][:-2], twice[0]),
            f"{len(twice) - 1:,}",
        )


def _peak_memory() -> int:
    """The most bytes that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
