"""The models of an A/B test, by the answers of a service and the clicks that followed them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pyg_srgnn.evaluation.samples import Floats
from pyg_srgnn.evaluation.significance import draws
from pyg_srgnn.functional.marks import EARLIEST, LATEST, MICROS
from pyg_srgnn.functional.metrics import K

_KEYS = {"time", "session", "model", "items", "recommended"}
_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    # Ids are what the log has, as texts: 0017 is not 17.
    ".csv": partial(pl.read_csv, schema_overrides={"session": pl.String, "item": pl.String}),
    ".parquet": pl.read_parquet,
    ".jsonl": pl.read_ndjson,
}

Clicks = Mapping[str, Sequence[tuple[float, str]]]  # of each session: seconds and items, in time


class Given(NamedTuple):
    """An answer of a service."""

    time: float
    session: str
    model: str
    items: list[str]
    """The clicks of the session so far; ids as texts, as everywhere here."""
    recommended: list[str]


class Answers(NamedTuple):
    """The log of a service."""

    given: list[Given]
    """In the order of the file."""
    anonymous: int
    """Answers without a session's key, which are left out."""
    broken: int
    """Lines that are no answer, as a service that is killed leaves one."""


def read_answers(path: str | Path) -> Answers:
    """Read the log of answers that a service has written.

    Args:
        path: The file of ``answers=FILE``.

    Raises:
        ValueError: If more lines are no answers than a killed service leaves; names the first.
    """
    given, anonymous, broken = [], 0, []
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            try:
                found = _answer(line)
            except (ValueError, TypeError):
                broken.append(number)
                continue
            if found is None:
                anonymous += 1
            else:
                given.append(found)
    if len(broken) > 1 + len(given) // 100:
        raise ValueError(
            f"{path}: line {broken[0]:,} (and {len(broken) - 1:,} more) is no answer of a service; "
            f"expected an object with {', '.join(sorted(_KEYS))}"
        )
    return Answers(given, anonymous, len(broken))


def _answer(line: str) -> Given | None:
    """The answer of a line; None of one without a session's key.

    Raises:
        ValueError: If it is none.
        TypeError: Likewise.
    """
    found = json.loads(line)
    if not isinstance(found, dict) or not found.keys() >= _KEYS:
        raise ValueError("no answer of a service")
    if found["session"] is None:
        return None
    seconds = datetime.fromisoformat(found["time"]).timestamp()
    ids = (list(map(str, found[name])) for name in ("items", "recommended"))
    return Given(seconds, str(found["session"]), str(found["model"]), *ids)


def read_clicks(path: str | Path) -> Clicks:
    """Read later clicks: a table with columns ``session``, ``item`` and ``time``.

    Args:
        path: .csv, .parquet or .jsonl; times are seconds since 1970 UTC, or texts in ISO 8601.

    Raises:
        ValueError: If the file is of another kind, a column is missing, or a time is before 1990 or
            after 2100, as one in another unit is; names the row.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise ValueError(f"{path}: expected a file {', '.join(_READERS)} of clicks")
    try:
        table = _READERS[path.suffix](path)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} cannot be read as {path.suffix}: {error}") from error
    if missing := {"session", "item", "time"} - set(table.columns):
        raise ValueError(
            f"{path}: column {', '.join(sorted(missing))} is missing among "
            f"{', '.join(table.columns)}"
        )
    for name in ("session", "item", "time"):
        if len(rows := table[name].is_null().arg_true()):
            raise ValueError(f"{path}: row {rows[0] + 1:,} has no {name}")
    try:
        if table.schema["time"] == pl.String:
            table = table.with_columns(pl.col("time").str.to_datetime(time_zone="UTC"))
        if table.schema["time"].is_temporal():
            table = table.with_columns(pl.col("time").dt.epoch("us") / 1e6)
        columns = (pl.col("session", "item").cast(pl.String), pl.col("time").cast(pl.Float64))
        table = table.select(*columns)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path}: column time: {error}") from error
    times = table["time"]
    if len(rows := (~times.is_between(EARLIEST / MICROS, LATEST / MICROS)).arg_true()):
        raise ValueError(
            f"{path}: row {rows[0] + 1:,} has the time {times[rows[0]]:.15g}, before 1990 or after "
            f"2100; expected seconds since 1970, such as 1396867869, or ISO 8601"
        )
    table = table.sort("time", maintain_order=True)
    found = defaultdict(list)
    for session, item, time in table.iter_rows():
        found[session].append((time, item))
    return found


def compare_models(
    answers: Answers, clicks: Clicks | None = None, resamples: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """Hit rate and reciprocal rank of each model's lists, by the click that followed.

    The next click of a session is that of its next request in the log, which has one more item, or,
    where ``clicks`` are given, the first of the session behind the answer. Answers that no click
    followed are left out, and sessions that both models answered. Intervals and p are of a
    bootstrap that draws sessions, of each model by itself: its answers hang together, and other
    people could have come.

    Args:
        answers: What :func:`read_answers` gives.
        clicks: What :func:`read_clicks` gives. (default: those in the log)
        resamples: Draws of the bootstrap. (default: 10,000)
        seed: Seed of the draws. (default: 0)

    Returns:
        ``k``, ``models`` (of each: sessions, answers, ``hr`` and ``mrr`` in percent with ``low``
        and ``high``), the ``difference`` B - A with p, if there are two, and what was left out.

    Raises:
        ValueError: If no click followed an answer.
    """
    models: dict[str, set[str]] = defaultdict(set)
    for one in answers.given:
        models[one.session].add(one.model)
    changed = {session for session, names in models.items() if len(names) > 1}
    every = list(_followed(answers.given, clicks))
    followed = [pair for pair in every if pair[0].session not in changed]
    if not followed:
        raise ValueError(
            f"no click followed any of {len(answers.given):,} answers of sessions with a key; give "
            f"the later ones with --clicks, or send every click of a session"
        )
    k = min(K, max(len(one.recommended) for one, _ in followed))
    names = sorted({one.model for one, _ in followed})
    drawn: dict[str, Floats] = {}
    found: dict[str, Any] = {}
    for place, name in enumerate(names):
        sums = _sums([pair for pair in followed if pair[0].model == name], k)
        totals = np.concatenate([of @ sums for of in draws(len(sums), resamples, seed + place)])
        drawn[name] = 100 * totals[:, 1:] / totals[:, :1]
        count, *both = sums.sum(axis=0)
        values = zip(("hr", "mrr"), both, drawn[name].T, strict=True)
        found[name] = {"sessions": len(sums), "answers": int(count)} | {
            metric: {"mean": 100 * total / count} | _interval(of) for metric, total, of in values
        }
    result: dict[str, Any] = {"k": k, "models": found, "resamples": resamples, "seed": seed}
    if len(names) == 2:
        first, second = names
        apart = drawn[second] - drawn[first]
        result["difference"] = {
            metric: {"mean": found[second][metric]["mean"] - found[first][metric]["mean"]}
            | _interval(of)
            | {"p": _p(of)}
            for metric, of in zip(("hr", "mrr"), apart.T, strict=True)
        }
    return result | {
        "left_out": {
            "answers without a later click": len(answers.given) - len(every),
            "answers without a session": answers.anonymous,
            "sessions of both models": len(changed),
            "broken lines": answers.broken,
        }
    }


def _followed(given: Sequence[Given], clicks: Clicks | None) -> Iterator[tuple[Given, str]]:
    """The answers that a click followed, each with its item."""
    if clicks is not None:
        for one in given:
            later = (item for time, item in clicks.get(one.session, ()) if time > one.time)
            if (item := next(later, None)) is not None:
                yield one, item
        return
    before: dict[str, Given] = {}
    most = max((len(one.items) for one in given), default=0)
    for one in given:
        last = before.get(one.session)
        if last is not None and one.items and one.items != last.items:  # not asked again
            # A service keeps the last clicks of a session: of a long one, the first is gone.
            full = len(one.items) == len(last.items) == most
            if one.items[:-1] == (last.items[1:] if full else last.items):
                yield last, one.items[-1]
        before[one.session] = one


def _sums(followed: Sequence[tuple[Given, str]], k: int) -> Floats:
    """Of every session: answers, hits and reciprocal ranks [S, 3]."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for one, item in followed:
        best = one.recommended[:k]
        rank = best.index(item) + 1 if item in best else None
        row = sums[one.session]
        row[0] += 1
        row[1] += rank is not None
        row[2] += 0 if rank is None else 1 / rank
    return np.array(list(sums.values()))


def _interval(drawn: NDArray[np.float64]) -> dict[str, float]:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"low": float(low), "high": float(high)}


def _p(drawn: NDArray[np.float64]) -> float:
    """Two-sided, as :func:`pyg_srgnn.evaluation.significance.bootstrap` has it."""
    beyond = 1 + min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * beyond / (len(drawn) + 1))
