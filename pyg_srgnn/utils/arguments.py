"""Checks of a constructor's arguments."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Wrong(NamedTuple):
    """An argument that is not allowed.

    Args:
        expected: What is allowed.
        found: What was given.
    """

    expected: str
    found: Any


class ArgumentError(ValueError):
    """Arguments of a class or function that are not allowed.

    Args:
        owner: Name of the class or function.
        wrong: Each argument that is not allowed, by its name.
    """

    def __init__(self, owner: str, wrong: Mapping[str, Wrong]) -> None:
        super().__init__(owner, wrong)
        self.owner = owner
        self.wrong = wrong

    def __str__(self) -> str:
        """One sentence an argument: its name, what is expected, what was found."""
        each = [f"'{name}' must be {one.expected} (got {one.found!r})" for name, one in self]
        return f"{self.owner}: {'; '.join(each)}"

    def __iter__(self) -> Iterator[tuple[str, Wrong]]:
        """The arguments with what is wrong about them."""
        return iter(self.wrong.items())


class Checks:
    """Collects the arguments that are not allowed; see :func:`checking`.

    Every check returns whether the value is allowed.
    """

    def __init__(self) -> None:
        self.wrong: dict[str, Wrong] = {}

    def that(self, fits: bool, name: str, expected: str, found: Any) -> bool:
        """Check anything: ``fits`` says whether the value is allowed."""
        if not fits:
            self.wrong.setdefault(name, Wrong(expected, found))
        return fits

    def whole(
        self,
        name: str,
        value: Any,
        least: int,
        most: int | None = None,
        optional: bool = False,
    ) -> bool:
        """Check a whole number from ``least`` to ``most``."""
        fits = isinstance(value, int) and not isinstance(value, bool)
        fits = fits and least <= value and (most is None or value <= most)
        allowed = f">= {least}" if most is None else f"from {least} to {most}"
        return self._check(name, value, fits, f"a whole number {allowed}", optional)

    def number(
        self,
        name: str,
        value: Any,
        *,
        above: float | None = None,
        least: float | None = None,
        below: float | None = None,
        most: float | None = None,
        optional: bool = False,
    ) -> bool:
        """Check a finite number within bounds, of which ``above`` and ``below`` are excluded."""
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        fits = fits and math.isfinite(value)
        fits = fits and (above is None or value > above) and (least is None or value >= least)
        fits = fits and (below is None or value < below) and (most is None or value <= most)
        bounds = {">": above, ">=": least, "<": below, "<=": most}
        allowed = " and ".join(f"{sign} {b}" for sign, b in bounds.items() if b is not None)
        if least is not None and most is not None:
            allowed = f"from {least} to {most}"
        return self._check(name, value, fits, f"a number {allowed}", optional)

    def numbers_above(self, name: str, value: Any, above: float, optional: bool = False) -> bool:
        """Check a list of finite numbers, all of them greater than ``above``."""
        fits = isinstance(value, Sequence) and not isinstance(value, str)
        fits = fits and all(
            isinstance(one, int | float)
            and not isinstance(one, bool)
            and math.isfinite(one)
            and one > above
            for one in value
        )
        return self._check(name, value, fits, f"a list of numbers > {above}", optional)

    def flag(self, name: str, value: Any) -> bool:
        """Check a truth value."""
        return self.that(isinstance(value, bool), name, "True or False", value)

    def text(self, name: str, value: Any, optional: bool = False) -> bool:
        """Check a text that is not empty."""
        return self._check(name, value, isinstance(value, str) and value != "", "a text", optional)

    def path(self, name: str, value: Any, optional: bool = False) -> bool:
        """Check a path."""
        fits = isinstance(value, str | Path) and value != ""
        return self._check(name, value, fits, "a path", optional)

    def one_of(
        self, name: str, value: Any, allowed: Collection[str], optional: bool = False
    ) -> bool:
        """Check one of some names."""
        fits = isinstance(value, str) and value in allowed
        return self._check(name, value, fits, f"one of {', '.join(allowed)}", optional)

    def list_of(self, name: str, value: Any, allowed: Collection[str]) -> bool:
        """Check a list of some names."""
        fits = isinstance(value, Sequence) and not isinstance(value, str)
        fits = fits and all(isinstance(one, str) and one in allowed for one in value)
        return self.that(fits, name, f"a list of {', '.join(allowed)}", value)

    def _check(self, name: str, value: Any, fits: bool, expected: str, optional: bool) -> bool:
        if optional:
            fits, expected = fits or value is None, f"{expected}, or None"
        return self.that(fits, name, expected, value)


@contextmanager
def checking(owner: object, **names: str) -> Iterator[Checks]:
    """Check arguments; where some are not allowed, raise at the end of the block, naming all.

    Errors of parts that are made in the block are reported as errors of the owner:

    >>> class Fraction:
    ...     def __init__(self, upper: int, lower: int) -> None:
    ...         with checking(self) as check:
    ...             check.whole("upper", upper, 0)
    ...             check.whole("lower", lower, 1)
    >>> Fraction(1, 0)
    Traceback (most recent call last):
    ...
    pyg_srgnn.utils.arguments.ArgumentError: Fraction: 'lower' must be a whole number >= 1 (got 0)

    Args:
        owner: Whose arguments they are: an object, a class, or a name.
        **names: Arguments of the parts that have another name here.

    Raises:
        ArgumentError: If an argument is not allowed.
    """
    checks = Checks()
    try:
        yield checks
    except ArgumentError as error:
        for name, wrong in error:
            checks.wrong.setdefault(names.get(name, name), wrong)
    if checks.wrong:
        if not isinstance(owner, str):
            owner = (owner if isinstance(owner, type) else type(owner)).__name__
        raise ArgumentError(owner, checks.wrong)
