"""The rules that make sessions of clicks, as narwhals expressions for every engine.

Every expression here is one that narwhals runs lazily on Polars, Spark and DuckDB alike: windows
name their order, and no window goes over all clicks at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from pyg_srgnn.clicklog.clicks import Found
from pyg_srgnn.clicklog.engine import Engine
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.data.vocabulary import Vocabulary

Frame = nw.LazyFrame[Any]
_MICROS = 1_000_000
_MICROS_OF_MILLI = 1_000
_PIECE = 4_000_000  # clicks that are sorted at once


@dataclass(frozen=True)
class Chosen:
    """The clicks that the rules left.

    Args:
        pieces: Folders of Parquet files, one for every ``size`` sessions: ``s`` (number of
            the session, in time order), ``code`` (of the item), ``keys``, ``marks`` and, where
            there are times, ``time``; in no order.
        size: Sessions of a piece.
        keys: What a session's clicks are sorted by.
        sessions: ``n`` (clicks) and ``second`` (the time), a row a session in order of s.
        items: ``item`` (raw id), a row an item in order of code.
        steps: For every rule, how many clicks and sessions it left.
        timed: Whether there are times.
        marks: What is kept of a click beside its item: ``event`` and ``clock``, in microseconds.
            (default: nothing)
    """

    pieces: list[Path]
    size: int
    keys: list[str]
    sessions: pl.DataFrame
    items: pl.DataFrame
    steps: list[dict[str, Any]]
    timed: bool
    marks: Sequence[str] = ()


def filtered(
    clicks: Frame,
    preparation: Preparation,
    engine: Engine,
    found: Found,
    folder: Path,
    vocabulary: Vocabulary | None = None,
) -> Chosen:
    """Make sessions of clicks and drop what is too short or too rare.

    Args:
        clicks: What :func:`pyg_srgnn.clicklog.clicks.read_clicks` gives.
        preparation: The rules.
        engine: What runs them.
        found: What the log holds.
        folder: Where intermediate files go.
        vocabulary: Items that are never too rare. (default: none)

    Raises:
        ValueError: If a rule leaves no click; names it.
    """
    rules = _Rules(preparation, engine, folder, found)
    return rules.run(clicks, [] if vocabulary is None else vocabulary.ids)


def last_sessions(
    clicks: Frame, preparation: Preparation, engine: Engine, found: Found, folder: Path
) -> Frame:
    """Make sessions of clicks as :func:`filtered` does, and keep the one that may continue.

    That is the last one of a user whose clicks a gap cuts. No session is too short here and no
    item too rare. Each session can be computed without the others.

    Args:
        clicks: The result of :func:`pyg_srgnn.clicklog.clicks.read_clicks`, not empty.
        preparation: The rules.
        engine: The engine that runs them.
        found: The log's counts and times.
        folder: The folder for intermediate files.

    Returns:
        ``session`` and ``item`` of each click, and its marks as in :class:`Chosen`, sorted by
        session and then in its order.
    """
    rules = _Rules(preparation, engine, folder, found)
    clicks, spans = rules.sessions(clicks)
    if "part" in rules.by:
        last = spans.group_by("session").agg(nw.col("part").max())
        clicks = clicks.join(last, on=rules.by, how="semi")
    clicks = clicks.sort("session", *rules.keys)
    return clicks.select("session", "item", *rules.marks.values())


class _Rules:
    def __init__(
        self, preparation: Preparation, engine: Engine, folder: Path, found: Found
    ) -> None:
        self.preparation = preparation
        self.engine = engine
        self.folder = folder
        self.found = found
        self.steps = [{"rule": "read", "clicks": found.rows, "sessions": None}]
        self.by = ["session"]
        first = {"time": ["time"], "file": []}.get(preparation.order, ["order"])
        self.keys = [*first, "row"]
        self.kept = 0
        self.marks: dict[str, nw.Expr] = {}
        if preparation.event is not None:
            self.marks["event"] = nw.col("event")
        if preparation.pauses is not None:
            self.marks["clock"] = self._clock(preparation.pauses).alias("clock")

    def _clock(self, pauses: str) -> nw.Expr:
        """The instant of each click, in microseconds since some other one."""
        if pauses == "order":
            return nw.col("order") * _MICROS_OF_MILLI
        if not self.found.timed:
            raise ValueError(
                "dataset.pauses=time needs the times of the clicks; give dataset.time=COLUMN"
            )
        return nw.col("time")

    def run(self, clicks: Frame, known: list[int | str]) -> Chosen:
        if self.preparation.where:
            rule = ", ".join(f"{k}={v}" for k, v in self.preparation.where.items())
            self._count(f"rows with {rule}", self.found.chosen)
        clicks, spans = self.sessions(clicks)
        shorter = f"sessions of fewer than {self.preparation.min_length} clicks dropped"
        spans = self._keep(spans.filter(nw.col("n") >= self.preparation.min_length))
        self._count(shorter, *self._size(spans))
        return self._numbered(clicks, *self._long_and_common(clicks, spans, known))

    def sessions(self, clicks: Frame) -> tuple[Frame, Frame]:
        """The rules that look at one session alone: its clicks, and the spans of all sessions."""
        if self.preparation.gap_seconds is not None:
            clicks = self._sessionised(clicks, self.preparation.gap_seconds)
        rule = "without bad rows" if self.found.bad_rows else "sessions"
        if self.preparation.dedupe:
            self._count(rule, self.engine.one_row(clicks.select(nw.len().alias("n")))["n"])
            rule = "repeated rows dropped"
            same = [
                *self.by,
                "item",
                *self._event(),
                *(["time"] if self.found.timed else []),
                *self.keys[:-1],
            ]
            clicks = clicks.unique(subset=sorted(set(same)), keep="first", order_by=["row"])
            clicks = self._stored(clicks)
        # A session has the time and the place it had before any of its clicks was dropped.
        spans = self._spans(clicks)
        self._count(rule, *self._size(spans))
        if self.preparation.collapse:
            clicks, spans = self._collapsed(clicks, spans)
        if self.preparation.max_length is not None:
            clicks, spans = self._truncated(clicks, spans, self.preparation.max_length)
        return clicks, spans

    def _sessionised(self, clicks: Frame, gap: int) -> Frame:
        if not self.found.timed:
            raise ValueError("dataset.gap needs the times of the clicks; give dataset.time=COLUMN")
        order = ["time", "row"]
        silence = nw.col("time").diff().over("session", order_by=order)
        clicks = clicks.with_columns(new=(silence > gap * _MICROS).fill_null(False).cast(nw.Int64))
        part = nw.col("new").cum_sum().over("session", order_by=order)
        self.by = ["session", "part"]
        return self._stored(clicks.with_columns(part=part).drop("new"))

    def _event(self) -> list[str]:
        """The column of the clicks' types, if there is one."""
        return [name for name in self.marks if name == "event"]

    def _collapsed(self, clicks: Frame, spans: Frame) -> tuple[Frame, Frame]:
        same = {f"{name}_before": name for name in ("item", *self._event())}
        clicks = clicks.with_columns(
            nw.col(name).shift(1).over(*self.by, order_by=self.keys).alias(before)
            for before, name in same.items()
        )
        repeats = [nw.col(before) == nw.col(name) for before, name in same.items()]
        again = nw.all_horizontal(*repeats, ignore_nulls=False).fill_null(False)
        clicks = self._stored(clicks.filter(~again).drop(*same))
        spans = self._counted_again(clicks, spans)
        self._count("immediate repeats count once", *self._size(spans))
        return clicks, spans

    def _truncated(self, clicks: Frame, spans: Frame, longest: int) -> tuple[Frame, Frame]:
        long = spans.filter(nw.col("n") > longest)
        if self._size(long)[1]:  # most logs have none, and need no window
            from_end = nw.col("row").cum_count(reverse=True).over(*self.by, order_by=self.keys)
            tail = clicks.join(long, on=self.by, how="semi").with_columns(from_end=from_end)
            tail = tail.filter(nw.col("from_end") <= longest).drop("from_end")
            short = clicks.join(long, on=self.by, how="anti")
            clicks = self._stored(nw.concat([short, tail], how="vertical"))
            spans = self._counted_again(clicks, spans)
        self._count(f"the last {longest} clicks of longer sessions", *self._size(spans))
        return clicks, spans

    def _counted_again(self, clicks: Frame, spans: Frame) -> Frame:
        lengths = clicks.group_by(*self.by).agg(nw.len().alias("n"))
        return self._keep(spans.drop("n").join(lengths, on=self.by, how="inner"))

    def _long_and_common(
        self, clicks: Frame, spans: Frame, known: list[int | str]
    ) -> tuple[Frame, Frame]:
        known_items = self._known(known) if known else None
        least, support = self.preparation.min_length, self.preparation.min_support
        longest = self.preparation.drop_longer
        sessions, size = spans, self._size(spans)
        while True:
            within = clicks.join(sessions, on=self.by, how="semi")
            items = within.group_by("item").agg(nw.len().alias("n"))
            common = nw.col("n") >= support
            if known_items is not None:
                items = items.join(known_items, on="item", how="left")
                common |= ~nw.col("known").is_null()
            items = self._keep(items.filter(common).select("item", "n"))
            # Few clicks are on rare items: these are counted, not those that stay.
            rare = clicks.join(items, on="item", how="anti")
            gone = rare.group_by(*self.by).agg(nw.len().alias("gone"))
            left = spans.join(gone, on=self.by, how="left").with_columns(
                n=nw.col("n") - nw.col("gone").fill_null(0)
            )
            lengths = self._keep(left.filter(nw.col("n") > 0).drop("gone"))
            before, size = size, self._size(lengths)
            self._count(f"items of fewer than {support} clicks dropped", *size)
            sessions = lengths.filter(nw.col("n") >= least)
            size = self._size(sessions)
            self._count(f"sessions of fewer than {least} clicks dropped", *size)
            if longest is not None:
                sessions = sessions.filter(nw.col("n") <= longest)
                size = self._size(sessions)
                self._count(f"sessions of more than {longest} clicks dropped", *size)
            if not self.preparation.until_stable or size == before:
                return sessions, items
            # What was dropped does not come back: a session that was too long could shrink.
            spans = self._keep(spans.join(sessions, on=self.by, how="semi"))

    def _numbered(self, clicks: Frame, sessions: Frame, items: Frame) -> Chosen:
        place = nw.col("first")
        if self.found.timed:  # by time, then by first row: one whole number is sorted far faster
            start, seconds = self._seconds()
            place += (nw.col("second") - start) * self._fitting(self.found.rows, seconds)
        sessions = sessions.with_columns(place=place).with_row_index("s", order_by=["place"])
        sessions = self._keep(sessions.drop("place"))
        items = self._keep(items.with_row_index("code", order_by="item"))
        columns = ["s", "code", *self.keys]
        if self.found.timed and "time" not in columns:
            columns.append("time")
        joined = clicks.join(items.select("item", "code"), on="item", how="inner").join(
            sessions.select(*self.by, "s"), on=self.by, how="inner"
        )
        clicks_left, count = self._size(sessions)
        size = max(1, _PIECE * count // clicks_left)
        joined = joined.with_columns(piece=nw.col("s").cast(nw.Int64) // size)
        second = ["second"] if self.found.timed else []
        return Chosen(
            self.engine.scatter(
                joined.select(*columns, *self.marks.values(), "piece"), self._path()
            ),
            size,
            self.keys,
            self._table(sessions.select("s", "n", *second), "s"),
            self._table(items.select("code", "item"), "code"),
            self.steps,
            self.found.timed,
            list(self.marks),
        )

    def _known(self, ids: list[int | str]) -> Frame:
        """A vocabulary as a table: only Polars can filter by a long list of values."""
        path = self._path().with_suffix(".parquet")
        pl.DataFrame({"item": ids, "known": True}).write_parquet(path)
        return self.engine.scan(path)

    def _spans(self, clicks: Frame) -> Frame:
        """Clicks of each session, its first row and its time in seconds."""
        asked = [nw.len().alias("n"), nw.col("row").min().alias("first")]
        if not self.found.timed:
            return self._keep(clicks.group_by(*self.by).agg(*asked))
        if self.preparation.order == "time":
            asked.append(nw.col("time").max().alias("second"))
            spans = clicks.group_by(*self.by).agg(*asked)
            return self._keep(spans.with_columns(second=nw.col("second") // _MICROS))
        # The time of the last row in the file: SR-GNN's script dates a session so. A greatest
        # value by another column is not portable, so both are packed into one whole number.
        start, seconds = self._seconds()
        size = self._fitting(seconds, self.found.rows)
        second = nw.col("time") // _MICROS - start
        clicks = clicks.with_columns(packed=nw.col("row") * size + second)
        asked.append(nw.col("packed").max().alias("second"))
        spans = clicks.group_by(*self.by).agg(*asked)
        return self._keep(spans.with_columns(second=nw.col("second") % size + start))

    def _seconds(self) -> tuple[int, int]:
        """The first second of the log, and how many it spans."""
        start = self.found.first // _MICROS
        return start, self.found.last // _MICROS - start

    def _fitting(self, low: int, high: int) -> int:
        """The factor that packs two whole numbers, 0 … high and 0 … low, into one of 64 bits."""
        size = 1 << low.bit_length()
        if high * size >= 1 << 62:  # only numbers of no unit lie so far apart
            raise ValueError("the times of this log lie too far apart; give dataset.time_format")
        return size

    def _count(self, rule: str, clicks: int, sessions: int | None = None) -> None:
        before = self.steps[-1]
        self.steps.append({"rule": rule, "clicks": clicks, "sessions": sessions})
        if not clicks:
            raise ValueError(
                f"no session is left: of {before['clicks']:,} clicks, none passes the rule "
                f"{rule!r}" + _remedy(rule)
            )

    def _size(self, lengths: Frame) -> tuple[int, int]:
        asked = lengths.select(nw.col("n").sum().alias("clicks"), nw.len().alias("rows"))
        answer = self.engine.one_row(asked)
        return int(answer["clicks"] or 0), int(answer["rows"])

    def _path(self) -> Path:
        self.kept += 1
        return self.folder / f"kept-{self.kept}"

    def _keep(self, frame: Frame) -> Frame:
        return self.engine.keep(frame, self._path())

    def _stored(self, frame: Frame) -> Frame:
        return self.engine.store(frame, self._path())

    def _table(self, frame: Frame, order: str) -> pl.DataFrame:
        return self.engine.gather(frame, self._path()).sort(order)


def _remedy(rule: str) -> str:
    if rule.startswith("items"):
        return "; lower dataset.min_support"
    if rule.startswith("sessions of"):
        return "; lower dataset.min_length, or is dataset.session the right column?"
    return "; look at dataset.where" if rule.startswith("rows with") else ""
