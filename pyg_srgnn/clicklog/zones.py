"""Local times without a zone to UTC, for every engine."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import polars as pl

Frame = nw.LazyFrame[Any]
_MINUTE = 60 * 1_000_000
_DAY = 1_440 * _MINUTE
_ZERO = nw.lit(0, nw.Int64)


def is_zone(zone: str) -> bool:
    """Whether there is such a zone."""
    try:
        _offsets(pl.Series([0]), zone)
    except (pl.exceptions.PolarsError, TypeError):
        return False
    return True


def localised(clicks: Frame, zone: str, first: int, last: int) -> Frame:
    """Turn times that were read as if their zone was UTC into UTC.

    Args:
        clicks: Clicks with ``time`` in microseconds and ``local``, whether that is such a time.
        zone: The zone.
        first: The earliest time.
        last: The latest.

    Returns:
        The clicks with the right ``time``, and with ``later`` in place of ``local``: where the
        clock shows a time twice, as in autumn, the first of the two is taken, and ``later`` is how
        far away the second one is; -1 where it never shows that time, as in spring; 0 otherwise.
    """
    offset, changes = _changes(zone, first, last)
    clock = nw.col("time")
    time, later = clock - offset, _ZERO
    for instant, before, after in changes:
        time -= _where(clock >= instant + max(before, after), after - before)
        between = (clock >= instant + min(before, after)) & (clock < instant + max(before, after))
        later += _where(between, max(before - after, -1))
    local = nw.col("local")
    return clicks.with_columns(
        time=nw.when(local).then(time).otherwise(clock),
        later=nw.when(local).then(later).otherwise(_ZERO),
    ).drop("local")


def in_file_order(clicks: Frame) -> Frame:
    """Choose between the two instants of a time that the clock shows twice; drops ``later``.

    The file has a session's clicks in their order: after its clock has gone back, they are the
    second ones.
    """
    twice = nw.col("later") > 0
    once = clicks.filter(~twice).drop("later")
    step = nw.col("time").diff().over("session", order_by="row")
    odd = clicks.filter(twice).with_columns(step=step)
    # Another year has another such hour.
    begins = ((nw.col("step") > _DAY) | (nw.col("step") < -_DAY)).fill_null(False)
    odd = odd.with_columns(begins=begins.cast(nw.Int64))
    odd = odd.with_columns(hour=nw.col("begins").cum_sum().over("session", order_by="row"))
    back = ((nw.col("step") < 0) & (nw.col("begins") == 0)).fill_null(False)
    odd = odd.with_columns(back=back.cast(nw.Int64))
    backs = nw.col("back").cum_sum().over("session", "hour", order_by="row")
    odd = odd.with_columns(backs=backs)
    second = nw.when(nw.col("backs") > 0).then(nw.col("later")).otherwise(_ZERO)
    odd = odd.with_columns(time=nw.col("time") + second)
    return nw.concat([once, odd.select(once.collect_schema().names())], how="vertical")


def _where(condition: nw.Expr, value: int) -> nw.Expr:
    return nw.when(condition).then(nw.lit(value, nw.Int64)).otherwise(_ZERO)


def _changes(zone: str, first: int, last: int) -> tuple[int, list[tuple[int, int, int]]]:
    """The offset at first, and every change: its instant in UTC, the offsets before and after."""
    days = pl.int_range(first // _DAY - 1, last // _DAY + 3, eager=True) * _DAY
    offsets = _offsets(days, zone)
    changes = []
    for day in days.filter(offsets != offsets.shift(-1)):
        minutes = pl.int_range(0, 1_441, eager=True) * _MINUTE + day
        of_minutes = _offsets(minutes, zone)
        (at,) = (of_minutes != of_minutes.shift(1)).fill_null(False).arg_true()
        changes.append((minutes[at], of_minutes[at - 1], of_minutes[at]))
    return offsets[0], changes


def _offsets(instants: pl.Series, zone: str) -> pl.Series:
    """Offsets of the clock from UTC at instants in UTC, in microseconds."""
    clock = instants.cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)
    return clock.dt.replace_time_zone(None).dt.epoch("us") - instants
