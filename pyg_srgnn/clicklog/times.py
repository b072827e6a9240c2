"""Times of clicks: the format of a column, and its values as microseconds since 1970 UTC."""

from __future__ import annotations

import re

import polars as pl

UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Microseconds in a unit of time since 1970; nanoseconds are divided."""

_NUMBER = r"^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$"
_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?( ?(Z|UTC|[+-]\d\d(:?\d\d)?))?)?$"
_ALIKE = re.compile(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d(?:\.(\d{1,9}))?(Z| UTC|[+-]\d\d:\d\d)?")
ZONED = r"[T ]\d\d:.*(Z|UTC|[+-]\d\d(:?\d\d)?)\s*$"
"""By which ISO 8601 with a zone is known."""
_EXPECTED = {
    "s": "seconds since 1970, such as 1396867869",
    "ms": "milliseconds since 1970, such as 1396867869277",
    "us": "microseconds since 1970, such as 1396867869277000",
    "ns": "nanoseconds since 1970, such as 1396867869277000000",
    "iso": "ISO 8601, such as 2014-04-07T10:51:09Z",
    "number": "a number",
}


def expected_time(form: str) -> str:
    """Description of a format, with an example."""
    return _EXPECTED.get(form, f"a time such as {form!r} describes")


def time_format(values: pl.Series, declared: str | None, where: str) -> tuple[str, str]:
    """Find the format of a column of times.

    Args:
        values: Some of them.
        declared: The declared format; None to guess it.
        where: File and column, for the error.

    Returns:
        ``"s"``, ``"ms"``, ``"us"``, ``"ns"``, ``"iso"``, ``"number"`` or a strptime pattern, and a
        time that is written so.

    Raises:
        ValueError: If it is none of them.
    """
    if declared is not None and declared not in _EXPECTED and "%" not in declared:
        raise ValueError(
            f"dataset.time_format={declared!r}: expected {', '.join(_EXPECTED)}, or a pattern "
            f"such as '%d.%m.%Y %H:%M'"
        )
    kind = values.dtype
    if not (kind.is_numeric() or kind == pl.String or kind in (pl.Date, pl.Datetime)):
        raise ValueError(f"{where} holds values of type {kind}; expected times")
    values = values.drop_nulls()
    if kind.is_temporal():
        return declared or "iso", str(values[0]) if len(values) else ""
    text = values.cast(pl.String).str.strip_chars()
    numbers, iso = (text.filter(text.str.contains(form)) for form in (_NUMBER, _ISO))
    if declared is not None:
        _try(declared, where)
        alike = iso if declared == "iso" and len(iso) else text
        return declared, alike[0] if len(alike) else ""
    if 2 * len(numbers) > len(text):  # a bad one among them does not matter
        middle = abs(float(numbers.cast(pl.Float64).median() or 0))  # type: ignore[arg-type]
        # A present-day time has 10 digits in seconds, 13 in ms, 16 in µs, 19 in ns.
        units = (("s", 1e11), ("ms", 1e14), ("us", 1e17))
        return next((unit for unit, top in units if middle < top), "ns"), numbers[0]
    if len(text) and not len(iso):
        raise ValueError(
            f"{where} holds {text[0]!r}, which is neither a time since 1970 nor ISO 8601; "
            f"give dataset.time_format, such as '%d.%m.%Y %H:%M'"
        )
    return "iso", iso[0] if len(iso) else ""


def _try(form: str, where: str) -> None:
    if "%" in form:
        try:
            pl.select(_patterned(pl.lit("2014-04-07"), form))
        except pl.exceptions.PolarsError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{where}: dataset.time_format={form!r}: {reason}") from error


def micros(column: pl.Expr, kind: pl.DataType, form: str, sample: str, careful: bool) -> pl.Expr:
    """Microseconds since 1970 UTC of a column of times; null where it holds none.

    Args:
        column: The column.
        kind: Its type.
        form: How it is written.
        sample: A time in it.
        careful: Read what is written in another way than the sample, too; slower.
    """
    if kind.is_temporal():
        return column.cast(pl.Datetime("us")).dt.epoch("us") if kind == pl.Date else (
            column.dt.epoch("us")
        )  # fmt: skip
    text = kind == pl.String
    if form == "iso":
        column = column if text else column.cast(pl.String)
        return _iso(column) if careful else _iso_alike(column, sample)
    if "%" in form:
        return _patterned(column if text else column.cast(pl.String), form)
    whole = kind.is_integer() or (text and sample.lstrip("+-").isdigit())
    if not whole:
        return _of_fractions(column, form)
    if not (text and careful):
        return _of_numbers(column, form)
    return pl.coalesce(_of_numbers(column, form), _of_fractions(column, form))


def is_local(column: pl.Expr, kind: pl.DataType, form: str) -> pl.Expr:
    """Whether times are written without a zone; the arguments are those of :func:`micros`."""
    if isinstance(kind, pl.Datetime) or kind == pl.Date:
        return pl.lit(getattr(kind, "time_zone", None) is None)
    if form == "iso":
        return ~column.cast(pl.String).str.contains(ZONED)
    return pl.lit(has_clock(form))


def has_clock(form: str) -> bool:
    """Whether times of a format are local times."""
    return form == "iso" or ("%" in form and "%z" not in form and "%s" not in form)


def _of_numbers(column: pl.Expr, form: str) -> pl.Expr:
    number = column.cast(pl.Int64, strict=False)
    if form == "ns":
        return number // 1_000
    factor = UNITS.get(form, UNITS["s"])
    top = 9 * 10**18 // factor  # greater values would overflow to an arbitrary time
    return number.clip(-top, top) * factor if factor > 1 else number


def _of_fractions(column: pl.Expr, form: str) -> pl.Expr:
    factor = 1e-3 if form == "ns" else UNITS.get(form, UNITS["s"])
    number = column.cast(pl.Float64, strict=False)
    return (number * factor).round().cast(pl.Int64, strict=False)


def _patterned(text: pl.Expr, form: str) -> pl.Expr:
    # Polars' %f counts nanoseconds; Python's are the digits of a fraction.
    form = form.replace(".%f", "%.f").replace("%f", "%6f")
    return text.str.to_datetime(form, time_unit="us", strict=False).dt.epoch("us")


def _iso(text: pl.Expr) -> pl.Expr:
    """ISO 8601 in any of its usual forms; UTC where no zone is given."""
    text = (
        text.str.strip_chars()
        .str.replace(r"^(.{10}) ", "${1}T")
        .str.replace(r" ?(UTC|Z)$", "Z")
        .str.replace(r"^(.{10}T\d\d:\d\d)($|Z| ?[+-])", "${1}:00${2}")  # seconds
        .str.replace(r"(T.*?) ?([+-]\d\d)$", "${1}${2}:00")  # minutes of a zone
        .str.replace(r"(T.*) ([+-])", "${1}${2}")
    )
    forms = ("%+", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d")
    return pl.coalesce(_patterned(text, form) for form in forms)


def _iso_alike(text: pl.Expr, sample: str) -> pl.Expr:
    """The same for times that are all written as the sample is: several times as fast."""
    found = _ALIKE.fullmatch(sample)
    if not found:
        return _iso(text)
    between, fraction, zone = found.groups()
    time = _patterned(text.str.head(19), f"%Y-%m-%d{between}%H:%M:%S")
    alike = text.str.len_bytes() == len(sample)
    if fraction:
        digits = min(6, len(fraction))
        part = text.str.slice(20, digits).cast(pl.Int64, strict=False)
        time += part * 10 ** (6 - digits)
        alike &= text.str.slice(19, 1) == "."
    if zone:  # another one is read with care
        alike &= text.str.ends_with(zone)
        if ":" in zone:
            minutes = int(zone[1:3]) * 60 + int(zone[4:])
            time -= int(f"{zone[0]}1") * minutes * 60 * UNITS["s"]
    return pl.when(alike).then(time)
