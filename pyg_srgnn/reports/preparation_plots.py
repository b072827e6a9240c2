"""The pictures of a preparation report, as SVG that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_srgnn.reports.svg import TEST, TRAINING, draw_svg, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OF_PART = {"training": TRAINING, "test": TEST}
_MOST_BARS = 400  # days are put together where there are more
_LONG = 100  # clicks; longer sessions make the axis of lengths logarithmic


def plots(report: Mapping[str, Any]) -> dict[str, str] | None:
    """Draw a preparation report's distributions.

    Args:
        report: Holds what ``pyg_srgnn.data.statistics`` gives.

    Returns:
        SVG elements by their captions, those left out for which there is no data; None where
        matplotlib is not installed (extra ``plots``). They use the variables ``--training``,
        ``--test`` and ``--line`` of the page around them.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return None
    shown = report.get("distributions")
    if not shown:
        return {}
    svgs = {}
    if any(shown["session_lengths"].values()):
        svgs["Session lengths"] = draw_svg(3, _lengths, shown["session_lengths"])
    if shown["item_popularity"]:
        svgs["Item popularity in training"] = draw_svg(3, _popularity, shown["item_popularity"])
    if shown["clicks_per_day"]:
        svgs["Clicks per day"] = draw_svg(3, _days, shown["clicks_per_day"])
    repeats = [(name, share, _OF_PART[name]) for name, share in shown["repeats"].items()]
    if svg := _shares(repeats):
        svgs["Targets that repeat an item of their session"] = svg
    # Of clicks alone: unknown items may have been dropped, and the test part's are not all then.
    if svg := _shares([("test", shown["unseen_test_items"]["share"], TEST)]):
        svgs["Test clicks on items that no training session holds"] = svg
    return svgs


def _lengths(axes: Axes, lengths: Mapping[str, list[list[int]]]) -> None:
    for name, pairs in lengths.items():
        if pairs:
            x, y = zip(*pairs, strict=True)
            marker = "." if len(pairs) <= _LONG else None
            axes.plot(x, y, color=_OF_PART[name], label=name, lw=1.2, marker=marker, ms=4)
    axes.set(xlabel="clicks of a session", ylabel="sessions", yscale="log")
    if long := max(pairs[-1][0] for pairs in lengths.values() if pairs) > _LONG:
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(whole_numbers(9))
    _finish(axes, logarithmic="xy" if long else "y")
    axes.legend(frameon=False)


def _popularity(axes: Axes, pairs: list[list[int]]) -> None:
    x, y = zip(*pairs, strict=True)
    axes.plot(x, y, color=TRAINING, lw=1.6, marker="." if len(pairs) == 1 else None)
    axes.set(xlabel="rank of the item", ylabel="training clicks", xscale="log", yscale="log")
    _finish(axes, logarithmic="xy")


def _days(axes: Axes, rows: list[list[Any]]) -> None:
    days = np.array([day for day, _, _ in rows], dtype="datetime64[D]").astype(np.int64)
    width = 1 + int(days[-1] - days[0]) // _MOST_BARS
    edges = np.arange(days[0], days[-1] + width + 1, width)
    training, test = (
        np.histogram(days, edges, weights=[row[part] for row in rows])[0] for part in (1, 2)
    )
    axes.stairs(training, edges, fill=True, color=TRAINING, label="training")
    axes.stairs(training + test, edges, baseline=training, fill=True, color=TEST, label="test")
    if len(begin := days[[row[2] > 0 for row in rows]]):
        axes.axvline(begin[0], color=TEST, lw=1, ls="--")
    axes.set_ylabel("clicks a day" if width == 1 else f"clicks in {width} days")
    axes.xaxis.set_major_locator(whole_numbers(4))
    axes.xaxis.set_major_formatter(lambda day, _: str(np.datetime64(round(day), "D")))
    axes.set_ylim(bottom=0)
    _finish(axes)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def _shares(rows: list[tuple[str, float | None, str]]) -> str:
    """Bars of the shares that are known; nothing where none is."""
    known = [row for row in rows if row[1] is not None]
    return draw_svg(0.5 + 0.4 * len(known), _bars, known) if known else ""


def _bars(axes: Axes, rows: list[tuple[str, float, str]]) -> None:
    names, shares, colours = zip(*rows, strict=True)
    bars = axes.barh(names, [100 * share for share in shares], color=colours, height=0.6)
    axes.bar_label(bars, [f"{100 * share:.2f} %" for share in shares], padding=4)
    axes.set(xlim=(0, 100), xlabel="percent")
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _finish(axes: Axes, logarithmic: str = "") -> None:
    """Numbers in full on both axes, and lines across."""
    from matplotlib.ticker import LogLocator, NullFormatter

    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name in logarithmic:
            axis.set_minor_formatter(NullFormatter())
            # Powers of ten alone would leave an axis of few decades without a number.
            low, high = axis.get_view_interval()
            low = max(low, 0.9)  # all are counts
            axes.set(**{f"{name}lim": (low, high)})
            decades = np.log10(high / low)
            if decades < 1:
                axis.set_major_locator(whole_numbers(4))
            elif decades < 3:
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        if name in logarithmic or name == "y":
            axis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y")
