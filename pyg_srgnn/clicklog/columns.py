"""Finds the columns of session, item and time in a click log, by declaration or common names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pyg_srgnn.clicklog.dialect import best_delimiter, fields
from pyg_srgnn.clicklog.spec import Preparation

COMMON_NAMES = {
    "session": (
        "sessionid", "session", "sid", "visitid", "sessid", "sessionkey", "visit", "usersession",
    ),
    "user": ("userid", "user", "uid", "visitorid", "visitor", "customerid", "clientid"),
    "item": ("itemid", "item", "iid", "productid", "product", "sku", "articleid", "songid"),
    "time": ("timestamp", "time", "ts", "datetime", "eventtime", "eventdate", "date", "createdat"),
}  # fmt: skip
"""Column names that are guessed, compared without case, - and _."""


class Roles(NamedTuple):
    """The columns of the roles."""

    columns: dict[str, str]
    """The column of each role."""
    guessed: dict[str, tuple[str, ...]]
    """The roles whose column was guessed, each with the other columns that it might have been."""


def roles(file: Path, names: tuple[str, ...], preparation: Preparation) -> Roles:
    """The column of every role, and which of them were guessed.

    Args:
        file: The file, for errors.
        names: The names of its columns.
        preparation: The declaration.

    Raises:
        ValueError: If a role has no column (the message lists the columns and the remedy), or a
            name would be taken for a pattern.
    """
    for pattern in (name for name in names if name == "*" or name[:1] + name[-1:] == "^$"):
        raise ValueError(f"{file}: no column can be called {pattern!r}, a pattern; rename it")
    fitting = {role: likely(names, common) for role, common in COMMON_NAMES.items()}
    guesses = {role: next(iter(found), None) for role, found in fitting.items()}
    declared = {role: getattr(preparation, role) for role in COMMON_NAMES}
    base = "user" if preparation.gap and not declared["session"] else "session"
    users = declared["user"] or guesses["user"]
    if base == "session" and not declared["session"] and not guesses["session"] and users:
        raise ValueError(
            f"{file}: there is a column {users!r} of users and none of sessions; give "
            f"dataset.gap=30m (how long a silence ends a session), or dataset.session=COLUMN"
        )
    columns: dict[str, str] = {}
    guessed: dict[str, tuple[str, ...]] = {}
    for role in (base, "item", "time"):
        name = declared[role] or guesses[role]
        if name is None and role == "time" and preparation.order == "file":
            continue
        if name is None or name not in names:
            raise ValueError(_no_column(file, role, name, names))
        columns[role] = name
        if not declared[role]:
            guessed[role] = tuple(fitting[role][1:])
    if base == "session" and declared["user"]:
        if declared["user"] not in names:
            raise ValueError(_no_column(file, "user", declared["user"], names))
        columns["user"] = declared["user"]
    if preparation.order not in ("time", "file"):
        if preparation.order not in names:
            raise ValueError(_no_column(file, "order", preparation.order, names))
        columns["order"] = preparation.order
    if preparation.event is not None:
        if preparation.event not in names:
            raise ValueError(_no_column(file, "event", preparation.event, names))
        columns["event"] = preparation.event
    for name in preparation.where:
        if name not in names:
            raise ValueError(_no_column(file, "where", name, names))
    for name in preparation.text or ():
        if name not in names:
            raise ValueError(_no_column(file, "text", name, names))
    return Roles(columns, guessed)


def likely(names: Sequence[str], common: Sequence[str]) -> list[str]:
    """The columns with one of the common names, the most common first."""
    plain = {name: re.sub(r"[\W_]", "", name.lower()) for name in names}
    return [name for one in common for name in names if plain[name] == one]


def _no_column(file: Path, role: str, name: str | None, names: Sequence[str]) -> str:
    what = f"no column {name!r} (dataset.{role})" if name else f"no column known to be the {role}"
    text = f"{file}: there is {what}; its columns are {', '.join(map(repr, names))}"
    if role == "order":
        text += ". Give dataset.order=COLUMN, or dataset.order=time"
    if len(names) == 1:
        other = best_delimiter(names[0])
        count = len(fields(names[0], other))
        if count > 1:
            return text + f". With {other!r} there are {count}: give dataset.delimiter={other!r}"
    if not name and role == "time":
        return text + ". Give dataset.time=COLUMN, or dataset.order=file if there is none"
    if not name and all(re.fullmatch(r"[\d\s.,:TZ+-]*", n) for n in names):
        return text + ". That looks like a row: give dataset.columns=[…] if there is no header line"
    return text + ("" if name else f". Give dataset.{role}=COLUMN")
