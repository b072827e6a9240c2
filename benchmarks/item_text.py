"""What do item texts cost the default model, in a training step and in a request?

The default model without texts, with one of its two parts that read them, and with both. They take
turns, batch by batch and session by session, and medians are shown. A step is the loss of a batch,
its gradients and Adam; a request is one session's top 20 by an export, in process. Sessions and
text vectors are drawn: catalogues have the sizes, and sessions the mean lengths, of Online Retail
and of Diginetica.

Milliseconds are those of a core, on one thread: they hardly depend on what else the machine does.

    python -m benchmarks.item_text
    python -m benchmarks.item_text --items 1000000 --clicks 4 --json FILE
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from benchmarks.measure import ADAM, options, run, take_turns, whole
from benchmarks.shop import drawn_checkpoint, lengths, sessions_of
from benchmarks.train_step import training
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data import Sessions, session_graphs
from pyg_srgnn.export.write import export
from pyg_srgnn.functional.graphs import flat_clicks
from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.training.optimizer import adam

SIDES: dict[str, dict[str, Any]] = {
    "without texts": {"text_neighbours": 0, "text_expert": False},
    "text neighbours": {"text_expert": False},
    "text expert": {"text_neighbours": 0},
    "both, the default": {},
}
_NOT_COUNTED = 3  # turns at the start, in which buffers and states are made


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument(
        "--items", type=whole, nargs="+", default=[3_583, 43_097], help="(3583 43097)"
    )
    parser.add_argument(
        "--clicks", type=whole, nargs="+", default=[15, 5], help="of a session, on average (15 5)"
    )
    parser.add_argument("--sessions", type=whole, default=20_000, help="for training (20000)")
    parser.add_argument("--channels", type=whole, default=100, help="size of an embedding (100)")
    parser.add_argument("--texts", type=whole, default=256, help="size of a text vector (256)")
    parser.add_argument("--batch-size", type=whole, default=512, help="samples a batch (512)")
    parser.add_argument("--steps", type=whole, default=20, help="batches (20)")
    parser.add_argument("--calls", type=whole, default=500, help="requests (500)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's.

    Raises:
        ValueError: If there are not as many numbers of clicks as of items.
    """
    if len(args.items) != len(args.clicks):
        raise ValueError(f"--items has {len(args.items)} sizes, --clicks {len(args.clicks)}")
    torch.set_num_threads(1)
    sizes = {key: getattr(args, key) for key in ("channels", "texts", "batch_size")}
    found = zip(args.items, args.clicks, strict=True)
    return {**sizes, "of": [of_catalogue(args, *size) for size in found]}


def of_catalogue(args: argparse.Namespace, items: int, clicks: int) -> dict[str, Any]:
    """Milliseconds of a step and of a request in one catalogue, and what they are to the first."""
    drawn = sessions_of(items, lengths(args.sessions, mean=clicks), seed=1)
    texts = torch.randn(items, args.texts, generator=torch.Generator().manual_seed(0))
    checkpoints = {
        name: drawn_checkpoint(
            "srgnn",
            items,
            args.channels,
            Sessions.from_lists(drawn),
            None if name == "without texts" else texts,
            **keys,
        )
        for name, keys in SIDES.items()
    }
    asked = sessions_of(items, lengths(args.calls, seed=2, mean=clicks), seed=3)
    took = {
        "step": steps(checkpoints, drawn, args.steps, args.batch_size),
        "request": requests(checkpoints, asked),
    }
    first = {of: took[of]["without texts"] for of in took}
    ratios = {of: {name: ms / first[of] for name, ms in took[of].items()} for of in took}
    return {"items": items, "clicks": clicks, "milliseconds": took, "ratio": ratios}


def steps(
    checkpoints: dict[str, Checkpoint], sessions: list[list[int]], count: int, batch_size: int
) -> dict[str, float]:
    """Median milliseconds of a training step of each model."""
    kept = Sessions.from_lists(sessions)
    draw = torch.Generator().manual_seed(4)
    numbers = torch.randint(kept.num_samples, (_NOT_COUNTED + count, batch_size), generator=draw)
    batches = [batch_of(kept, sessions, each) for each in numbers]
    step = {}
    for name, checkpoint in checkpoints.items():
        model: Any = checkpoint.model.train()
        step[name] = training(model, adam(model, **ADAM))
    return in_turns(step, batches)


def requests(checkpoints: dict[str, Checkpoint], sessions: list[list[int]]) -> dict[str, float]:
    """Median milliseconds of one session's top 20 by the export of each model."""
    with TemporaryDirectory() as folder:
        exports = {
            name: Recommender.load(export(checkpoint, Path(folder, str(number))))
            for number, (name, checkpoint) in enumerate(checkpoints.items())
        }
        ask = {
            name: lambda session, of=of: of.recommend([session], k=20)  # type: ignore[misc]
            for name, of in exports.items()
        }
        return in_turns(ask, sessions)


def batch_of(kept: Sessions, sessions: list[list[int]], number: Tensor) -> Batch:
    """The graphs of samples."""
    session, cut = (each.tolist() for each in kept.samples(number))
    before = [sessions[at][:end] for at, end in zip(session, cut, strict=True)]
    target = [sessions[at][end] for at, end in zip(session, cut, strict=True)]
    return session_graphs(*flat_clicks(before), torch.tensor(target), number)


def in_turns(sides: dict[str, Callable[[Any], Any]], given: Sequence[Any]) -> dict[str, float]:
    """Median milliseconds of a core that each side takes for what is given, one after another."""

    def timed(side: Callable[[Any], Any], following: Any) -> float:
        one = next(following)
        began = process_time()
        side(one)
        return 1000 * (process_time() - began)

    turn = {name: partial(timed, side, iter(given)) for name, side in sides.items()}
    took = take_turns(turn, len(given))
    return {name: median(each[_NOT_COUNTED:]) for name, each in took.items()}


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"d {result['channels']}, texts of {result['texts']} dimensions, "
        f"batches of {result['batch_size']}; milliseconds of a core"
    ]
    for of in result["of"]:
        took, ratio = of["milliseconds"], of["ratio"]
        lines += ["", f"{of['items']:,} items, sessions of {of['clicks']} clicks"]
        lines.append(f"{'':20}{'step':>9}{'ratio':>8}{'request':>10}{'ratio':>8}")
        lines += [
            f"{name:20}{took['step'][name]:9.1f}{ratio['step'][name]:7.2f}x"
            f"{took['request'][name]:10.2f}{ratio['request'][name]:7.2f}x"
            for name in SIDES
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
