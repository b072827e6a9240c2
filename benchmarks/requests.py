"""What does a request cost with one trained model, compared with another?

CPU time of one thread for the twenty best items of drawn sessions, one at a time and sixteen
together, in process. The models answer the same sessions in turns; medians, and fastest tenths,
which other work on the machine lengthens least. Runs or exports of the same catalogue:

    OMP_NUM_THREADS=1 python -m benchmarks.requests RUN_OR_EXPORT RUN_OR_EXPORT
    OMP_NUM_THREADS=1 python -m benchmarks.requests EXPORT EXPORT --rounds 2000 --json FILE
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import quantiles
from time import thread_time
from typing import Any

from benchmarks.measure import options, run, whole

_K, _CLICKS = 20, 10  # best items, and clicks of a session at most
_TOGETHER = 16
_FIRST = 5  # rounds that make buffers, and are not counted


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, write the JSON."""
    parser = options(__doc__)
    parser.add_argument("models", nargs="+", help="exports or runs of one catalogue")
    parser.add_argument("--rounds", type=whole, default=400, help="requests of one session (400)")
    return run(parser, measure, table, arguments)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows; ``args`` are the command's."""
    import torch

    from pyg_srgnn import Recommender

    models = [Recommender.load(path) for path in args.models]
    first = models[0]
    for path, other in zip(args.models, models, strict=True):
        if other.vocabulary.ids != first.vocabulary.ids:
            raise ValueError(f"{path}: its catalogue is another one than that of {args.models[0]}")
    generator = torch.Generator().manual_seed(0)
    popularity = first.popularity.double()

    def sessions(count: int) -> list[list[int | str]]:
        lengths = torch.randint(1, _CLICKS + 1, (count,), generator=generator).tolist()
        drawn = popularity.multinomial(sum(lengths), replacement=True, generator=generator)
        parts = drawn.split(lengths)
        return [[first.vocabulary.ids[item] for item in part.tolist()] for part in parts]

    result: dict[str, Any] = {
        "items": len(first.vocabulary),
        "models": [{"path": path} for path in args.models],
    }
    for size, rounds in ((1, max(2, args.rounds)), (_TOGETHER, max(2, args.rounds // _TOGETHER))):
        found = _in_turns(models, [sessions(size) for _ in range(_FIRST + rounds)])
        for of, spent in zip(result["models"], found, strict=True):
            tenths = quantiles(spent[_FIRST:], n=10, method="inclusive")
            of[str(size)] = {"median": tenths[4], "fastest tenth": tenths[0]}
    return result


def _in_turns(models: list[Any], asked: list[Any]) -> list[list[float]]:
    """CPU milliseconds of every request, of each model."""
    found: list[list[float]] = [[] for _ in models]
    for request in asked:
        for spent, model in zip(found, models, strict=True):
            began = thread_time()
            model.recommend(request, _K)
            spent.append(1000 * (thread_time() - began))
    return found


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    first, *_ = models = result["models"]
    wide = max(len(of["path"]) for of in models)
    sizes = ("1", str(_TOGETHER))
    titles = "".join(f"{f'{size}: median':>18}{'fastest tenth':>18}" for size in sizes)
    lines = [
        f"{result['items']:,} items; CPU milliseconds of a request, and × those of the first model",
        f"{'':{wide}}{titles}",
    ]
    for of in models:
        line = f"{of['path']:{wide}}"
        for size in sizes:
            for name, value in of[size].items():
                line += f"{f'{value:.3f} × {value / first[size][name]:.2f}':>18}"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
