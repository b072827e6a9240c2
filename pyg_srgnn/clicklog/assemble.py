"""Splits sessions in time and numbers their items, in pieces that fit into memory."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from pyg_srgnn.clicklog.polars_engine import scan_folders
from pyg_srgnn.clicklog.prepared import Prepared
from pyg_srgnn.clicklog.rules import Chosen
from pyg_srgnn.clicklog.spec import Preparation
from pyg_srgnn.clicklog.users import count_users
from pyg_srgnn.data.sessions import Sessions
from pyg_srgnn.data.vocabulary import Vocabulary
from pyg_srgnn.functional.marks import pauses_of
from pyg_srgnn.utils.progress import Bar

Ints = NDArray[np.int64]
Marks = dict[str, Ints]


def assemble(
    chosen: Chosen, preparation: Preparation, vocabulary: Vocabulary | None = None
) -> Prepared:
    """Split the sessions in time, number their items, and drop or keep what training lacks.

    Items are numbered as the training sessions first show them; then come, where they are kept,
    those that only the test sessions show. That, and the split, is done here once for every
    engine: a number over all clicks is a window that no cluster can divide.

    Args:
        chosen: The clicks, with their sessions in time order.
        preparation: The split, whether cold items stay, and the share of recent samples.
        vocabulary: Items that keep their index. (default: none)

    Returns:
        Both parts with their vocabulary; of the report, what is known here.

    Raises:
        ValueError: If a part is left empty.
    """
    lengths = chosen.sessions["n"].to_numpy().astype(np.int64)
    seconds = None
    if chosen.timed:
        seconds = chosen.sessions["second"].to_numpy().astype(np.int64)
    visits = _visits(chosen.sessions) if preparation.earlier_clicks else None
    end, start, split = _split(preparation, len(lengths), seconds)
    numbers = _Numbers(chosen.items["item"], vocabulary)
    pieces = _Pieces(chosen, lengths)
    with pieces.bar:
        training = _training(pieces, numbers, end, lengths, seconds, visits)
        test, of_test = _test(pieces, numbers, start, lengths, seconds, visits, preparation)
    steps = [_step("training part", training.num_clicks, len(training), "training")]
    if start > end:
        kept = lengths.sum() - lengths[end:start].sum()
        rule = "sessions on the split instant dropped"
        steps.insert(0, _step(rule, kept, len(lengths) - (start - end)))
    steps += of_test
    if preparation.recent > 1:
        samples = training.num_samples
        training = training.recent(preparation.recent)
        rule = f"the last 1/{preparation.recent} of the training samples"
        steps.append(_step(rule, training.num_clicks, len(training), "training"))
        if not len(training):
            raise ValueError(
                f"dataset.recent={preparation.recent}: of {samples:,} training samples none is left"
            )
    report = {
        "steps": [*chosen.steps, *steps],
        "split": split,
        "duplicates": pieces.duplicates,
    }
    if visits is not None:
        report["users"] = count_users(training, test, preparation)
    if preparation.cold == "drop":  # those that stay are counted in what was made
        clicks = of_test[0]["clicks"]
        unseen = clicks - of_test[1]["clicks"]
        report["unseen_test_items"] = {
            "items": numbers.missed(),
            "clicks": unseen,
            "share": unseen / max(1, clicks),
        }
    return Prepared(training, test, numbers.vocabulary(), report)


def _visits(sessions: pl.DataFrame) -> Ints:
    """User of each session, -1 of none, and the seconds of its first and last click [S, 3]."""
    user = sessions["user"].rank("dense").cast(pl.Int64).fill_null(0) - 1
    ends = (sessions[name].cast(pl.Int64) for name in ("start", "end"))
    return np.column_stack([column.to_numpy() for column in (user, *ends)])


def _training(
    pieces: _Pieces,
    numbers: _Numbers,
    end: int,
    lengths: Ints,
    seconds: Ints | None,
    visits: Ints | None,
) -> Sessions:
    """The sessions before the one of number ``end``."""
    items = np.empty(int(lengths[:end].sum()), np.int64)
    marks: list[Marks] = []
    filled = 0
    for codes, _, of_clicks in pieces.between(0, end):
        items[filled : filled + len(codes)] = numbers.number(codes)
        filled += len(codes)
        marks.append(of_clicks)
    times, users = (None if each is None else each[:end] for each in (seconds, visits))
    return _sessions(items, lengths[:end], times, users, _joined(marks))


def _test(
    pieces: _Pieces,
    numbers: _Numbers,
    start: int,
    lengths: Ints,
    seconds: Ints | None,
    visits: Ints | None,
    preparation: Preparation,
) -> tuple[Sessions, list[dict[str, Any]]]:
    """The sessions from number ``start`` on, and what each rule left of them."""
    drop, min_length = preparation.cold == "drop", preparation.min_length
    parts, of_session = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    marks: list[Marks] = []
    for codes, s, of_clicks in pieces.between(start, len(lengths)):
        index = numbers.find(codes) if drop else numbers.number(codes)
        parts.append(index[index >= 0])
        of_session.append(s[index >= 0].astype(np.int64) - start)
        marks.append({name: values[index >= 0] for name, values in of_clicks.items()})
    index, s = np.concatenate(parts), np.concatenate(of_session)
    known = np.bincount(s, minlength=len(lengths) - start)
    long = known >= min_length
    times, users = (None if each is None else each[start:][long] for each in (seconds, visits))
    joined = {name: values[long[s]] for name, values in _joined(marks).items()}
    test = _sessions(index[long[s]], known[long], times, users, joined)
    clicks = int(lengths[start:].sum())
    if not len(test):
        raise ValueError(
            f"the test part is empty: of {clicks:,} clicks in {len(known):,} sessions none is left "
            f"once items without a training session and sessions of fewer than {min_length} clicks "
            f"are dropped; give a longer dataset.test, or dataset.cold=keep"
        )
    steps = [_step("test part", clicks, len(known), "test")]
    if drop:
        lacking = "test items that training lacks dropped"
        steps.append(_step(lacking, known.sum(), (known > 0).sum(), "test"))
        short = f"test sessions of fewer than {min_length} clicks dropped"
        steps.append(_step(short, test.num_clicks, len(test), "test"))
    return test, steps


def _step(rule: str, clicks: int, sessions: int, part: str | None = None) -> dict[str, Any]:
    step = {"rule": rule, "clicks": int(clicks), "sessions": int(sessions)}
    return step if part is None else {**step, "part": part}


def _joined(marks: list[Marks]) -> Marks:
    """The marks of the clicks of all pieces."""
    names = marks[0] if marks else {}
    return {name: np.concatenate([one[name] for one in marks]) for name in names}


def _sessions(
    items: Ints, lengths: Ints, seconds: Ints | None, visits: Ints | None, marks: Marks
) -> Sessions:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    times, users = (None if each is None else torch.from_numpy(each) for each in (seconds, visits))
    events = pauses = None
    if "event" in marks:
        events = torch.from_numpy(marks["event"].astype(np.uint8))
    if "clock" in marks:
        pauses = pauses_of(torch.from_numpy(marks["clock"]), torch.from_numpy(lengths))
    clicks = torch.from_numpy(items), torch.from_numpy(offsets)
    return Sessions(*clicks, times, events, pauses, users)


def _split(
    preparation: Preparation, count: int, seconds: Ints | None
) -> tuple[int, int, dict[str, Any]]:
    """Number of training sessions, number of the first test session, and the split as text."""
    rule = preparation.split
    found: dict[str, Any] = {"test": str(preparation.test), "limit": None}
    if isinstance(rule, float):
        cut = end = count - round(rule * count)
    elif seconds is None:
        raise ValueError(
            f"dataset.test={preparation.test}: the log has no times; give a fraction such as 0.1"
        )
    elif isinstance(rule, date):
        midnight = datetime(rule.year, rule.month, rule.day, tzinfo=UTC)
        limit = int(midnight.timestamp())
        cut = end = int(np.searchsorted(seconds, limit, side="left"))
        found["limit"] = _iso(limit)
    else:
        limit = int(seconds[-1]) - rule
        cut = int(np.searchsorted(seconds, limit, side="right"))
        end = int(np.searchsorted(seconds, limit, side="left")) if preparation.strict else cut
        found["limit"] = _iso(limit)
    if end == 0 or cut == count:
        span = "" if seconds is None else f" from {_iso(seconds[0])} to {_iso(seconds[-1])}"
        part = "training" if end == 0 else "test"
        raise ValueError(
            f"dataset.test={preparation.test}: the {part} part is empty; the log has {count:,} "
            f"session{'' if count == 1 else 's'}{span}"
        )
    return end, cut, found


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Pieces:
    """Runs of sessions, each sorted on its own; counts repeated rows on the way."""

    def __init__(self, chosen: Chosen, lengths: Ints) -> None:
        self.chosen = chosen
        self.sessions = len(lengths)
        self.duplicates = 0
        self.bar = Bar("sessions", int(lengths.sum()), "clicks")

    def between(self, start: int, stop: int) -> Any:
        """Item codes, session numbers and marks, session by session in the clicks' order."""
        s, size = pl.col("s"), self.chosen.size
        for folders in self.chosen.pieces[start // size : -(-stop // size)]:
            piece = scan_folders(folders)
            frame = piece.filter((s >= start) & (s < stop)).sort(self._order()).collect()
            self.duplicates += self._repeated(frame)
            self.bar.advance(frame.height)
            marks = {name: frame[name].to_numpy() for name in self.chosen.marks}
            yield frame["code"].to_numpy(), frame["s"].to_numpy(), marks

    def _order(self) -> list[pl.Expr]:
        """Sort keys of the clicks of a piece."""
        s, keys = pl.col("s").cast(pl.Int64), self.chosen.keys
        if keys == ["row"]:  # one whole number is sorted far faster than two
            return [s % self.chosen.size * (1 << 40) + pl.col("row")]
        return [s, *map(pl.col, keys)]

    def _repeated(self, frame: pl.DataFrame) -> int:
        """Number of rows with the session, item, time and order of an earlier row."""
        if not self.chosen.timed:
            return 0
        same = list(dict.fromkeys(["s", *self.chosen.keys[:-1], "time"]))
        # Equal rows are neighbours where the times are sorted, as they are in most logs.
        later = pl.col("time") >= pl.col("time").shift(1)
        new = pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in same[:-1])
        if not frame.select((later | new).all()).item():
            frame = frame.sort(same)
        equal = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in same)
        event = [name for name in self.chosen.marks if name == "event"]
        alike = frame.filter((equal | equal.shift(-1)).fill_null(False))
        twins = alike.select(*same, "code", *event)
        return twins.height - twins.n_unique() if twins.height else 0


class _Numbers:
    """Numbers items in the order of their first clicks."""

    def __init__(self, raw: pl.Series, vocabulary: Vocabulary | None) -> None:
        self.raw = raw
        self.known: list[int | str] = [] if vocabulary is None else list(vocabulary.ids)
        self.index = np.full(len(raw), -1, np.int64)
        if vocabulary is not None:
            self.index[:] = vocabulary.encode(raw.to_list())
        self.new: list[Ints] = []
        self.count = len(self.known)
        self.unseen = np.zeros(len(raw), bool)

    def number(self, codes: Ints) -> Ints:
        """The indices of items, new ones among them."""
        # Most items come among the first clicks, so few are new in the long steps that follow.
        start, step = 0, 1_024
        while start < len(codes):
            part = codes[start : start + step]
            fresh = part[self.index[part] < 0]
            if len(fresh):
                found, first = np.unique(fresh, return_index=True)
                found = found[np.argsort(first)].astype(np.int64)
                self.index[found] = np.arange(self.count, self.count + len(found))
                self.new.append(found)
                self.count += len(found)
            start, step = start + step, 2 * step
        return self.index[codes]

    def find(self, codes: Ints) -> Ints:
        """The indices of items; -1 where there is none."""
        index = self.index[codes]
        self.unseen[codes[index < 0]] = True
        return index

    def missed(self) -> int:
        """Number of items that were looked up and not found."""
        return int(self.unseen.sum())

    def vocabulary(self) -> Vocabulary:
        """The raw ids in the order of their indices."""
        added = self.raw.gather(np.concatenate(self.new)).to_list() if self.new else []
        return Vocabulary([*self.known, *added])
