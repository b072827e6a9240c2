from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest

from pyg_srgnn.utils.arguments import ArgumentError, checking


class Part:
    def __init__(self, size: int) -> None:
        with checking(self) as check:
            check.whole("size", size, 1)


class Whole:
    def __init__(self, rate: float, part_size: int) -> None:
        with checking(self, size="part_size") as check:
            check.number("rate", rate, least=0, below=1)
            self.part = Part(part_size)


def test_all_wrong_arguments_are_named_at_once():
    with pytest.raises(ArgumentError) as error:
        Whole(2, 0)
    assert str(error.value) == (
        "Whole: 'rate' must be a number >= 0 and < 1 (got 2); "
        "'part_size' must be a whole number >= 1 (got 0)"
    )
    assert list(error.value.wrong) == ["rate", "part_size"]
    Whole(0, 1)


def test_an_error_passes_between_processes():
    with pytest.raises(ArgumentError) as error:
        Whole(2, 1)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


@pytest.mark.parametrize(
    ("kind", "bounds", "good", "bad", "expected"),
    [
        ("whole", (1,), [1, 7], [0, 1.0, True, "3", None], "a whole number >= 1"),
        ("whole", (2, 4), [2, 4], [1, 5], "a whole number from 2 to 4"),
        ("flag", (), [True, False], [0, 1, None, "true"], "True or False"),
        ("text", (), ["a"], ["", None, 3], "a text"),
        ("path", (), ["a", Path("a")], ["", None, 3], "a path"),
        ("one_of", (("a", "b"),), ["a", "b"], ["c", True, None, ["a"]], "one of a, b"),
    ],
)
def test_kinds(kind, bounds, good, bad, expected):
    for value in good:
        with checking("test") as check:
            assert getattr(check, kind)("name", value, *bounds)
    for value in bad:
        with pytest.raises(ArgumentError) as error, checking("test") as check:
            assert not getattr(check, kind)("name", value, *bounds)
        assert error.value.wrong == {"name": (expected, value)}
    if kind != "flag":
        with checking("test") as check:
            assert getattr(check, kind)("name", None, *bounds, optional=True)


@pytest.mark.parametrize(
    ("bounds", "good", "bad", "expected"),
    [
        ({"above": 0}, [0.1, 5], [0, -1, "3", True, math.nan, math.inf], "a number > 0"),
        ({"least": 0, "below": 1}, [0, 0.9], [1, -0.1], "a number >= 0 and < 1"),
        ({"above": 0, "most": 1}, [0.1, 1], [0, 1.1], "a number > 0 and <= 1"),
        ({"least": 0, "most": 1}, [0, 1], [-0.1, 1.1], "a number from 0 to 1"),
    ],
)
def test_numbers(bounds, good, bad, expected):
    for value in good:
        with checking("test") as check:
            assert check.number("name", value, **bounds)
    for value in bad:
        with pytest.raises(ArgumentError) as error, checking("test") as check:
            check.number("name", value, **bounds)
        assert error.value.wrong["name"].expected == expected
