"""Makes sessions of clicks, drops what is too short or too rare, and puts the rest in time order.

A log that does not fit into memory comes in parts, each with whole sessions. What looks at one
session alone is done part by part; of items and of the order of sessions the parts make one table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from pyg_srgnn.clicklog.clicks import Found
from pyg_srgnn.clicklog.engine import Engine
from pyg_srgnn.clicklog.session_rules import SessionRules, fitting, span_of
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.clicklog.tables import Tables
from pyg_srgnn.data.vocabulary import Vocabulary

Frame = nw.LazyFrame[Any]
_PIECE = 4_000_000  # clicks that are sorted at once


@dataclass(frozen=True)
class Chosen:
    """The clicks that the rules left.

    Args:
        pieces: For every ``size`` sessions the folders of its Parquet files: ``s`` (number of
            the session, in time order), ``code`` (of the item), ``keys``, ``marks`` and, where
            there are times, ``time``; in no order.
        size: Sessions of a piece.
        keys: What a session's clicks are sorted by.
        sessions: ``n`` (clicks), ``second`` (the time) and, where users are known, ``user``,
            ``start`` and ``end`` (seconds of its first and last click), one row per session in
            order of s.
        items: ``item`` (raw id), one row per item in order of code.
        steps: For every rule, how many clicks and sessions it left.
        timed: Whether there are times.
        marks: What is kept of a click beside its item: ``event`` and ``clock``, in microseconds.
            (default: nothing)
    """

    pieces: list[list[Path]]
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


@dataclass(frozen=True)
class _Part:
    """Some whole sessions of the log.

    Args:
        clicks: Their clicks.
        spans: A row for each that is left, as :meth:`SessionRules.run` gives them.
    """

    clicks: Frame
    spans: Frame


class _Rules:
    def __init__(
        self, preparation: Preparation, engine: Engine, folder: Path, found: Found
    ) -> None:
        self.preparation = preparation
        self.engine = engine
        self.tables = Tables(engine, folder)
        self.found = found
        self.of_session = SessionRules(preparation, self.tables, found)
        self.by = self.of_session.by
        self.keep = self.tables.keep
        self.steps = [{"rule": "read", "clicks": found.rows, "sessions": None}]

    def run(self, clicks: Frame, known: list[int | str]) -> Chosen:
        if self.preparation.where:
            rule = ", ".join(f"{k}={v}" for k, v in self.preparation.where.items())
            self._count(f"rows with {rule}", self.found.chosen)
        frames = self.engine.parts(clicks, self.found.chosen, self.tables.path())
        if len(frames) > 1:
            self.keep = self.tables.store
        parts = self._sessions(frames)
        shorter = f"sessions of fewer than {self.preparation.min_length} clicks dropped"
        self._count(shorter, *self._size(parts))
        return self._numbered(*self._long_and_common(parts, known))

    def _sessions(self, parts: list[Frame]) -> list[_Part]:
        """The sessions of each part that are long enough; counts what each rule left of all."""
        made, counted = [], []
        for part in parts:
            clicks, spans, steps = self.of_session.run(part)
            if len(parts) > 1 and clicks is not part:
                clicks = self.keep(clicks)
            spans = self.keep(spans.filter(nw.col("n") >= self.preparation.min_length))
            made.append(_Part(clicks, spans))
            counted.append(steps)
        for of_parts in zip(*counted, strict=True):
            sessions = [step.sessions for step in of_parts if step.sessions is not None]
            clicks_left = sum(step.clicks for step in of_parts)
            self._count(of_parts[0].rule, clicks_left, sum(sessions) if sessions else None)
        return made

    def _long_and_common(
        self, parts: list[_Part], known: list[int | str]
    ) -> tuple[list[_Part], Frame]:
        known_items = self._known(known) if known else None
        least, support = self.preparation.min_length, self.preparation.min_support
        longest = self.preparation.drop_longer
        within, size = parts, self._size(parts)
        while True:
            items = self._clicks_of_items(within)
            common = nw.col("n") >= support
            if known_items is not None:
                items = items.join(known_items, on="item", how="left")
                common |= ~nw.col("known").is_null()
            items = self.keep(items.filter(common).select("item", "n"))
            left = [_Part(part.clicks, self.keep(self._left(part, items))) for part in parts]
            before, size = size, self._size(left)
            self._count(f"items of fewer than {support} clicks dropped", *size)
            within = _where(left, nw.col("n") >= least)
            size = self._size(within)
            self._count(f"sessions of fewer than {least} clicks dropped", *size)
            if longest is not None:
                within = _where(within, nw.col("n") <= longest)
                size = self._size(within)
                self._count(f"sessions of more than {longest} clicks dropped", *size)
            if not self.preparation.until_stable or size == before:
                return within, items
            # What was dropped does not come back: a session that was too long could shrink.
            parts = [
                _Part(part.clicks, self.keep(part.spans.join(of.spans, on=self.by, how="semi")))
                for part, of in zip(parts, within, strict=True)
            ]

    def _clicks_of_items(self, parts: list[_Part]) -> Frame:
        """Clicks of each item in the sessions of the parts."""
        counts = []
        for part in parts:
            clicks = part.clicks.join(part.spans, on=self.by, how="semi")
            counts.append(clicks.group_by("item").agg(nw.len().alias("n")))
        if len(counts) == 1:
            return counts[0]
        kept = nw.concat([self.keep(of_part) for of_part in counts], how="vertical")
        return kept.group_by("item").agg(nw.col("n").sum())

    def _left(self, part: _Part, items: Frame) -> Frame:
        """The sessions with a click on some items; ``n`` counts these clicks alone."""
        # Few clicks are on rare items: these are counted, not those that stay.
        rare = part.clicks.join(items, on="item", how="anti")
        gone = rare.group_by(*self.by).agg(nw.len().alias("gone"))
        left = part.spans.join(gone, on=self.by, how="left").with_columns(
            n=nw.col("n") - nw.col("gone").fill_null(0)
        )
        return left.filter(nw.col("n") > 0).drop("gone")

    def _numbered(self, parts: list[_Part], items: Frame) -> Chosen:
        sessions, numbers = self._in_time_order([part.spans for part in parts])
        items = self.keep(items.with_row_index("code", order_by="item"))
        size = max(1, _PIECE * len(sessions) // int(sessions["n"].sum()))
        clicks = (part.clicks for part in parts)
        numbered = self._joined(clicks, numbers, items.select("item", "code"), size)
        return Chosen(
            self.engine.scatter(numbered, self.tables.path()),
            size,
            self.of_session.keys,
            sessions,
            self.tables.table(items.select("code", "item")).sort("code"),
            self.steps,
            self.found.timed,
            list(self.of_session.marks),
        )

    def _in_time_order(self, sessions: list[Frame]) -> tuple[pl.DataFrame, list[Path]]:
        """Sessions in time order; for each part a file with the numbers of its sessions."""
        known = ["first", *["second"] * self.found.timed, *self.of_session.of_user]
        names, tables = [], []
        for frame in sessions:
            table = self.tables.table(frame.select(*self.by, "n", *known))
            names.append(self.tables.write(table.select(self.by)))
            tables.append(table.drop(self.by))
        everyone = pl.concat(tables)
        place = everyone.drop_in_place("first")
        if self.found.timed:  # by time, then by first row: one whole number is sorted far faster
            start, seconds = span_of(self.found)
            # Rows are numbered with the blank ones, which found.rows leaves out.
            size = fitting(int(place.to_numpy().max(initial=0)), seconds)
            place = (everyone["second"].cast(pl.Int64) - start) * size + place.cast(pl.Int64)
        order = place.arg_sort()
        number = np.empty(len(order), np.uint32)
        number[order.to_numpy()] = np.arange(len(order), dtype=np.uint32)
        numbers, start = [], 0
        for file, table in zip(names, tables, strict=True):
            own = number[start : start + len(table)]
            numbers.append(self.tables.write(pl.read_parquet(file).with_columns(s=own)))
            start += len(table)
        return everyone[order], numbers

    def _joined(
        self, parts: Iterator[Frame], numbers: list[Path], items: Frame, size: int
    ) -> Iterator[Frame]:
        """The clicks of each part with the numbers of their item, session and piece."""
        columns = ["s", "code", *self.of_session.keys]
        if self.found.timed and "time" not in columns:
            columns.append("time")
        for clicks, file in zip(parts, numbers, strict=True):
            joined = clicks.join(items, on="item", how="inner")
            joined = joined.join(self.engine.scan(file), on=self.by, how="inner")
            joined = joined.with_columns(piece=nw.col("s").cast(nw.Int64) // size)
            yield joined.select(*columns, *self.of_session.marks.values(), "piece")

    def _known(self, ids: list[int | str]) -> Frame:
        """A vocabulary as a table: only Polars can filter by a long list of values."""
        path = self.tables.write(pl.DataFrame({"item": ids, "known": True}))
        return self.engine.scan(path)

    def _count(self, rule: str, clicks: int, sessions: int | None = None) -> None:
        before = self.steps[-1]
        self.steps.append({"rule": rule, "clicks": clicks, "sessions": sessions})
        if not clicks:
            raise ValueError(
                f"no session is left: of {before['clicks']:,} clicks, none passes the rule "
                f"{rule!r}" + _remedy(rule)
            )

    def _size(self, parts: list[_Part]) -> tuple[int, int]:
        return self.tables.size(*(part.spans for part in parts))


def _where(parts: list[_Part], chosen: nw.Expr) -> list[_Part]:
    """The parts with some of their sessions."""
    return [_Part(part.clicks, part.spans.filter(chosen)) for part in parts]


def _remedy(rule: str) -> str:
    if rule.startswith("items"):
        return "; lower dataset.min_support"
    if rule.startswith("sessions of"):
        return "; lower dataset.min_length, or is dataset.session the right column?"
    return "; look at dataset.where" if rule.startswith("rows with") else ""
