"""How fast is a training step, beside a dense textbook SR-GNN, and beside what the machine can do?

All sides start from the same weights and get the same samples. ``float32`` is the same mathematics
at the same batch size: before anything is timed its loss and its gradients must be those of the
dense model. ``fast`` takes larger batches and, where the hardware has them, the loss's products in
bfloat16, as a run does by default; where they are emulated, nothing in bfloat16 is measured. They
take turns within one run, and medians over the turns are
shown. A step is all from sample numbers to updated weights: the batch, the loss, its gradients,
Adam.

``limit`` is the time that cannot be avoided with the full softmax: the products, at this machine's
measured peak, and the bytes of Adam and of the scores, at its measured bandwidth.

    python -m benchmarks.train_step                           # Synthetic, generated
    python -m benchmarks.train_step --mirror DIR --json FILE  # Diginetica from a folder or URL
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from benchmarks.dense import PADS, DenseLoader, DenseSRGNN, twins
from benchmarks.limit import Peak, step_limit
from benchmarks.measure import (
    ADAM,
    dataset_options,
    fast_products,
    open_dataset,
    options,
    run,
    take_turns,
    whole,
)
from pyg_srgnn.nn import SRGNN
from pyg_srgnn.training.optimizer import adam

_TOLERANCE = 1e-5  # of loss and gradients, relative


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    dataset_options(parser)
    parser.add_argument("--rounds", type=whole, default=5, help="turns of each (5)")
    parser.add_argument("--steps", type=whole, default=51, help="batches a turn (51)")
    parser.add_argument("--batch-size", type=whole, default=100, help="samples a batch (100)")
    parser.add_argument("--fast-batch-size", type=whole, default=512, help="of fast (512)")
    parser.add_argument("--pad", choices=PADS, default="dataset", help="of the dense one (dataset)")
    parser.add_argument("--peak-size", type=whole, default=3000, help="of the peak's matrix (3000)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    dataset = open_dataset(args, "train")
    model, dense = twins(dataset.num_items, args.channels)
    fast, _ = twins(dataset.num_items, args.channels, products="auto")
    numbers = torch.randint(len(dataset), (args.steps * args.batch_size,))
    plain, large = numbers.split(args.batch_size), numbers.split(args.fast_batch_size)
    load = DenseLoader(dataset, numbers, args.pad)
    agreement = agree(model, dense, dataset.batch(plain[0]), load(plain[0]))

    theirs = torch.optim.Adam(dense.parameters(), **ADAM)
    turn = {
        "dense": (load, training(dense, theirs), plain),
        "float32": (dataset.batch, training(model, adam(model, **ADAM, fused=True)), plain),
        "fast": (dataset.batch, training(fast, adam(fast, **ADAM, fused=True)), large),
    }
    for load_batch, step, batches in turn.values():  # buffers and Adam's state are made first
        timed(load_batch, step, batches[:3])
    turns = take_turns(
        {name: lambda of=of: timed(*of) for name, of in turn.items()},  # type: ignore[misc]
        args.rounds,
    )
    took = {name: median(total for total, _ in of) for name, of in turns.items()}
    rates = {name: len(numbers) / total for name, total in took.items()}
    steps = {name: 1000 * took[name] / len(of[2]) for name, of in turn.items()}

    peak = Peak.measured(args.peak_size)
    sizes = {"float32": plain, "fast": large}
    limit: dict[str, Any] = {"peak": peak._asdict()}
    for name, batches in sizes.items():
        product = "float32" if name == "float32" else fast_products()
        of_batch = dataset.batch(batches[0])
        limit[name] = step_limit(of_batch, dataset.num_items, args.channels, peak, product)
        whole_steps = len(numbers) / len(of_batch.y)  # the last batch of fast may be smaller
        limit[name]["reached"] = limit[name]["ms"] * whole_steps / (1000 * took[name])
    return {
        "dataset": repr(dataset),
        "items": dataset.num_items,
        "batch_size": {"dense": args.batch_size, "float32": args.batch_size}
        | {"fast": args.fast_batch_size},
        **{key: getattr(args, key) for key in ("channels", "rounds", "steps")},
        "pad": args.pad,
        "products": {"dense": "float32", "float32": "float32", "fast": fast_products()},
        "agreement": agreement,
        "ratio": {name: rates[name] / rates["dense"] for name in ("float32", "fast")},
        "samples_per_second": rates,
        "milliseconds_per_step": steps,
        "loader_share": {
            name: median(loading / total for total, loading in of) for name, of in turns.items()
        },
        "limit": limit,
    }


def agree(model: SRGNN, dense: DenseSRGNN, batch: Any, dense_batch: Any) -> dict[str, float]:
    """Loss and gradients of both on one batch, which must be equal.

    Returns:
        The loss of each, and the largest relative difference of a parameter's gradient.

    Raises:
        RuntimeError: If they differ by more than 1e-5 of their size.
    """
    ours, theirs = model.loss(batch), dense.loss(dense_batch)
    ours.backward()
    theirs.backward()
    mine = {name: parameter.grad for name, parameter in model.named_parameters()}
    differences = {
        name: float((mine[name] - grad).norm() / grad.norm())
        for name, grad in dense.gradients().items()
    }
    losses = {"ours": float(ours.detach()), "dense": float(theirs.detach())}
    if abs(losses["ours"] - losses["dense"]) > _TOLERANCE * abs(losses["dense"]):
        raise RuntimeError(f"the losses must be equal, but they are {losses}")
    worst = max(differences, key=lambda name: differences[name])
    if not differences[worst] <= _TOLERANCE:
        raise RuntimeError(
            f"the gradients must be equal, but those of {worst} differ by {differences[worst]:.1e}"
        )
    return {**losses, "gradients": differences[worst]}


def training(model: SRGNN | DenseSRGNN, optimizer: torch.optim.Optimizer) -> Callable[[Any], None]:
    """A training step."""

    def step(batch: Any) -> None:
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()

    return step


def timed(
    load: Callable[[Tensor], Any], step: Callable[[Any], None], batches: Sequence[Tensor]
) -> tuple[float, float]:
    """Seconds of all the batches, and the loader's part of them."""
    loading, start = 0.0, perf_counter()
    for index in batches:
        before = perf_counter()
        batch = load(index)
        loading += perf_counter() - before
        step(batch)
    return perf_counter() - start, loading


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    agreement, limit = result["agreement"], result["limit"]
    lines = [
        f"{result['dataset']}, d {result['channels']}",
        f"loss and gradients agree at the start: {agreement['ours']:.6f} and "
        f"{agreement['dense']:.6f}; gradients differ by {agreement['gradients']:.0e} at the most",
        "",
        f"{'training':10}{'batch':>7}{'samples/s':>11}{'ratio':>8}{'ms/step':>9}{'loader':>8}"
        f"{'limit, ms':>11}{'reached':>9}",
    ]
    for name, rate in result["samples_per_second"].items():
        ratio = result["ratio"].get(name, 1.0)
        line = (
            f"{name:10}{result['batch_size'][name]:7}{rate:11,.0f}{ratio:7.2f}x"
            f"{result['milliseconds_per_step'][name]:9.1f}{result['loader_share'][name]:8.1%}"
        )
        if name in limit:
            line += f"{limit[name]['ms']:11.1f}{limit[name]['reached']:9.0%}"
        lines.append(line)
    peak = limit["peak"]
    half = "not measured" if peak["bfloat16"] is None else f"{peak['bfloat16']:,.0f}"
    lines.append(
        f"peak: {peak['float32']:,.0f} GFLOP/s in float32, {half} in bfloat16; "
        f"{peak['copy']:.1f} GB/s"
    )
    lines.append(f"products of fast: {result['products']['fast']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
