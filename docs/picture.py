"""Draws docs/picture.png: a session becomes a graph, the graph becomes a ranking.

Everything in it is computed: the catalogue has 26 generated items, named by letters; the session is
the first of the test set with the shape a b c b d; the weights are those of its session graph; and
the attention and the ranking are those of an SR-GNN that is trained here, in about ten seconds.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from string import ascii_uppercase
from tempfile import TemporaryDirectory
from typing import NamedTuple

import matplotlib

matplotlib.use("agg")
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.data import SessionLoader, session_graph
from pyg_srgnn.datasets import Synthetic
from pyg_srgnn.nn import SRGNN

SHAPE = [0, 1, 2, 1, 3]  # the node of each click
TOP = 6
INK, FAINT, LINE = "#24292f", "#6b7480", "#8a94a0"
COLOURS = ("#3f76c4", "#e0604c", "#2f9e6e", "#d99a1c")  # of the session's nodes
OTHER = "#aab2bd"  # of all other items


class Scene(NamedTuple):
    """What there is to draw."""

    graph: Data
    attention: Tensor  # of each click; its size, for W_3 is free to turn its sign
    items: list[int]  # best first
    shares: list[float]  # softmax of their scores
    chances: list[float]  # their true probabilities
    clicked: int  # what the visitor clicked next


def main() -> None:
    """Train, then draw into the file that is named, or beside this one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    beside = Path(__file__).with_suffix(".png")
    parser.add_argument("file", nargs="?", type=Path, default=beside, help=f"PNG ({beside.name})")
    draw(compute(), parser.parse_args().file)


def compute() -> Scene:
    """Train on generated sessions and rank the items for one of the test set."""
    torch.manual_seed(0)
    with TemporaryDirectory() as root:
        train, test = (
            Synthetic(
                root,
                split,
                num_sessions=8000,
                num_test_sessions=500,
                num_items=len(ascii_uppercase),
                num_interests=4,
                interest_size=12,
                num_successors=3,
            )
            for split in ("train", "test")
        )
    model = trained(train)
    sample = next(data for data in test if data.alias_index.tolist() == SHAPE)
    graph = session_graph(sample.x[sample.alias_index])
    with torch.inference_mode():
        shares = model.scores(graph).softmax(dim=1)[0]
        chances = test.generator.scores(graph)[0]
        items = shares.topk(TOP).indices
        h = model.conv(
            model.embedding(graph.x), graph.edge_index, graph.edge_weight, graph.edge_weight_in
        )[graph.alias_index]
        readout = model.readout
        gate = torch.sigmoid(readout.lin_last(h[-1:]) + readout.lin_click(h))
        attention = readout.q(gate).squeeze(1).abs()
    return Scene(
        graph,
        attention,
        items.tolist(),
        shares[items].tolist(),
        chances[items].tolist(),
        int(sample.y),
    )


def trained(train: Synthetic, epochs: int = 4) -> SRGNN:
    """A small SR-GNN after a few epochs."""
    model = SRGNN(train.num_items, channels=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.2)
    loader = SessionLoader(train, batch_size=100, shuffle=True)
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            model.loss(batch).backward()
            optimizer.step()
        schedule.step()
    return model.eval()


def draw(scene: Scene, file: Path) -> None:
    """Draw the three panels on a white card; a unit is half an inch."""
    figure = pyplot.figure(figsize=(8, 3.5))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 16), ylim=(0, 7))
    axes.set_axis_off()
    card = FancyBboxPatch(
        (0.08, 0.08), 15.84, 6.84, "round,pad=0,rounding_size=0.3", fc="white", ec="#d0d7de", lw=0.8
    )
    axes.add_patch(card)
    colours = dict(zip(scene.graph.x.tolist(), COLOURS, strict=True))
    for x, title, subtitle in (
        (2.75, "session", "clicks in order of time"),
        (8.0, "graph", "edge weight: count / out-degree"),
        (13.05, "ranking", "softmax of the scores"),
    ):
        axes.text(x, 6.3, title, size=13, weight="bold", color=INK, ha="center", va="center")
        axes.text(x, 5.78, subtitle, size=8, color=FAINT, ha="center", va="center")
    for x in (5.35, 10.15):
        arrow(axes, (x, 3.2), (x + 0.55, 3.2), color="#c4cbd4", lw=5, head=14)
    draw_session(axes, scene, colours)
    draw_graph(axes, scene.graph, colours)
    draw_ranking(axes, scene, colours)
    figure.savefig(file, dpi=200, transparent=True)


def draw_session(axes: Axes, scene: Scene, colours: dict[int, str]) -> None:
    """The clicks in a row, and the readout's attention to each of them."""
    items = scene.graph.x[scene.graph.alias_index].tolist()
    scale = 1.45 / float(scene.attention.max())
    for t, (item, weight) in enumerate(zip(items, scene.attention.tolist(), strict=True)):
        x, height = 0.85 + 0.95 * t, weight * scale
        disc(axes, (x, 4.55), item, colours[item])
        if t:
            arrow(axes, (x - 0.56, 4.55), (x - 0.4, 4.55), color=LINE, lw=1.1, head=6)
        axes.add_patch(Rectangle((x - 0.2, 1.35), 0.4, height, fc=colours[item]))
        axes.text(x, 1.53 + height, f"{weight:.2f}", size=7.5, color=INK, ha="center", va="center")
    axes.plot((0.45, 5.05), (1.35, 1.35), color=LINE, lw=0.8)
    axes.text(
        2.75,
        0.75,
        "size of the attention to each click",
        size=8,
        color=FAINT,
        ha="center",
        va="center",
    )


def draw_graph(axes: Axes, graph: Data, colours: dict[int, str]) -> None:
    """The nodes on a circle; edges are bent where there is one in the other direction too."""
    count = graph.num_nodes
    angles = [math.pi * (1 - 2 * i / count) for i in range(count)]
    places = [(8.0 + 1.5 * math.cos(a), 3.2 + 1.7 * math.sin(a)) for a in angles]
    edges = graph.edge_index.T.tolist()
    for (u, v), weight in zip(edges, graph.edge_weight.tolist(), strict=True):
        (x0, y0), (x1, y1) = places[u], places[v]
        bend = 0.24 if [v, u] in edges else 0.0
        arrow(axes, (x0, y0), (x1, y1), color=LINE, lw=1.4, head=9, bend=bend, shrink=16)
        # The middle of the curve is half as far from the straight line as its control point.
        half = bend / 2
        middle = ((x0 + x1) / 2 + half * (y1 - y0), (y0 + y1) / 2 - half * (x1 - x0))
        axes.text(
            *middle,
            f"{weight:.2g}",
            size=8.5,
            color=INK,
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"},
        )
    for place, item in zip(places, graph.x.tolist(), strict=True):
        disc(axes, place, item, colours[item], radius=0.45)


def draw_ranking(axes: Axes, scene: Scene, colours: dict[int, str]) -> None:
    """The best items, best above, with the true probability of each."""
    scale = 2.9 / max(scene.shares + scene.chances)
    for place, (item, share, chance) in enumerate(
        zip(scene.items, scene.shares, scene.chances, strict=True)
    ):
        y = 5.0 - 0.72 * place
        colour = colours.get(item, OTHER)
        if item == scene.clicked:
            axes.add_patch(Circle((11.4, y), 0.36, fill=False, ec=INK, lw=1.4))
        disc(axes, (11.4, y), item, colour, radius=0.29, size=8.5)
        axes.add_patch(Rectangle((11.85, y - 0.21), share * scale, 0.42, fc=colour))
        axes.plot([11.85 + chance * scale] * 2, (y - 0.28, y + 0.28), color=INK, lw=1.4)
        end = 11.85 + max(share, chance) * scale + 0.12
        axes.text(end, y, f"{share:.0%}", size=8, color=INK, va="center")
    axes.add_patch(Circle((11.25, 0.75), 0.14, fill=False, ec=INK, lw=1.4))
    axes.text(11.5, 0.75, "clicked next", size=8, color=FAINT, va="center")
    axes.plot((13.45, 13.45), (0.55, 0.95), color=INK, lw=1.4)
    axes.text(13.6, 0.75, "true probability", size=8, color=FAINT, va="center")


def disc(
    axes: Axes,
    place: tuple[float, float],
    item: int,
    colour: str,
    radius: float = 0.37,
    size: float = 10.5,
) -> None:
    """An item, by its letter."""
    axes.add_patch(Circle(place, radius, fc=colour, ec="white", lw=1, zorder=3))
    axes.text(
        *place,
        ascii_uppercase[item],
        size=size,
        weight="bold",
        color="white",
        ha="center",
        va="center_baseline",
        zorder=4,
    )


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str,
    lw: float,
    head: float,
    bend: float = 0.0,
    shrink: float = 0.0,
) -> None:
    """A line with a head, bent to its right."""
    patch = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=head,
        connectionstyle=f"arc3,rad={bend}",
        shrinkA=shrink,
        shrinkB=shrink,
        color=color,
        lw=lw,
    )
    axes.add_patch(patch)


if __name__ == "__main__":
    main()
