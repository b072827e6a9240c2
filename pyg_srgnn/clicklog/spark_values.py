"""Spark expressions for ids, numbers and times; their values are those of the Polars engine."""

from __future__ import annotations

import re
from typing import Any

from pyg_srgnn.clicklog.times import UNITS, ZONED, has_clock

EXACT = {"float": 2**24, "double": 2**53}
"""From where on two whole numbers may be the same float."""
NUMBERS = ("tinyint", "smallint", "int", "bigint", *EXACT)

_DIRECTIVES = {
    "Y": "yyyy", "y": "yy", "m": "MM", "b": "MMM", "B": "MMMM", "d": "dd", "j": "DDD",
    "H": "HH", "I": "hh", "p": "a", "M": "mm", "S": "ss", "f": "SSSSSS", "z": "[xxx][xx]",
    ".f": "[.SSSSSSSSS]",
}  # fmt: skip
"""Directives of strptime as Java's date patterns have them."""
_SHORT = {"%T": "%H:%M:%S", "%F": "%Y-%m-%d", "%D": "%m/%d/%y", "%R": "%H:%M", ".%f": "%.f"}

_DAY, _MINUTE = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d"
_PLAIN = rf"^{_DAY}([T ]{_MINUTE}:\d\d(\.\d+)?(Z|[+-]{_MINUTE})?)?$"
_ODD = rf"^\s*{_DAY}[T ]{_MINUTE}(:\d\d(\.\d+)?)?( ?(Z|UTC|[+-]\d\d(:?\d\d)?))?\s*$"
_INTEGER = r"^[+-]?\d+$"
_FLOAT = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_MOST = 9 * 10**18  # whole numbers end soon after it


def whole(cell: Any, kind: str) -> Any:
    """A whole number; null where there is none."""
    from pyspark.sql import functions as F

    if kind == "string":
        return F.when(cell.rlike(_INTEGER), cell.cast("bigint"))
    if kind in ("float", "double"):
        number = cell.cast("double")
        return F.when((number % 1 == 0) & (F.abs(number) < _MOST), number.cast("bigint"))
    if kind.startswith("decimal"):  # what runs over is not equal
        return F.when(cell.cast("bigint") == cell, cell.cast("bigint"))
    return cell.cast("bigint")


def identifier(cell: Any, kind: str, number: bool) -> Any:
    """An id, a whole number or text; null where there is nothing."""
    from pyspark.sql import functions as F

    if number and kind == "string":  # 007 is not 7: where numbers are written so, ids are text
        return F.when(cell.rlike(r"^(0|-?[1-9]\d*)$"), cell.cast("bigint"))
    if kind in EXACT:  # NaN is greater
        cell = F.when(F.abs(cell) < EXACT[kind], cell)
    if number:
        return whole(cell, kind)
    written = text(cell, kind)
    return F.when(~no_id(written), written)


def no_id(text: Any) -> Any:
    """Whether a text is no id."""
    return (text == "") | text.contains("\0")


def text(cell: Any, kind: str) -> Any:
    """Any value as text, a number of any type alike: 7, not 7.0 or 7.00."""
    from pyspark.sql import functions as F

    if kind in EXACT:
        return F.coalesce(whole(cell, kind).cast("string"), cell.cast("string"))
    if kind.startswith("decimal") and not kind.endswith(",0)"):  # then there is a point
        return F.regexp_replace(cell.cast("string"), r"\.?0+$", "")
    return cell.cast("string")


def joined(columns: list[tuple[Any, str]]) -> Any:
    """The values of columns, with their types, as one text without needless blanks; null: none."""
    from pyspark.sql import functions as F

    parts = []
    for cell, kind in columns:
        written = text(F.when(~F.isnan(cell), cell) if kind in EXACT else cell, kind)
        stripped = F.btrim(F.regexp_replace(written, r"(?U)\s+", " "))
        parts.append(F.when(stripped != "", stripped))
    whole_text = F.concat_ws(". ", *parts)
    return F.when(whole_text != "", whole_text)


def micros(cell: Any, kind: str, form: str) -> Any:
    """Microseconds since 1970 UTC of a time; null where there is none.

    Args:
        cell: The column.
        kind: Its type, as Spark calls it, or ``"nanoseconds"`` of a time that is none for Spark,
            ``"nanoseconds, UTC"`` where it has a zone.
        form: How times are written, as in ``Preparation``.
    """
    from pyspark.sql import functions as F

    if kind in ("timestamp", "timestamp_ntz", "date"):
        return F.unix_micros(cell.cast("timestamp"))
    if kind.startswith("nanoseconds"):
        return _of_nanoseconds(cell)
    if form == "iso":
        return _of_iso(cell.cast("string"))
    if "%" in form:
        return F.unix_micros(F.try_to_timestamp(cell.cast("string"), F.lit(java_pattern(form))))
    if kind == "string":
        fraction = F.when(cell.rlike(_FLOAT), _of_fractions(cell.cast("double"), form))
        number = cell.cast("bigint")
        return F.when(cell.rlike(_INTEGER), _of_numbers(number, form)).otherwise(fraction)
    if kind in ("float", "double") or kind.startswith("decimal"):
        return _of_fractions(cell.cast("double"), form)
    return _of_numbers(cell.cast("bigint"), form)


def is_local(cell: Any, kind: str, form: str) -> Any:
    """Whether times are written without a zone; the arguments are those of :func:`micros`."""
    from pyspark.sql import functions as F

    if kind in ("timestamp", "nanoseconds, UTC"):
        return F.lit(False)
    if kind in ("timestamp_ntz", "date", "nanoseconds"):
        return F.lit(True)
    if form == "iso":
        return ~cell.cast("string").rlike(ZONED)
    return F.lit(has_clock(form))


def _of_numbers(number: Any, form: str) -> Any:
    from pyspark.sql import functions as F

    if form == "ns":
        return _of_nanoseconds(number)
    factor = UNITS.get(form, UNITS["s"])
    top = _MOST // factor  # greater values would overflow to an arbitrary time
    return F.when(number > top, top).when(number < -top, -top).otherwise(number) * factor


def _of_nanoseconds(number: Any) -> Any:
    from pyspark.sql import functions as F

    return F.floor(number.cast("decimal(20, 0)") / 1_000).cast("bigint")


def _of_fractions(number: Any, form: str) -> Any:
    from pyspark.sql import functions as F

    scaled = F.rint(number * (1e-3 if form == "ns" else UNITS.get(form, UNITS["s"])))
    return F.when(F.abs(scaled) < _MOST, scaled.cast("bigint"))


def _of_iso(text: Any) -> Any:
    """ISO 8601 in any of its usual forms; UTC where no zone is given."""
    from pyspark.sql import functions as F

    odd = F.trim(text)
    for what, replaced in (
        (r"^(.{10}) ", "$1T"),
        (r" ?(UTC|Z)$", "Z"),
        (r"^(.{10}T\d\d:\d\d)($|Z| ?[+-])", "$1:00$2"),  # seconds
        (r"(T.*?) ?([+-]\d\d)$", "$1$2:00"),  # minutes of a zone
        (r"(T.*) ([+-])", "$1$2"),
    ):
        odd = F.regexp_replace(odd, what, replaced)
    plain = F.when(text.rlike(_PLAIN), F.try_to_timestamp(text))
    return F.unix_micros(plain.when(text.rlike(_ODD), F.try_to_timestamp(odd)))


def java_pattern(form: str) -> str:
    """A pattern of strptime as Java has it.

    Raises:
        ValueError: If a directive is unknown there; names those that are known.
    """
    for short, long in _SHORT.items():
        form = form.replace(short, long)
    parts = re.findall(r"%\.?.|[^%]+", form)
    pattern = ""
    for number, part in enumerate(parts):
        if not part.startswith("%"):
            pattern += "'" + part.replace("'", "''") + "'"
            continue
        java = _DIRECTIVES.get(part[1:])
        if java is None:
            known = ", ".join(f"%{directive}" for directive in _DIRECTIVES)
            raise ValueError(f"dataset.time_format={form!r}: engine=spark knows {known}")
        # One digit is accepted, unless the next number follows without a sign between them.
        beside = parts[max(0, number - 1) : number] + parts[number + 1 : number + 2]
        alone = not any(other.startswith("%") and other != "%.f" for other in beside)
        pattern += java[0] if alone and java in ("MM", "dd", "HH", "hh", "mm", "ss") else java
    return pattern
