"""From click logs to sessions by the general rules, one after another.

Lists, dictionaries and loops, nothing vectorised; knows nothing of the package.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from tests.reference.authors import DAY, Prepared, authors, last, samples

__all__ = ["Prepared", "authors", "last", "reference", "samples"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Session:
    """What is left of a session; its time and place in the file are those of all its rows."""

    key: Any  # its id; of a session that a gap cut, a pair of the id and a number
    time: int
    first_row: int
    items: list[Any]


def reference(
    rows: Iterable[Mapping[str, Any]],
    *,
    min_length: int = 2,
    min_support: int = 5,
    drop_longer: int | None = None,
    until_stable: bool = False,
    test: float | str = 0.1,
    strict: bool = False,
    cold: str = "drop",
    recent: int = 1,
    known: Sequence[Any] = (),
    steps: list[tuple[int, int | None]] | None = None,
    **of_a_session: Any,
) -> Prepared:
    """Apply every rule to rows as ``csv.DictReader`` gives them.

    The arguments are the fields of ``Preparation``. Columns without a name are called session,
    user, item and time; times without a format are whole seconds if they look like it, else ISO.
    What concerns files (``delimiter``, ``columns``, ``on_bad_rows``) means nothing here. ``known``
    are items that are never rare and keep their number. ``steps`` gets what each rule leaves:
    clicks, and sessions where they are counted.
    """
    steps = [] if steps is None else steps
    sessions = long_enough(whole_sessions(rows, steps, **of_a_session), min_length)
    steps.append(size(sessions))
    while True:
        before = [list(s.items) for s in sessions]
        sessions = frequent(sessions, min_support, known)
        steps.append(size([one for one in sessions if one.items]))
        sessions = long_enough(sessions, min_length)
        steps.append(size(sessions))
        if drop_longer is not None:
            sessions = [one for one in sessions if len(one.items) <= drop_longer]
            steps.append(size(sessions))
        if not until_stable or before == [s.items for s in sessions]:
            break

    sessions.sort(key=lambda s: (s.time, s.first_row))
    training, held_out = split(sessions, test, strict)
    sizes = len(training), len(held_out)
    if sum(sizes) < len(sessions):
        steps.append(size([*training, *held_out]))
    steps += [size(training), size(held_out)]

    numbers: dict[Any, int] = {raw: number for number, raw in enumerate(known)}
    for one in training:
        for raw in one.items:
            numbers.setdefault(raw, len(numbers))
    for one in held_out:
        if cold == "keep":
            for raw in one.items:
                numbers.setdefault(raw, len(numbers))
        one.items = [raw for raw in one.items if raw in numbers]
    if cold == "drop":
        steps.append(size(long_enough(held_out, 1)))
        held_out = long_enough(held_out, min_length)
        steps.append(size(held_out))
    training = most_recent(training, recent)
    if recent > 1:
        steps.append(size(training))
    return Prepared(
        [[numbers[raw] for raw in s.items] for s in training],
        [[numbers[raw] for raw in s.items] for s in held_out],
        numbers,
        [s.time for s in training],
        [s.time for s in held_out],
        sizes,
    )


def texts(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], item: str = "item"
) -> dict[Any, str]:
    """The text that most rows of an item have, of equally many the first alphabetically."""
    found: dict[Any, Counter[str]] = {}
    for row in rows:
        values = [" ".join(str(row[name]).split()) for name in columns if row[name] is not None]
        text = ". ".join(value for value in values if value)
        if text:
            found.setdefault(row[item], Counter())[text] += 1
    return {raw: min(of_item, key=lambda t: (-of_item[t], t)) for raw, of_item in found.items()}


def whole_sessions(
    rows: Iterable[Mapping[str, Any]],
    steps: list[tuple[int, int | None]],
    *,
    session: str | None = None,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    order: str = "time",
    time_format: str | None = None,
    time_zone: str | None = None,
    where: Mapping[str, str] | None = None,
    dedupe: bool = False,
    gap: str | None = None,
    collapse: bool = False,
    max_length: int | None = None,
    **of_files: Any,
) -> list[Session]:
    """The sessions before any is too short or any item too rare."""
    column = session or (user or "user" if gap else "session")
    clicks = []  # (session, item, time in nanoseconds, what it is sorted by, row in the file)
    rows = list(rows)
    clocks: dict[Any, list[tuple[datetime, int]]] = {}
    steps.append((len(rows), None))
    for number, row in enumerate(rows):
        if all(str(row[name]) == str(value) for name, value in (where or {}).items()):
            instant = 0  # in a log without times
            if (time or "time") in row:
                value = row[time or "time"]
                instant = (
                    nanoseconds(value, time_format)
                    if time_zone is None
                    else of_zone(value, time_zone, clocks.setdefault(row[column], []))
                )
            place = {"time": instant, "file": number}.get(order)
            place = int(row[order]) if place is None else place
            clicks.append((row[column], row[item or "item"], instant, place, number))
    if all(str(c[1]).isdecimal() and str(int(c[1])) == str(c[1]) for c in clicks):
        clicks = [(c[0], int(c[1]), *c[2:]) for c in clicks]

    if where:
        steps.append((len(clicks), None))
    if gap:  # within a session, if there are sessions
        clicks = at_silences(clicks, gap)
    if dedupe:
        steps.append((len(clicks), None))
        clicks = without_copies(clicks, file_order=order == "file")

    of_session: dict[Any, list[Any]] = {}
    for click in clicks:
        of_session.setdefault(click[0], []).append(click)
    sessions = []
    for key, of_one in of_session.items():
        in_order = sorted(of_one, key=itemgetter(3))  # stable: equal ones stay in file order
        last_click = in_order[-1] if order == "time" else of_one[-1]
        items = [click[1] for click in in_order]
        sessions.append(Session(key, last_click[2] // 10**9, of_one[0][4], items))
    steps.append(size(sessions))
    if collapse:
        for one in sessions:
            one.items = [raw for raw, _ in groupby(one.items)]
        steps.append(size(sessions))
    if max_length:
        for one in sessions:
            one.items = one.items[-max_length:]
        steps.append(size(sessions))
    return sessions


def nanoseconds(value: Any, time_format: str | None) -> int:
    """Since 1970 UTC; a time without a zone is UTC."""
    if time_format is None:
        time_format = "s" if isinstance(value, int) or value.isdecimal() else "iso"
    if time_format in ("s", "ms", "us", "ns"):
        return int(value) * {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[time_format]
    if time_format == "iso":
        instant = datetime.fromisoformat(value.replace("Z", "+00:00"))
    else:
        instant = datetime.strptime(value, time_format)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - EPOCH) // timedelta(microseconds=1) * 1000


def of_zone(value: str, zone: str, earlier: list[tuple[datetime, int]]) -> int:
    """The same of an ISO time without a zone, in one.

    ``earlier`` holds the times of the session's rows before that the clock shows twice, each with
    whether it was the second one; this time is added.
    """
    clock = datetime.fromisoformat(value)
    both = [clock.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1)]
    fold = 0
    if both[0].utcoffset() != both[1].utcoffset():
        if earlier and abs(clock - earlier[-1][0]) <= timedelta(days=1):
            fold = max(earlier[-1][1], int(clock < earlier[-1][0]))
        earlier.append((clock, fold))
    return (both[fold].astimezone(UTC) - EPOCH) // timedelta(microseconds=1) * 1000


def at_silences(clicks: list[Any], gap: str) -> list[Any]:
    """Cut every user's clicks into sessions wherever there is silence for longer than the gap."""
    silence = int(gap[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": DAY}[gap[-1]] * 10**9
    latest: dict[Any, int] = {}  # time of a user's click before
    ordinal: Counter[Any] = Counter()
    named = []
    for user, *rest in sorted(clicks, key=itemgetter(2, 4)):
        if user in latest and rest[1] - latest[user] > silence:
            ordinal[user] += 1
        latest[user] = rest[1]
        named.append(((user, ordinal[user]), *rest))
    return sorted(named, key=itemgetter(4))  # in file order again


def without_copies(clicks: list[Any], file_order: bool) -> list[Any]:
    """Drop a click whose session, item, time and place stand in an earlier row."""
    seen, kept = set(), []
    for click in clicks:
        what = click[:3] if file_order else click[:4]
        if what not in seen:
            kept.append(click)
        seen.add(what)
    return kept


def long_enough(sessions: list[Session], min_length: int) -> list[Session]:
    """Sessions of at least so many clicks."""
    return [session for session in sessions if len(session.items) >= min_length]


def size(sessions: list[Session]) -> tuple[int, int]:
    """Clicks and sessions."""
    return sum(len(session.items) for session in sessions), len(sessions)


def frequent(sessions: list[Session], min_support: int, known: Sequence[Any] = ()) -> list[Session]:
    """The sessions without the items that have fewer clicks, in all of them together."""
    counts = Counter(raw for session in sessions for raw in session.items)
    kept = {raw for raw, clicks in counts.items() if clicks >= min_support} | set(known)
    for session in sessions:
        session.items = [raw for raw in session.items if raw in kept]
    return sessions


def split(
    sessions: list[Session], test: float | str, strict: bool
) -> tuple[list[Session], list[Session]]:
    """Training and test sessions of a list in time order."""
    if not isinstance(test, str):
        cut = len(sessions) - round(test * len(sessions))
        return sessions[:cut], sessions[cut:]
    if test[-1] in "smhd":
        limit = (
            sessions[-1].time - int(test[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": DAY}[test[-1]]
        )
        training = [s for s in sessions if s.time < limit or (s.time == limit and not strict)]
        return training, [s for s in sessions if s.time > limit]
    limit = nanoseconds(test, "iso") // 10**9
    return [s for s in sessions if s.time < limit], [s for s in sessions if s.time >= limit]


def most_recent(training: list[Session], recent: int) -> list[Session]:
    """The sessions that the last samples come from, the first one cut to its part of them."""
    if recent == 1:
        return training
    _, _, owners = last(samples([session.items for session in training]), recent)
    if not owners:
        return []
    kept = training[owners[0] :]
    kept[0].items = kept[0].items[: owners.count(owners[0]) + 1]
    return kept
