"""The rules that look at one session alone, as narwhals expressions for every engine.

Every expression here is one that narwhals runs lazily on Polars, Spark and DuckDB alike: windows
name their order, and no window goes over all clicks at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import narwhals as nw

from pyg_srgnn.clicklog.clicks import Found
from pyg_srgnn.clicklog.engine import Engine
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.clicklog.tables import Tables
from pyg_srgnn.functional.marks import MICROS

Frame = nw.LazyFrame[Any]
_MICROS_OF_MILLI = 1_000


class Step(NamedTuple):
    """A rule, and how many clicks and sessions it left; None where sessions are not counted."""

    rule: str
    clicks: int
    sessions: int | None


def last_sessions(
    clicks: Frame, preparation: Preparation, engine: Engine, found: Found, folder: Path
) -> Frame:
    """Make sessions of clicks as training does, and keep the one that may continue.

    That is the last one of a user whose clicks a gap cuts. No session is too short here and no
    item too rare. Each session can be computed without the others.

    Args:
        clicks: The result of :func:`pyg_srgnn.clicklog.clicks.read_clicks`, not empty.
        preparation: The rules.
        engine: The engine that runs them.
        found: The log's counts and times.
        folder: The folder for intermediate files.

    Returns:
        ``session`` and ``item`` of each click, and its marks as in
        :class:`pyg_srgnn.clicklog.rules.Chosen`, sorted by session and then in its order.
    """
    rules = SessionRules(preparation, Tables(engine, folder), found)
    clicks, spans, _ = rules.run(clicks)
    if "part" in rules.by:
        last = spans.group_by("session").agg(nw.col("part").max())
        clicks = clicks.join(last, on=rules.by, how="semi")
    clicks = clicks.sort("session", *rules.keys)
    return clicks.select("session", "item", *rules.marks.values())


class SessionRules:
    """Makes sessions of clicks.

    Args:
        preparation: The rules.
        tables: Where what was computed is kept.
        found: What the log holds.

    Attributes:
        by: What tells sessions apart: ``session`` and, of what a gap cuts, ``part``.
        keys: What a session's clicks are sorted by.
        marks: What is kept of a click beside its item.
        of_user: What is kept of a session where users are known.

    Raises:
        ValueError: If a rule needs times and there are none.
    """

    def __init__(self, preparation: Preparation, tables: Tables, found: Found) -> None:
        self.preparation = preparation
        self.tables = tables
        self.found = found
        if preparation.gap_seconds is not None and not found.timed:
            raise ValueError("dataset.gap needs the times of the clicks; give dataset.time=COLUMN")
        if preparation.dedupe and not found.timed:
            raise ValueError(
                "dataset.dedupe needs the times of the clicks; dataset.collapse drops immediate "
                "repeats"
            )
        self.by = ["session"] if preparation.gap_seconds is None else ["session", "part"]
        first = {"time": ["time"], "file": []}.get(preparation.order, ["order"])
        self.keys = [*first, "row"]
        self.marks: dict[str, nw.Expr] = {}
        if preparation.event is not None:
            self.marks["event"] = nw.col("event")
        if preparation.pauses is not None:
            self.marks["clock"] = self._clock(preparation.pauses).alias("clock")
        self.of_user: list[str] = []
        if preparation.earlier_clicks:
            self.of_user = ["user", "start", "end"]
            if not found.timed:
                raise ValueError(
                    "dataset.user: which sessions of a user are earlier is known by the times of "
                    "the clicks; give dataset.time=COLUMN"
                )

    def _clock(self, pauses: str) -> nw.Expr:
        """The instant of each click, in microseconds since some other one."""
        if pauses == "order":
            return nw.col("order") * _MICROS_OF_MILLI
        if not self.found.timed:
            raise ValueError(
                "dataset.pauses=time needs the times of the clicks; give dataset.time=COLUMN"
            )
        return nw.col("time")

    def run(self, clicks: Frame) -> tuple[Frame, Frame, list[Step]]:
        """Apply the rules to whole sessions, whichever these are.

        Returns:
            The clicks; one row per session with ``n`` (clicks), ``first`` (row) and, where there
            are times, ``second``, and where users are known, ``user``, ``start`` and ``end``; how
            many clicks and sessions each rule left.
        """
        steps = []
        if self.preparation.gap_seconds is not None:
            clicks = self._sessionised(clicks, self.preparation.gap_seconds)
        rule = "without bad rows" if self.found.bad_rows else "sessions"
        if self.preparation.dedupe:
            steps.append(Step(rule, self.tables.rows(clicks), None))
            rule = "repeated rows dropped"
            same = [
                *self.by,
                "item",
                *self._event(),
                "time",
                *self.keys[:-1],
            ]
            clicks = clicks.unique(subset=sorted(set(same)), keep="first", order_by=["row"])
            clicks = self.tables.keep(clicks)
        # A session has the time and the place it had before any of its clicks was dropped.
        spans = self._spans(clicks)
        if self.of_user:
            spans = self._with_users(clicks, spans)
        steps.append(Step(rule, *self.tables.size(spans)))
        if self.preparation.collapse:
            clicks, spans = self._collapsed(clicks, spans)
            steps.append(Step("immediate repeats count once", *self.tables.size(spans)))
        if self.preparation.max_length is not None:
            longest = self.preparation.max_length
            clicks, spans = self._truncated(clicks, spans, longest)
            rule = f"the last {longest} clicks of longer sessions"
            steps.append(Step(rule, *self.tables.size(spans)))
        return clicks, spans, steps

    def _sessionised(self, clicks: Frame, gap: int) -> Frame:
        order = ["time", "row"]
        silence = nw.col("time").diff().over("session", order_by=order)
        clicks = clicks.with_columns(new=(silence > gap * MICROS).fill_null(False).cast(nw.Int64))
        part = nw.col("new").cum_sum().over("session", order_by=order)
        return self.tables.keep(clicks.with_columns(part=part).drop("new"))

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
        clicks = self.tables.keep(clicks.filter(~again).drop(*same))
        return clicks, self._counted_again(clicks, spans)

    def _truncated(self, clicks: Frame, spans: Frame, longest: int) -> tuple[Frame, Frame]:
        long = spans.filter(nw.col("n") > longest)
        if not self.tables.size(long)[1]:  # most logs have none, and need no window
            return clicks, spans
        from_end = nw.col("row").cum_count(reverse=True).over(*self.by, order_by=self.keys)
        tail = clicks.join(long, on=self.by, how="semi").with_columns(from_end=from_end)
        tail = tail.filter(nw.col("from_end") <= longest).drop("from_end")
        short = clicks.join(long, on=self.by, how="anti")
        clicks = self.tables.keep(nw.concat([short, tail], how="vertical"))
        return clicks, self._counted_again(clicks, spans)

    def _counted_again(self, clicks: Frame, spans: Frame) -> Frame:
        lengths = clicks.group_by(*self.by).agg(nw.len().alias("n"))
        return self.tables.keep(spans.drop("n").join(lengths, on=self.by, how="inner"))

    def _spans(self, clicks: Frame) -> Frame:
        """Clicks of each session, its first row and its time in seconds."""
        asked = [nw.len().alias("n"), nw.col("row").min().alias("first")]
        if not self.found.timed:
            return self.tables.keep(clicks.group_by(*self.by).agg(*asked))
        if self.preparation.order == "time":
            asked.append(nw.col("time").max().alias("second"))
            spans = clicks.group_by(*self.by).agg(*asked)
            return self.tables.keep(spans.with_columns(second=nw.col("second") // MICROS))
        # The time of the last row in the file: SR-GNN's script dates a session so. A greatest
        # value by another column is not portable, so both are packed into one whole number.
        start, seconds = span_of(self.found)
        size = fitting(seconds, self.found.rows)
        second = nw.col("time") // MICROS - start
        clicks = clicks.with_columns(packed=nw.col("row") * size + second)
        asked.append(nw.col("packed").max().alias("second"))
        spans = clicks.group_by(*self.by).agg(*asked)
        return self.tables.keep(spans.with_columns(second=nw.col("second") % size + start))

    def _with_users(self, clicks: Frame, spans: Frame) -> Frame:
        """The spans with the first and the last second of each session, and its user.

        That is the user of its first click: a later one is not known yet when it begins.
        """
        ends = {"start": nw.col("time").min(), "end": nw.col("time").max()}
        found = clicks.group_by(*self.by).agg(*(at.alias(name) for name, at in ends.items()))
        found = found.with_columns(**{name: nw.col(name) // MICROS for name in ends})
        if self.preparation.of_users:
            users = found.with_columns(user=nw.col("session"))
        else:
            number = nw.col("row").cum_count().over(*self.by, order_by=["time", "row"])
            first = clicks.with_columns(number=number).filter(nw.col("number") == 1)
            users = found.join(first.select(*self.by, "user"), on=self.by, how="inner")
        return self.tables.keep(spans.join(users, on=self.by, how="inner"))


def span_of(found: Found) -> tuple[int, int]:
    """The first second of a log, and how many it spans."""
    start = found.first // MICROS
    return start, found.last // MICROS - start


def fitting(low: int, high: int) -> int:
    """The factor that packs two whole numbers, 0 … high and 0 … low, into one of 64 bits."""
    size = 1 << low.bit_length()
    if high * size >= 1 << 62:  # only numbers of no unit lie so far apart
        raise ValueError("the times of this log lie too far apart; give dataset.time_format")
    return size
