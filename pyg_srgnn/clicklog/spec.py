"""The declaration of a click log: its columns, and the rules that make sessions of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from typing import Any

from pyg_srgnn.clicklog.zones import is_zone
from pyg_srgnn.utils.arguments import Checks, checking

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
ON_BAD_ROWS = ("error", "skip")
COLD = ("drop", "keep")
PAUSES = ("time", "order")
USER_CLICKS = 20
MOST_EVENTS = 255


@dataclass(frozen=True)
class Preparation:
    """Columns of a click log, and the rules that make sessions of it, in the order listed here.

    The order, the one pass of filters and the strict split are those of SR-GNN's own script.

    Args:
        session: Column of the session's id. (default: guessed from common names)
        user: Column of the user's id. With ``gap`` and without ``session``, sessions are made of
            users' clicks (default: guessed); with sessions, users are known, see ``user_clicks``.
        user_clicks: How many clicks, the last ones of the user's earlier sessions, go into a
            session's graph; a session without a user has none. (default: None: 20 where sessions
            have users, none where sessions are made of users' clicks)
        item: Column of the item's id, whole numbers or text. (default: guessed)
        time: Column of the click's time. (default: guessed)
        text: Columns whose values, joined as ``title. brand``, are a text of the row's item; an
            item's text is that of most of its rows. (default: None, no text)
        event: Column of the click's type, such as view, cart or purchase. (default: None, none)
        events: The types, with the weight of a target of each in the loss, such as
            ``{"view": 1, "purchase": 5}``; a row of another type is bad. (default: None)
        targets: Types of the clicks that are predicted; the others are input alone.
            (default: None, all)
        pauses: Keep the seconds before each click: ``"time"``, of the clicks' times, or
            ``"order"``, of a column ``order`` that counts milliseconds. (default: None)
        order: What a session's clicks are sorted by: ``"time"``, ``"file"`` or a column of whole
            numbers; ties stay in the file's order. (default: ``"time"``)
        time_format: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"`` since 1970 UTC, ``"iso"``, a strptime
            pattern such as ``"%d.%m.%Y %H:%M"``, or ``"number"``: seconds since some instant that
            is not known. (default: guessed)
        delimiter: The delimiter of a text file. (default: guessed)
        columns: Names of the columns of a text file without a header line. (default: None)
        where: Only rows with these values, such as ``{"event": "view"}``. (default: all rows)
        on_bad_rows: ``"error"``, or ``"skip"``: leave them out, counted. (default: ``"error"``)
        dedupe: Drop a row with the session, item and time of an earlier one; needs times.
            (default: False)
        gap: A user's clicks after a silence this long are a new session, such as ``"30m"``.
            (default: None)
        collapse: Immediate repeats of an item count once. (default: False)
        max_length: A longer session keeps its most recent clicks; None: all. (default: 200)
        min_length: A shorter session is dropped. (default: 2)
        min_support: An item with fewer clicks is dropped. (default: 5)
        drop_longer: A session that still has more clicks after that is dropped. (default: None)
        until_stable: Repeat the two rules above until nothing changes. (default: False)
        test: The test sessions: the last fraction of all, ``"7d"`` before the last session, or
            those from a day on, as ``"2014-09-30"`` (UTC). (default: 0.1)
        strict: If the split is a number of days: drop the sessions at its exact instant, as the
            benchmarks do. (default: False)
        cold: Clicks of the test part on items that training lacks: ``"drop"``, or ``"keep"``:
            they stay, and these items are numbered after all others. (default: ``"drop"``)
        recent: Keep the last 1/recent of the training samples. (default: 1)

    Raises:
        ValueError: If a value is out of its range; names it.
    """

    session: str | None = None
    user: str | None = None
    user_clicks: int | None = None
    item: str | None = None
    time: str | None = None
    text: Sequence[str] | None = None
    event: str | None = None
    events: Mapping[str, float] | None = None
    targets: Sequence[str] | None = None
    pauses: str | None = None
    order: str = "time"
    time_format: str | None = None
    time_zone: str | None = None
    delimiter: str | None = None
    columns: Sequence[str] | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    on_bad_rows: str = "error"
    dedupe: bool = False
    gap: str | None = None
    collapse: bool = False
    max_length: int | None = 200
    min_length: int = 2
    min_support: int = 5
    drop_longer: int | None = None
    until_stable: bool = False
    test: float | str = 0.1
    strict: bool = False
    cold: str = "drop"
    recent: int = 1

    def __post_init__(self) -> None:
        """Check every value."""
        # Lists and dicts of a configuration become plain ones.
        if self.columns is not None:
            object.__setattr__(self, "columns", tuple(map(str, self.columns)))
        if self.text is not None:
            names = [self.text] if isinstance(self.text, str) else self.text
            object.__setattr__(self, "text", tuple(map(str, names)))
        if isinstance(self.events, Mapping):
            object.__setattr__(self, "events", _plain(self.events))
        if isinstance(self.targets, Sequence) and not isinstance(self.targets, str):
            object.__setattr__(self, "targets", tuple(map(str, self.targets)))
        object.__setattr__(self, "where", _plain(self.where or {}))
        object.__setattr__(self, "test", _plain(self.test))
        with checking(self) as check:
            for name in ("session", "user", "item", "time", "event", "order"):
                column = getattr(self, name)
                fits = isinstance(column, str) or (column is None and name != "order")
                check.that(fits, name, "the name of one column", column)
            check.text("time_format", self.time_format, optional=True)
            check.whole("user_clicks", self.user_clicks, 1, optional=True)
            fits = self.user_clicks is None or self.user is not None or self.of_users
            check.that(fits, "user_clicks", "None without 'user'", self.user_clicks)
            if self.text is not None:
                once = len({*self.text}) == len(self.text) > 0
                check.that(once, "text", "None or the names of columns, each once", self.text)
            self._check_events(check)
            if check.one_of("pauses", self.pauses, PAUSES, optional=True):
                column = self.order not in ("time", "file")
                fits = self.pauses != "order" or column
                check.that(fits, "order", "a column, with pauses='order'", self.order)
            if self.time_zone is not None:
                zones = "a name such as Europe/Berlin or UTC"
                check.that(is_zone(self.time_zone), "time_zone", zones, self.time_zone)
            one = self.delimiter is None or len(str(self.delimiter).encode()) == 1
            check.that(one, "delimiter", "one character", self.delimiter)
            check.one_of("on_bad_rows", self.on_bad_rows, ON_BAD_ROWS)
            for flag in ("dedupe", "collapse", "until_stable", "strict"):
                check.flag(flag, getattr(self, flag))
            fits = self.gap is None or _duration(str(self.gap)) > 0
            check.that(fits, "gap", "a number and s, m, h or d, such as 30m", self.gap)
            if check.whole("min_length", self.min_length, 2):
                check.whole("max_length", self.max_length, self.min_length, optional=True)
                check.whole("drop_longer", self.drop_longer, self.min_length, optional=True)
            check.whole("min_support", self.min_support, 1)
            expected = "a fraction between 0 and 1, days as '7d', or a date as '2014-09-30'"
            check.that(_split(self.test) is not None, "test", expected, self.test)
            check.one_of("cold", self.cold, COLD)
            check.whole("recent", self.recent, 1)

    def _check_events(self, check: Checks) -> None:
        """Check the types of clicks."""
        check.text("event", self.event, optional=True)
        given = self.event is not None
        fits = (self.events is not None) == given
        kind = "weights of types, such as {view: 1, purchase: 5}"
        expected = f"{kind}, with 'event'" if given else "None without 'event'"
        if check.that(fits, "events", expected, self.events) and given:
            fits = isinstance(self.events, Mapping) and 0 < len(self.events) <= MOST_EVENTS
            expected = f"from 1 to {MOST_EVENTS} {kind}"
            if check.that(fits, "events", expected, self.events):
                for name, weight in (self.events or {}).items():
                    check.number(f"events.{name}", weight, least=0)
                if not any("events" in name for name in check.wrong):
                    some = any((self.events or {})[name] > 0 for name in self.target_types)
                    check.that(some, "events", "a weight > 0 of a target's type", self.events)
        if self.targets is not None:
            names = list(self.events) if isinstance(self.events, Mapping) else []
            fits = isinstance(self.targets, tuple) and len(self.targets) > 0
            fits = fits and all(name in names for name in self.targets)
            expected = f"some of {', '.join(names)}" if names else "None without 'events'"
            check.that(fits, "targets", expected, self.targets)

    @property
    def of_users(self) -> bool:
        """Whether sessions are made of users' clicks, which a silence cuts."""
        return self.session is None and self.gap is not None

    @property
    def earlier_clicks(self) -> int:
        """How many clicks of the user's earlier sessions a session has; 0: users are not known."""
        known = self.user is not None and not self.of_users
        return self.user_clicks or (USER_CLICKS if known else 0)

    def anonymous(self) -> Preparation:
        """The same without known users."""
        return replace(self, user=self.user if self.of_users else None, user_clicks=None)

    @property
    def target_types(self) -> list[str]:
        """The types of clicks that are predicted."""
        names = list(self.events or {})
        return [name for name in names if self.targets is None or name in self.targets]

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], where: str) -> Preparation:
        """The preparation that :meth:`to_dict` gave; rules that it lacks have their defaults.

        Args:
            stored: What was stored.
            where: What it was stored in, for the error.

        Raises:
            ValueError: If there is a rule that this version does not know.
        """
        unknown = stored.keys() - {one.name for one in fields(cls)}
        if unknown:
            raise ValueError(
                f"{where}: its sessions were made with {', '.join(sorted(unknown))}, which this "
                f"version of pyg_srgnn does not know; use the version that made them"
            )
        return cls(**stored)

    def to_dict(self) -> dict[str, Any]:
        """The preparation in values that JSON has."""
        return {str(key): _plain(value) for key, value in asdict(self).items()}

    @property
    def asked(self) -> dict[str, list[str]]:
        """The texts of the values that ``where`` asks for, of each of its columns."""
        texts = {}
        for name, value in self.where.items():
            values = value if isinstance(value, list) else [value]
            texts[name] = [str(v) for v in values]
            # A boolean column is written as true where Python has True; a text may be either.
            texts[name] += [str(v).lower() for v in values if isinstance(v, bool)]
        return texts

    @property
    def gap_seconds(self) -> int | None:
        """The silence that ends a session, in seconds."""
        return None if self.gap is None else _duration(str(self.gap))

    @property
    def split(self) -> float | int | date:
        """The test part: a fraction of the sessions, seconds before the last one, or a date."""
        split = _split(self.test)
        assert split is not None  # as was checked
        return split


def _split(value: Any) -> float | int | date | None:
    """The split that a value describes; None if it describes none."""
    if not isinstance(value, str):
        return value if isinstance(value, float) and 0 < value < 1 else None
    try:
        return _duration(value) or date.fromisoformat(value)
    except ValueError:
        return None


def _duration(text: str) -> int:
    """Seconds of a time such as 30m or 7d; 0 where it is none."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    return int(found[1]) * _UNITS[found[2]] if found else 0


def _plain(value: Any) -> Any:
    """The same with nothing in it that JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    return value.isoformat() if isinstance(value, date) else value
