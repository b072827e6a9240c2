"""The named rules of a service, and those of a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.inference.rules import RuleError, Rules

FIELDS = tuple(one.name for one in fields(Rules))
"""The fields of rules, which a request and a named rule may have."""


@dataclass(frozen=True)
class NamedRules:
    """The rules of a service's configuration.

    Args:
        named: Rules that a request may ask for, by their names. (default: none)
        always: Rules of every request. (default: none)
    """

    named: Mapping[str, Rules] = field(default_factory=dict)
    always: tuple[Rules, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> NamedRules:
        """Read a JSON object of rules by their names.

        A rule is an object of the fields of :class:`~pyg_srgnn.inference.rules.Rules`, and
        ``"always": true`` if it is one of every request.

        Args:
            path: The file, UTF-8.

        Raises:
            FileNotFoundError: If there is no file.
            ValueError: If it is no such object; names file, rule and field.
        """
        try:
            held = json.loads(Path(path).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path}: not JSON ({error})") from error
        if not isinstance(held, dict):
            raise ValueError(f'{path}: expected one object, {{"name": {{"where": …}}, …}}')
        named, always = {}, []
        for name, given in held.items():
            place = f"{path}, rule {name!r}"
            if not isinstance(given, dict):
                raise ValueError(f"{place}: expected an object of {', '.join(FIELDS)} and always")
            given = dict(given)
            of_every = given.pop("always", False)
            if not isinstance(of_every, bool):
                raise ValueError(f"{place}: always must be true or false (got {of_every!r})")
            if unknown := set(given) - set(FIELDS):
                raise ValueError(
                    f"{place}: there is no {min(unknown)!r}; expected {', '.join(FIELDS)}, always"
                )
            try:
                named[name] = Rules(**given)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{place}: {error}") from error
            always += [named[name]] if of_every else []
        return cls(named, tuple(always))

    def check(self, recommender: Recommender, path: str | Path) -> None:
        """Apply every rule once.

        Args:
            recommender: Whose items they are for.
            path: The file that they are from.

        Raises:
            ValueError: If one names a column that is not there; names file and rule.
        """
        for name, rules in self.named.items():
            try:
                recommender.answer([], rules=[rules])
            except ValueError as error:
                hint = "; give them with attributes=FILE" if recommender.attributes is None else ""
                raise ValueError(f"{path}, rule {name!r}: {error}{hint}") from error

    def asked(self, request: Any) -> tuple[Rules, ...]:
        """The rules of a request: those of every one, those that it names, and its own.

        Args:
            request: A message with the fields of rules, and ``rules``, names.

        Raises:
            RuleError: If a name is unknown, or its own rules are not allowed.
        """
        given = {
            name: getattr(request, name) for name in FIELDS if name in request.model_fields_set
        }
        chosen = list(self.always)
        for name in dict.fromkeys(request.rules):
            if name not in self.named:
                there = ", ".join(map(repr, self.named)) or "none"
                raise RuleError(f"rules: there is no rule {name!r}; the rules are {there}")
            chosen.append(self.named[name])
        try:
            return (*chosen, Rules(**given)) if given else tuple(chosen)
        except ValueError as error:
            raise RuleError(str(error)) from error
