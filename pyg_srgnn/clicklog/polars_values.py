"""Values of a log's columns as Polars expressions: ids, text, whole numbers."""

from __future__ import annotations

import polars as pl

from pyg_srgnn.clicklog.layout import number_text
from pyg_srgnn.clicklog.spec import Preparation

_EXACT = {"Float16": 2**11, "Float32": 2**24, "Float64": 2**53}
"""From where on two whole numbers may be the same float."""


def is_asked(preparation: Preparation, schema: pl.Schema) -> pl.Expr:
    """Whether ``where`` selects a row."""
    asked = pl.lit(True)
    for name, texts in preparation.asked.items():
        kind = schema[name]
        texts = [number_text(text) for text in texts] if kind.is_numeric() else texts
        asked &= text_of(pl.col(name), kind).is_in(texts)
    return asked


def no_id(column: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Whether a value is no id: null, NaN, empty, or a float too large to be exact."""
    if kind.is_float():
        return column.is_null() | column.is_nan() | (column.abs() >= _EXACT[str(kind)])
    if kind == pl.String:
        return column.is_null() | (column == "") | column.str.contains("\0", literal=True)
    return column.is_null()


def id_of(column: pl.Expr, kind: pl.DataType, whole: bool) -> pl.Expr:
    """A value as an id, a whole number or text; null where it is none."""
    if not whole:
        return pl.when(~no_id(column, kind)).then(text_of(column, kind))
    number = whole_of(column, kind)
    if kind != pl.String:
        return pl.when(~no_id(column, kind)).then(number) if kind.is_float() else number
    # 007 is not 7: where whole numbers are written so, the ids are text.
    zero = column.str.starts_with("0") & (column.str.len_bytes() > 1)
    padded = zero | column.str.starts_with("-0") | column.str.starts_with("+")
    return pl.when(~padded).then(number)


def text_of(column: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Any value as text, a number of any type alike: 7, not 7.0 or 7.00."""
    text = column.cast(pl.String)
    if kind.is_float():
        return pl.coalesce(whole_of(column, kind).cast(pl.String), text)
    if isinstance(kind, pl.Decimal) and kind.scale:  # then there is a point
        return text.str.replace(r"\.?0+$", "")
    return text


def joined_text(columns: list[tuple[pl.Expr, pl.DataType]]) -> pl.Expr:
    """The values of columns as one text, without needless blanks; null where all are blank."""
    parts = []
    for column, kind in columns:
        written = text_of(column.fill_nan(None) if kind.is_float() else column, kind)
        stripped = written.str.replace_all(r"\s+", " ").str.strip_chars()
        parts.append(pl.when(stripped != "").then(stripped))
    joined = pl.concat_str(parts, separator=". ", ignore_nulls=True)
    return pl.when(joined != "").then(joined)


def whole_of(column: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Whole numbers; null where there is another value."""
    number = column.cast(pl.Int64, strict=False)
    if kind.is_decimal():
        return pl.when(number.cast(kind, strict=False) == column).then(number)
    return pl.when(column % 1 == 0).then(number) if kind.is_float() else number
