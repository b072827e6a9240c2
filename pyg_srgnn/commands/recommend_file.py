"""Recommendations for files of sessions, of any size, in parts that an interrupted run keeps."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from pyg_srgnn.clicklog.engine import open_engine
from pyg_srgnn.clicklog.layout import look_at, scan_parquet
from pyg_srgnn.clicklog.log_files import find_files, is_parquet
from pyg_srgnn.clicklog.new_log import for_new_log
from pyg_srgnn.clicklog.prepare import Preparation
from pyg_srgnn.clicklog.rules import last_sessions
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.utils.files import os_errors, written_aside
from pyg_srgnn.utils.progress import Bar

log = logging.getLogger(__name__)

_CLICKS_AT_ONCE = 1 << 22  # made sessions of in memory at once, about 0.8 GB
_OUTPUTS = (".parquet", ".jsonl")
_MADE: dict[str, Any] = {"scores": pl.List(pl.Float32), "unknown": pl.Int64, "popular": pl.Boolean}


def recommend_file(
    recommender: Recommender,
    path: str | Path | Sequence[str | Path],
    output: str | Path,
    k: int = 20,
    exclude_seen: bool = False,
    preparation: Preparation | None = None,
    key: str = "",
    sessions_at_once: int = 20_000,
    new_log: Mapping[str, Any] | None = None,
) -> int:
    """Recommend for every session of a file, or of a click log, in bounded memory.

    A Parquet file with a column of lists holds a session a row, whose other columns go into the
    output. Anything else is a click log, as ``dataset=click_log`` reads it, of which every session
    makes a row, and of a user whose clicks a gap cuts, the last one. It holds what training would
    see of it before rare items and short sessions are dropped.

    The output has the columns of the input (of a log: ``session``) and for each session ``items``
    (raw ids, best first), ``scores``, ``unknown`` (clicks on items that the model does not know)
    and ``popular`` (whether no item was known, so that these are the most popular ones). An input
    column with one of these names is left out, with a warning.

    Args:
        recommender: What recommends.
        path: A file, a glob, a folder, or several of them.
        output: A ``.parquet`` or ``.jsonl`` file.
        k: Number of items. (default: 20)
        exclude_seen: Whether a session's own items are left out. (default: False)
        preparation: The columns and rules of a click log. (default: ``Preparation()``)
        key: Names the model: parts of another one are not taken over. (default: ``""``)
        sessions_at_once: Sessions of a part. (default: 20,000)
        new_log: Fields of the preparation that are otherwise of this log than of the one that
            ``preparation`` was made for; columns that it lacks are guessed. (default: None, the
            log has the columns of ``preparation``)

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
            "settings": [key, k, exclude_seen, sessions_at_once, repr(preparation), new_log],
        },
    )
    vocabulary = recommender.vocabulary
    sessions, column = _sessions(files, preparation, new_log, vocabulary, work)
    total = sessions.select(pl.len()).collect().item()
    parts = []
    # One part at least: an input without rows gives an output with the same columns.
    starts = range(0, max(total, 1), sessions_at_once)
    with Bar("recommend", len(starts), "parts") as bar:
        for start in starts:
            part = work / f"part-{start:012d}.parquet"
            if not part.is_file():
                rows = sessions.slice(start, sessions_at_once).collect()
                found = _recommended(recommender, rows, column, k, exclude_seen)
                with written_aside(part) as aside:
                    found.write_parquet(aside)
            parts.append(part)
            bar.advance()
    with written_aside(output) as aside:
        whole = pl.scan_parquet(parts, glob=False)
        whole.sink_parquet(aside) if output.suffix == ".parquet" else whole.sink_ndjson(aside)
    shutil.rmtree(work)
    return int(total)


def kept(output: str | Path) -> str:
    """Describe what an interrupted recommendation of a file has finished."""
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
    files: Sequence[Path],
    preparation: Preparation,
    new_log: Mapping[str, Any] | None,
    vocabulary: Vocabulary,
    work: Path,
) -> tuple[pl.LazyFrame, str]:
    """The sessions, a row each, and the column that holds their clicks as the catalogue's ids."""
    whole = isinstance(vocabulary.ids[0], int)
    column = _list_column(files[0]) if is_parquet(files[0]) else None
    if column is not None:
        if new_log:
            raise ValueError(
                f"{files[0]}: column {column!r} holds a session a row, and "
                f"{', '.join(f'dataset.{name}' for name in new_log)} is for click logs; leave it "
                f"out"
            )
        for file in files[1:]:
            if _list_column(file) != column:
                raise ValueError(f"{file}: expected a column {column!r} of lists, as in {files[0]}")
        others = set(scan_parquet(files[0]).collect_schema()) - {column}
        if replaced := others & {"items", *_MADE}:
            warnings.warn(
                f"{files[0]}: columns of which the output has its own, which take their place: "
                f"{', '.join(sorted(replaced))}; rename them to keep them",
                stacklevel=3,
            )
        scans = [_with_ids(scan_parquet(file), column, whole) for file in files]
        return pl.concat(scans, how="vertical_relaxed"), column
    staged = sorted(work.glob("sessions/*.parquet"))
    if not (work / "sessions" / "whole").is_file():
        shutil.rmtree(work / "sessions", ignore_errors=True)
        if new_log is not None:
            preparation = for_new_log(preparation, files, new_log)
        staged = list(_grouped(files, preparation, whole, work))
        (work / "sessions" / "whole").touch()
    return _with_ids(pl.scan_parquet(staged, glob=False), "clicks", whole), "clicks"


def _list_column(file: Path) -> str | None:
    """The column of a Parquet file that holds lists; None where there is none.

    Raises:
        ValueError: If there are several, or they hold no ids.
    """
    schema = scan_parquet(file).collect_schema()
    lists = {name: kind for name, kind in schema.items() if isinstance(kind, pl.List | pl.Array)}
    if len(lists) > 1:
        raise ValueError(f"{file}: columns {', '.join(lists)} hold lists; expected one, of clicks")
    for name, kind in lists.items():
        inner = kind.inner
        if not (inner.is_integer() or inner in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
            raise ValueError(
                f"{file}: column {name!r} holds lists of {inner}; expected raw item ids, whole "
                f"numbers or text"
            )
    return next(iter(lists), None)


def _with_ids(sessions: pl.LazyFrame, column: str, whole: bool) -> pl.LazyFrame:
    """Ids of the catalogue's type; null stands for one that it cannot hold."""
    lists, inner = pl.col(column), sessions.collect_schema()[column].inner  # type: ignore[attr-defined]
    if whole and not inner.is_integer():
        lists = lists.cast(pl.List(pl.String))
        number = pl.element().cast(pl.Int64, strict=False)
        same = number.cast(pl.String) == pl.element()  # "0017" is not the item 17
        lists = lists.list.eval(pl.when(same).then(number))
    kind = pl.List(pl.Int64 if whole else pl.String)
    return sessions.with_columns(lists.cast(kind, strict=False))


def _grouped(
    files: Sequence[Path], preparation: Preparation, whole: bool, work: Path
) -> Iterator[Path]:
    """Write a click log's sessions, a row each, in files of which each fits into memory."""
    folder = work / "clicks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (work / "sessions").mkdir()
    engine = open_engine("polars")
    layout = look_at(tuple(files), preparation)
    log.info("%s", layout.describe())
    if not whole:
        layout = replace(layout, whole=layout.whole - {"item"})
    clicks, found = engine.read(layout, preparation, folder)
    pieces = 1 + found.rows // _CLICKS_AT_ONCE
    piece = (pl.col("session").hash(seed=0) % pieces).cast(pl.Int64).alias("piece")
    frame = clicks.to_native().with_columns(piece)
    places = engine.scatter(nw.from_native(frame), folder / "scattered")
    for number, place in enumerate(places):
        path = work / "sessions" / f"{number:06d}.parquet"
        of_piece = nw.from_native(pl.scan_parquet(place, hive_partitioning=False))
        aside = folder / f"piece-{number}"
        aside.mkdir()
        ordered = last_sessions(of_piece, preparation, engine, found, aside).to_native()
        with os_errors(path):
            (
                ordered.group_by("session", maintain_order=True)
                .agg(pl.col("item").alias("clicks"))
                .sink_parquet(path)
            )
        shutil.rmtree(aside)
        yield path
    if not places:  # no row passes dataset.where
        path = work / "sessions" / "none.parquet"
        schema = clicks.collect_schema().to_polars()
        none = pl.DataFrame(
            schema={"session": schema["session"], "clicks": pl.List(schema["item"])}
        )
        none.write_parquet(path)
        yield path
    shutil.rmtree(folder)


def _recommended(
    recommender: Recommender, rows: pl.DataFrame, column: str, k: int, exclude_seen: bool
) -> pl.DataFrame:
    sessions = [session or [] for session in rows[column].to_list()]
    answers = recommender.answer(sessions, k, exclude_seen)
    made = pl.DataFrame(
        {
            "items": [[item for item, _ in answer.items] for answer in answers],
            "scores": [[score for _, score in answer.items] for answer in answers],
            "unknown": [len(answer.unknown) for answer in answers],
            "popular": [answer.popular for answer in answers],
        },
        {"items": rows.schema[column], **_MADE},
    )
    rest = rows.drop(column, *(name for name in made.columns if name in rows.columns), strict=False)
    return pl.concat([rest, made], how="horizontal")
