"""Recommends for files of sessions of any size, in parts, so that an interrupted run resumes."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pyg_srgnn.clicklog.files import find_files
from pyg_srgnn.clicklog.session_rows import MARKS, session_rows
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.inference.clicks import Clicks, check_types
from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.utils.files import write_text, written_aside
from pyg_srgnn.utils.lock import sole_writer
from pyg_srgnn.utils.progress import Bar

_OUTPUTS = (".parquet", ".jsonl")
_MADE: dict[str, Any] = {"scores": pl.List(pl.Float32), "unknown": pl.Int64, "popular": pl.Boolean}


def recommend_file(
    recommender: Recommender,
    path: str | Path | Sequence[str | Path],
    output: str | Path,
    k: int = 20,
    rules: Rules | None = None,
    preparation: Preparation | None = None,
    key: str = "",
    sessions_at_once: int = 20_000,
    new_log: Mapping[str, Any] | None = None,
) -> int:
    """Recommend for every session of a file, or of a click log, in bounded memory.

    A Parquet file with a column of lists holds one session per row, and may have the types and the
    times of its clicks in lists ``types`` and ``times``; its other columns are copied to the
    output. Any other input is a click log, read as ``dataset=click_log`` reads it. Its
    sessions are those of training before rare items and short sessions are dropped; of a user
    whose clicks a gap cuts into several sessions, only the last one is used.

    The output has the columns of the input (of a log: ``session``) and for each session ``items``
    (raw ids, best first), ``scores``, ``unknown`` (number of clicks on items that the model does
    not know) and ``popular`` (whether no item is known, so that the most popular ones are
    recommended); of a catalogue with cold items also ``cold`` (whether each of the items is one,
    without a click in training), and of rules that leave out items ``reason`` (why a list is
    empty). An input column with one of these names is left out, with a
    warning.

    Args:
        recommender: The recommender.
        path: A file, a glob, a folder, or several of them.
        output: A ``.parquet`` or ``.jsonl`` file.
        k: Number of items. (default: 20)
        rules: Rules of what is recommended. (default: none)
        preparation: The columns and rules of a click log. (default: ``Preparation()``)
        key: Identifies the model and the attributes, so that parts of others are not reused.
            (default: ``""``)
        sessions_at_once: Sessions of a part. (default: 20,000)
        new_log: Fields of ``preparation`` that differ for this log; columns that it lacks are
            guessed. (default: None, the log has the columns of ``preparation``)

    Returns:
        The number of sessions.

    Raises:
        ValueError: If the input cannot be read as sessions, a click has a type that the model does
            not know, the output has another suffix, or another command is writing it.
        FileNotFoundError: If there is no such file.
    """
    output = Path(output)
    if output.suffix not in _OUTPUTS:
        raise ValueError(f"output={output}: expected a file that ends in {' or '.join(_OUTPUTS)}")
    files = find_files(path)
    if output.resolve() in {file.resolve() for file in files}:
        raise ValueError(f"output={output}: this is a file of the input; name another one")
    preparation = preparation or Preparation()
    work, rules = _work(output), rules or Rules()
    with sole_writer(output):
        _keep_parts_of(
            work,
            {
                "files": [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files],
                "settings": [key, k, rules.key, sessions_at_once, repr(preparation), new_log],
            },
        )
        whole = isinstance(recommender.vocabulary.ids[0], int)
        sessions, column = session_rows(files, preparation, new_log, whole, work)
        schema = sessions.collect_schema()
        marks = [
            name
            for name in MARKS
            if isinstance(schema.get(name), pl.List | pl.Array) and name != column
        ]
        others = {*schema} - {column, *marks}
        made = {"items", *_MADE} | ({"cold"} if recommender.cold else set())
        made |= {"reason"} if rules.bars else set()
        if replaced := others & made:
            warnings.warn(
                f"{files[0]}: columns of which the output has its own, which take their place: "
                f"{', '.join(sorted(replaced))}; rename them to keep them",
                stacklevel=2,
            )
        total = sessions.select(pl.len()).collect().item()
        parts = []
        # One part at least: an input without rows gives an output with the same columns.
        starts = range(0, max(total, 1), sessions_at_once)
        with Bar("recommend", len(starts), "parts") as bar:
            for start in starts:
                part = work / f"part-{start:012d}.parquet"
                if not part.is_file():
                    rows = sessions.slice(start, sessions_at_once).collect()
                    clicks = _sessions(rows, [column, *marks], start, files[0], recommender.types)
                    rest = rows.drop(column, *marks)
                    found = _recommended(recommender, clicks, rest, rows.schema[column], k, rules)
                    with written_aside(part) as aside:
                        found.write_parquet(aside)
                parts.append(part)
                bar.advance()
        with written_aside(output) as aside:
            table = pl.scan_parquet(parts, glob=False)
            table.sink_parquet(aside) if output.suffix == ".parquet" else table.sink_ndjson(aside)
        shutil.rmtree(work)
        return int(total)


def kept(output: str | Path) -> str:
    """Describe what an interrupted recommendation of a file has finished."""
    parts = len(list(_work(Path(output)).glob("part-*.parquet")))
    return f"{parts:,} part{'' if parts == 1 else 's'}" if parts else "nothing"


def _work(output: Path) -> Path:
    return output.with_name(f".{output.name}.parts")


def _keep_parts_of(work: Path, task: dict[str, Any]) -> None:
    """Keep the parts of this very task; remove those of any other."""
    note = work / "task.json"
    text = json.dumps(task)
    if note.is_file() and note.read_text(encoding="utf-8") == text:
        return
    shutil.rmtree(work, ignore_errors=True)
    write_text(note, text)


def _sessions(
    rows: pl.DataFrame, columns: Sequence[str], start: int, file: Path, types: Collection[str]
) -> list[Clicks]:
    """The sessions of a part, with the marks of their clicks.

    Args:
        rows: The part.
        columns: The column of the clicks, and those of their marks.
        start: Rows before the part.
        file: The input, which errors name.
        types: The types of clicks that the model knows.

    Raises:
        ValueError: If a session has not as many marks as clicks, or a type is unknown; names the
            row.
    """
    found = []
    for row, (items, *marks) in enumerate(rows.select(columns).iter_rows(), start + 1):
        try:
            session = Clicks(items or [], **dict(zip(columns[1:], marks, strict=True)))
            check_types(session, types)
        except ValueError as error:
            raise ValueError(f"{file}, session {row}: {error}") from error
        found.append(session)
    return found


def _recommended(
    recommender: Recommender,
    sessions: Sequence[Clicks],
    rest: pl.DataFrame,
    ids: Any,
    k: int,
    rules: Rules,
) -> pl.DataFrame:
    """The output for some sessions, beside the other columns of the input; ids have a type."""
    answers = recommender.answer(sessions, k, [rules])
    made = pl.DataFrame(
        {
            "items": [[item for item, _ in answer.items] for answer in answers],
            "scores": [[score for _, score in answer.items] for answer in answers],
            "unknown": [len(answer.unknown) for answer in answers],
            "popular": [answer.popular for answer in answers],
        },
        {"items": ids, **_MADE},
    )
    if recommender.cold:
        cold = [[item in answer.cold for item, _ in answer.items] for answer in answers]
        made = made.with_columns(pl.Series("cold", cold, pl.List(pl.Boolean)))
    if rules.bars:
        reasons = pl.Series("reason", [answer.reason for answer in answers], pl.String)
        made = made.with_columns(reasons)
    rest = rest.drop(made.columns, strict=False)
    return pl.concat([rest, made], how="horizontal")
