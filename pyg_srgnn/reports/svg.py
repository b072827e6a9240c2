"""Pictures for a page: SVG that takes its colours from the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours of the drawing, each a name for one of the page, so that dark pages are dark here too.
TEXT, TRAINING, TEST, LINE = "#000001", "#000002", "#000003", "#000004"
_COLOURS = {
    TEXT: "currentColor",
    TRAINING: "var(--training)",
    TEST: "var(--test)",
    LINE: "var(--line)",
}


def draw_svg(height: float, draw: Callable[[Axes, Any], None], data: Any) -> str:
    """Draw data on axes, 5 inches wide, as an SVG element.

    Args:
        height: In inches.
        draw: Draws on the axes, in the colours of this file, which become those of the page.
        data: What it draws; equal data makes an equal element.
    """
    import matplotlib
    from matplotlib.figure import Figure

    texts = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    settings: Any = dict.fromkeys(texts, TEXT)
    settings |= {"axes.edgecolor": LINE, "grid.color": LINE, "grid.linewidth": 0.6}
    settings |= {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    # Texts stay texts, which is small and readable; the salt makes the ids those of this plot.
    settings |= {"svg.fonttype": "none", "svg.hashsalt": draw.__name__ + repr(data)}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(5, height), layout="constrained")
        axes = figure.subplots()
        axes.set_axisbelow(True)
        draw(axes, data)
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # Ids of groups are the same in every plot, and nothing refers to them.
    text = re.sub(r'<g id="\w+\.?\w*"(/?)>', r"<g\1>", text)
    text = re.sub(r"\s*<!--.*?-->|\n\s*", lambda m: "" if "<!--" in m[0] else "\n", text)
    for colour, name in _COLOURS.items():
        text = text.replace(colour, name)
    return text


def whole_numbers(most: int) -> Any:
    """A locator of whole numbers for an axis, with so many ticks at the most."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, integer=True)
