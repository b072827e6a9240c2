"""A recommendation as a picture: the session graph, and what each click does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pyg_srgnn.utils.files import written_aside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyg_srgnn.inference.answer import Explanation

_BLUE, _INK, _FAINT = "#3f76c4", "#24292f", "#8a94a0"


def plot_explanation(explanation: Explanation, path: str | Path) -> Path:
    """Draw what :meth:`pyg_srgnn.Recommender.explain` found, with what its numbers mean.

    Args:
        explanation: Of one session.
        path: The PNG file.

    Returns:
        Its path.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed (extra ``plots``).
    """
    path = Path(path)
    with written_aside(path) as aside:
        draw_explanation(explanation).savefig(
            aside, format="png", dpi=150, metadata={"Software": None}
        )
    return path


def draw_explanation(explanation: Explanation) -> Figure:
    """The figure of :func:`plot_explanation`."""
    from matplotlib.figure import Figure

    logarithms = explanation.log_probabilities
    clicks = [f"{t}. {item}" for t, item in enumerate(explanation.clicks, start=1)]
    adds = "factor on the probability" if logarithms else "adds to the score"
    origin = explanation.origins[0]
    panels = [
        (title, [math.nan if one is None else one for one in values])
        for title, values in (
            ("attention", explanation.attention),
            ("similarity of texts", origin.similarity),
            (adds, explanation.added),
        )
        if values is not None
    ]
    figure = Figure(
        figsize=(3.6 + 2.4 * len(panels), max(3.2, 0.8 + 0.3 * len(clicks))), layout="constrained"
    )
    ratios = [1.5] + [1] * len(panels)
    first, *others = figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    _graph(first, explanation)
    for axes, (title, values) in zip(others, panels, strict=True):
        axes.barh(range(len(clicks)), values, color=_BLUE, height=0.6)
        # A dollar of somebody's ids does not begin a formula.
        axes.set_yticks(range(len(clicks)), clicks, parse_math=False)
        axes.axvline(0, color=_INK, linewidth=0.8)
        axes.set_title(title, fontsize=10)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        if title == adds and logarithms:  # a sum of logarithms is a product of probabilities
            axes.xaxis.set_major_formatter(lambda value, _: f"×{math.exp(value):.2g}")
            axes.set_xticks([math.log(factor) for factor in _factors(values)])
    chance, score = math.exp(explanation.score), explanation.score
    value = f"probability {chance:.2%}" if logarithms else f"score {score:.3f}"
    shares = (f"{name} {share:.0%}" for name, share in (origin.shares or {}).items())
    of = f" ({', '.join(shares)})" if origin.shares else ""
    figure.suptitle(f"why {explanation.item}: {value}{of}", fontsize=11, parse_math=False)
    if explanation.attention is not None:
        figure.supxlabel(
            "attention: the weight of a click in the session's vector; a negative one subtracts it",
            fontsize=8,
            color=_INK,
        )
    return figure


def _factors(logarithms: Sequence[float]) -> list[float]:
    """Powers of two, or of ten where these are many, around the factors and one."""
    finite = [0.0, *filter(math.isfinite, logarithms)]
    low, high = min(finite), max(finite)
    base = 2.0
    while (high - low) / math.log(base) > 4:
        base = 10.0 if base == 2 else base * 10
    first, last = math.floor(low / math.log(base)), math.ceil(high / math.log(base))
    return [base**power for power in range(first, last + 1)]


def _graph(axes: Axes, explanation: Explanation) -> None:
    """The nodes on a circle, arrows labelled with the weights of the way out."""
    from matplotlib.patches import Circle

    count = len(explanation.nodes)
    turn = [math.pi / 2 - 2 * math.pi * n / count for n in range(count)]
    places = [(math.cos(a), math.sin(a)) for a in turn]
    back = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    for (i, j), weight in zip(explanation.edges, explanation.weights, strict=True):
        (x0, y0), (x1, y1) = places[i], places[j]
        width = 0.6 + 1.8 * weight
        if i == j:  # a ring, outward of its node
            ring = Circle((1.17 * x0, 1.17 * y0), 0.15, fill=False)
            ring.set(color=_FAINT, linewidth=width, zorder=0)
            axes.add_patch(ring)
            at = (1.33 * x0, 1.33 * y0)
        else:
            arrow = {"arrowstyle": "-|>", "color": _FAINT, "linewidth": width}
            arrow |= {"connectionstyle": "arc3,rad=0.18", "shrinkA": 14, "shrinkB": 14}
            axes.annotate("", xy=(x1, y1), xytext=(x0, y0), arrowprops=arrow)
            # On the middle of the bow.
            at = ((x0 + x1) / 2 + 0.09 * (y1 - y0), (y0 + y1) / 2 - 0.09 * (x1 - x0))
        axes.text(*at, f"{weight:.2g}", fontsize=7, color=_INK, ha="center", va="center", bbox=back)
    for item, (x, y) in zip(explanation.nodes, places, strict=True):
        axes.text(
            x,
            y,
            str(item),
            ha="center",
            va="center",
            fontsize=9,
            color="white",
            parse_math=False,
            bbox={"boxstyle": "round,pad=0.4", "facecolor": _BLUE, "edgecolor": "none"},
        )
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), title="session graph")
    axes.title.set_fontsize(10)
    axes.set_axis_off()
