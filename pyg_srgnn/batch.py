"""Recommendations for files of sessions, of any size, in parts that an interrupted run keeps."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
from tqdm import tqdm

from pyg_srgnn.data.clicks import look_at, scan_parquet
from pyg_srgnn.data.engines import open_engine
from pyg_srgnn.data.files import os_errors, written_aside
from pyg_srgnn.data.log_files import find_files, is_parquet
from pyg_srgnn.data.preparation import Preparation, in_terms_of
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.recommender import Recommender, UnknownItemWarning

_CLICKS_AT_ONCE = 1 << 24  # sorted in memory at once, about 0.5 GB
_OUTPUTS = (".parquet", ".jsonl")


def recommend_file(
    recommender: Recommender,
    path: str | Path | Sequence[str | Path],
    output: str | Path,
    k: int = 20,
    exclude_seen: bool = False,
    preparation: Preparation | None = None,
    key: str = "",
    sessions_at_once: int = 20_000,
) -> int:
    """Recommend for every session of a file, or of a click log, in bounded memory.

    A Parquet file with a column of lists holds a session a row, whose other columns go into the
    output. Anything else is a click log, as ``dataset=click_log`` reads it, of which every session
    makes a row, in the order of their ids.

    The output has the columns of the input (of a log: ``session``) and for each session ``items``
    (raw ids, best first), ``scores``, ``unknown`` (clicks on items that the model does not know)
    and ``popular`` (whether no item was known, so that these are the most popular ones).

    Args:
        recommender: What recommends.
        path: A file, a glob, a folder, or several of them.
        output: A ``.parquet`` or ``.jsonl`` file.
        k: Number of items. (default: 20)
        exclude_seen: Whether a session's own items are left out. (default: False)
        preparation: The columns and rules of a click log. (default: ``Preparation()``)
        key: Names the model: parts of another one are not taken over. (default: ``""``)
        sessions_at_once: Sessions of a part. (default: 20,000)

    Returns:
        The number of sessions.

    Raises:
        ValueError: If the input cannot be understood, or the output is of another kind.
        FileNotFoundError: If there is no such file.
    """
    output = Path(output)
    if output.suffix not in _OUTPUTS:
        raise ValueError(f"output={output}: expected a file that ends in {' or '.join(_OUTPUTS)}")
    files = find_files(path)
    preparation = preparation or Preparation()
    work = _work(output)
    _take_over(
        work,
        {
            "files": [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files],
            "settings": [key, k, exclude_seen, sessions_at_once, repr(preparation)],
        },
    )
    vocabulary = recommender.vocabulary
    sessions, column = _sessions(files, preparation, vocabulary, work)
    kind = pl.Int64 if isinstance(vocabulary.ids[0], int) else pl.String
    # An id of another kind is no item of the catalogue.
    sessions = sessions.with_columns(pl.col(column).cast(pl.List(kind), strict=False))
    total = sessions.select(pl.len()).collect().item()
    parts = []
    for start in tqdm(
        range(0, total, sessions_at_once), "recommend", unit="part", disable=None, leave=False
    ):
        part = work / f"part-{start:012d}.parquet"
        if not part.is_file():
            rows = sessions.slice(start, sessions_at_once).collect()
            found = _recommended(recommender, rows, column, k, exclude_seen)
            with written_aside(part) as aside:
                found.write_parquet(aside)
        parts.append(part)
    with written_aside(output) as aside:
        whole = pl.scan_parquet(parts, glob=False) if parts else pl.LazyFrame()
        whole.sink_parquet(aside) if output.suffix == ".parquet" else whole.sink_ndjson(aside)
    shutil.rmtree(work)
    return int(total)


def kept(output: str | Path) -> str:
    """What a recommendation of a file that was stopped has made, in words."""
    parts = len(list(_work(Path(output)).glob("part-*.parquet")))
    return f"{parts:,} part{'' if parts == 1 else 's'}" if parts else "nothing"


def _work(output: Path) -> Path:
    return output.with_name(f".{output.name}.parts")


def _take_over(work: Path, made_of: dict[str, Any]) -> None:
    """Keep the parts of the very same task; begin anew where anything is different."""
    note = work / "task.json"
    told = json.dumps(made_of)
    if note.is_file() and note.read_text(encoding="utf-8") == told:
        return
    shutil.rmtree(work, ignore_errors=True)
    with written_aside(note) as aside:
        aside.write_text(told, encoding="utf-8")


def _sessions(
    files: Sequence[Path], preparation: Preparation, vocabulary: Vocabulary, work: Path
) -> tuple[pl.LazyFrame, str]:
    """The sessions, a row each, and the column that holds their clicks."""
    if is_parquet(files[0]):
        schema = scan_parquet(files[0]).collect_schema()
        lists = [name for name, kind in schema.items() if isinstance(kind, pl.List)]
        if len(lists) > 1:
            raise ValueError(
                f"{files[0]}: columns {', '.join(lists)} hold lists; expected one, of the clicks"
            )
        if lists:
            inner = schema[lists[0]].inner  # type: ignore[attr-defined]
            if not (inner.is_integer() or inner in (pl.String, pl.Categorical, pl.Enum)):
                raise ValueError(
                    f"{files[0]}: column {lists[0]!r} holds lists of {inner}; expected raw item "
                    f"ids, whole numbers or text"
                )
            return pl.concat([scan_parquet(file) for file in files]), lists[0]
    staged = sorted(work.glob("sessions/*.parquet"))
    if not (work / "sessions" / "whole").is_file():
        shutil.rmtree(work / "sessions", ignore_errors=True)
        staged = list(_grouped(files, preparation, vocabulary, work))
        (work / "sessions" / "whole").touch()
    return pl.scan_parquet(staged, glob=False), "clicks"


def _grouped(
    files: Sequence[Path], preparation: Preparation, vocabulary: Vocabulary, work: Path
) -> Iterator[Path]:
    """Write a click log's sessions, a row each, in files of which each fits into memory."""
    folder = work / "clicks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (work / "sessions").mkdir()
    engine = open_engine("polars")
    layout = in_terms_of(look_at(tuple(files), preparation), vocabulary)
    clicks, found = engine.read(layout, preparation, folder)
    if preparation.gap_seconds is not None and not found.timed:
        raise ValueError("dataset.gap needs the times of the clicks; give dataset.time=COLUMN")
    timed = preparation.order == "time" and found.timed
    by = {"time": ["time"] if timed else [], "file": []}.get(preparation.order, ["order"])
    pieces = 1 + found.rows // _CLICKS_AT_ONCE
    frame: pl.LazyFrame = clicks.to_native()
    piece = (pl.col("session").hash(seed=0) % pieces).cast(pl.Int64).alias("piece")
    scattered = engine.scatter(nw.from_native(frame.with_columns(piece)), folder / "scattered")
    for number, place in enumerate(scattered):
        path = work / "sessions" / f"{number:06d}.parquet"
        with os_errors(path):
            (
                pl.scan_parquet(place, hive_partitioning=False)
                .sort("session", *by, "row")
                .group_by("session", maintain_order=True)
                .agg(_clicks(preparation).alias("clicks"))
                .sink_parquet(path)
            )
        yield path
    shutil.rmtree(folder)


def _clicks(preparation: Preparation) -> pl.Expr:
    """A session's clicks, of the sorted rows of a group."""
    items = pl.col("item")
    last = pl.lit(True)
    if preparation.gap_seconds is not None:
        begins = (pl.col("time").diff() > 1_000_000 * preparation.gap_seconds).fill_null(False)
        last = begins.cum_sum() == begins.sum()
    items = items.filter(last)
    if preparation.collapse:
        items = items.filter((items != items.shift()).fill_null(True))
    return items if preparation.max_length is None else items.tail(preparation.max_length)


def _recommended(
    recommender: Recommender, rows: pl.DataFrame, column: str, k: int, exclude_seen: bool
) -> pl.DataFrame:
    sessions = [session or [] for session in rows[column].to_list()]
    known = [recommender.vocabulary.encode(session) for session in sessions]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownItemWarning)  # they are counted in every row
        found = recommender.recommend(sessions, k, exclude_seen)
    made = pl.DataFrame(
        {
            "items": [[item for item, _ in best] for best in found],
            "scores": [[score for _, score in best] for best in found],
            "unknown": [session.count(-1) for session in known],
            "popular": [session.count(-1) == len(session) for session in known],
        },
        {
            "items": rows.schema[column],
            "scores": pl.List(pl.Float32),
            "unknown": pl.Int64,
            "popular": pl.Boolean,
        },
    )
    rest = rows.drop(column, *(name for name in made.columns if name in rows.columns), strict=False)
    return pl.concat([rest, made], how="horizontal")
