"""Reads the lines of a log with Spark: each with its click, its place and its problem."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path
from typing import Any

import polars as pl

from pyg_srgnn.clicklog.dialect import scan_text
from pyg_srgnn.clicklog.layout import Layout, number_text
from pyg_srgnn.clicklog.spark_values import (
    NUMBERS,
    identifier,
    is_local,
    joined,
    micros,
    text,
    whole,
)
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.functional.marks import EARLIEST, LATEST

BLANK = "blank"
PROBLEMS = ("bytes that are not UTF-8", "a quote out of place", "wrong number of columns")
"""Ways in which a line is malformed."""


def clicks_of(spark: Any, layout: Layout, preparation: Preparation) -> Any:
    """Read all lines or rows of a log.

    Args:
        spark: The session.
        layout: How the log is to be read.
        preparation: The declaration.

    Returns:
        A data frame with ``session``, ``item``, ``time`` and ``order`` (null where they cannot be
        read), ``text`` where it is asked for, ``_chosen`` (by ``where``), ``_problem`` (one of
        ``PROBLEMS``, ``BLANK``, or null), ``_shown`` (of a line of wrong form
        the line, of one with a null or an absurd time its cells as JSON), and its place: ``_file``,
        ``_block`` (the byte in the file at which the part begins that was read at once) and
        ``_id``, which grows within a block.
    """
    from pyspark.sql import functions as F

    parts = []
    if layout.parquet:
        line = F.lit(None).cast("string")
        for types, files in _by_types(layout).items():
            raw = spark.read.parquet(*[url(file) for file in files])
            cells = {name: raw[_quoted(name)] for name in layout.names}
            kinds = dict(raw.dtypes)
            for name, kind in types:
                if isinstance(kind, pl.Datetime) and kind.time_unit == "ns":
                    kinds[name] = "nanoseconds" if kind.time_zone is None else "nanoseconds, UTC"
                elif kind == pl.Binary:
                    kinds[name] = "string"
                    cells[name] = F.try_validate_utf8(cells[name].cast("string"))
            parts.append(_clicks(raw, cells, kinds, line, line, layout, preparation))
        return reduce(lambda one, other: one.unionByName(other), parts)
    for names, files in _by_columns(layout).items():
        schema = "".join(f"c{number} string, " for number in range(len(names))) + "broken string"
        options = {"sep": layout.delimiter, "quote": '"', "escape": '"', "mode": "PERMISSIVE"}
        # An empty value is null only where it is not quoted, as in Polars.
        options |= {"nullValue": "\0", "columnNameOfCorruptRecord": "broken"}
        raw = spark.read.text([url(file) for file in files], lineSep="\n")
        raw = raw.select("_metadata", F.rtrim("value", F.lit("\r")).alias("line"))
        raw = raw.withColumn("cells", F.from_csv("line", schema, options))
        cells = {name: F.col(f"cells.c{number}") for number, name in enumerate(names)}
        kinds = dict.fromkeys(names, "string")
        problem = _problem(F.col("line"), layout.delimiter, F.col("cells.broken"))
        parts.append(_clicks(raw, cells, kinds, F.col("line"), problem, layout, preparation))
    return reduce(lambda one, other: one.unionByName(other), parts)


def used_columns(layout: Layout) -> dict[str, str]:
    """The columns that a click is made of, by their roles."""
    if layout.known_user is not None:
        return layout.columns
    return {"session" if role == "user" else role: name for role, name in layout.columns.items()}


def url(path: Path) -> str:
    """A path as Spark reads it: on this file system, and no pattern."""
    return "file://" + re.sub(r"([\[\]{}*?\\])", r"\\\1", str(path.resolve()))


def _problem(line: Any, delimiter: str, broken: Any) -> Any:
    from pyspark.sql import functions as F

    mark = re.escape(delimiter)
    # Possessive, as a long line must not make the expression go back.
    value = rf'(?:"[^"]*+(?:""[^"]*+)*+"|[^"{mark}][^{mark}]*+|)'
    right = line.rlike(f"^{value}(?:{mark}{value})*+$")
    problems = (~F.is_valid_utf8(line), line.contains('"') & ~right, broken.isNotNull())
    found = F.when(F.btrim(line, F.lit(f' \t\r"{delimiter}')) == "", BLANK)
    for problem, holds in zip(PROBLEMS, problems, strict=True):
        found = found.when(holds, problem)
    return found


def _clicks(
    raw: Any,
    cells: dict[str, Any],
    kinds: dict[str, str],
    line: Any,
    problem: Any,
    layout: Layout,
    preparation: Preparation,
) -> Any:
    from pyspark.sql import functions as F

    chosen = F.lit(True)
    for name, texts_asked in preparation.asked.items():
        if kinds[name] in NUMBERS or kinds[name].startswith("decimal"):
            texts_asked = [number_text(text) for text in texts_asked]
        chosen = chosen & text(cells[name], kinds[name]).isin(texts_asked)
    clicks, texts = {}, []
    for role, name in used_columns(layout).items():
        cell, kind = cells[name], kinds[name]
        if role == "time":
            clicks[role] = micros(cell, kind, str(layout.time_format))
        elif role == "order":
            clicks[role] = whole(cell, kind)
        else:
            clicks[role] = identifier(cell, kind, role in layout.whole)
        texts.append(cell.cast("string").alias(role))
    place = raw.metadataColumn("_metadata")  # not a column of the log that is called so
    more = []
    if preparation.time_zone:
        name = layout.columns["time"]
        more.append(is_local(cells[name], kinds[name], str(layout.time_format)).alias("local"))
    if preparation.text:
        more.append(joined([(cells[c], kinds[c]) for c in preparation.text]).alias("text"))
    read = raw.select(
        *more,
        *[click.alias(role) for role, click in clicks.items()],
        F.coalesce(chosen, F.lit(False)).alias("_chosen"),
        problem.alias("_problem"),
        line.alias("_line"),
        F.struct(*texts).alias("_texts"),
        place["file_path"].alias("_file"),
        place["file_block_start"].alias("_block"),
        F.monotonically_increasing_id().alias("_id"),
    )
    needed = [F.col(role).isNull() for role in clicks if role != "user"]
    doubtful = reduce(lambda one, other: one | other, needed)
    if "time" in clicks:
        doubtful = doubtful | ~F.col("time").between(EARLIEST, LATEST)
    if preparation.time_zone:  # which clicks are bad is known later
        doubtful = doubtful | F.col("local")
    shown = F.when(F.col("_problem").isNotNull(), F.col("_line"))
    shown = shown.when(doubtful, F.to_json("_texts"))
    return read.withColumn("_shown", shown).drop("_line", "_texts")


def _by_columns(layout: Layout) -> dict[tuple[str, ...], list[Path]]:
    """The files by the order of their columns."""
    if not layout.header:
        return {layout.names: list(layout.files)}
    groups: dict[tuple[str, ...], list[Path]] = {}
    for file in layout.files:
        head = scan_text(file, layout.delimiter, (), True, n_rows=0)
        groups.setdefault(tuple(head.collect_schema()), []).append(file)
    return groups


def _by_types(layout: Layout) -> dict[tuple[tuple[str, pl.DataType], ...], list[Path]]:
    """The files by the types of their columns: Spark reads together only what is alike."""
    groups: dict[tuple[tuple[str, pl.DataType], ...], list[Path]] = {}
    for file in layout.files:
        groups.setdefault(tuple(pl.read_parquet_schema(file).items()), []).append(file)
    return groups


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
